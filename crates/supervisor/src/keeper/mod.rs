//! Keeping children running.
//!
//! Owns: the entries and all that happens to them. [`KeeperHandle`]s send messages; one task, the
//! [`Keeper`], owns the state; one task per running child leads it through its life. Refuses to
//! know: what the children do.

mod actor;
mod entry;
mod handle;
mod run;
mod status;

pub use actor::Keeper;
pub use handle::{KeeperError, KeeperHandle, StartOutcome, StopOutcome};
pub use status::{EntryPhase, EntryStatus};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::policy::RestartPolicy;
use crate::spawn::CommandSpec;

/// Makes the command for each start of a child: a command may hold what can be used only once.
pub type CommandFactory = Arc<dyn Fn() -> CommandSpec + Send + Sync>;

/// Receives what the children print: the entry's id and a line. It is called on the runtime, and
/// must not block for long; while it does, that child's output waits.
pub type LogSink = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// A child to keep running.
#[derive(Clone)]
pub struct EntrySpec {
    /// Its name; unique within the keeper.
    pub id: String,
    /// At shutdown higher orders stop first, equal ones together.
    pub order: u32,
    /// Makes its command. Its standard streams are set to pipes by the keeper.
    pub command: CommandFactory,
    /// The first line that it reads. Must not contain a newline.
    pub assignment: String,
    /// A child that has not reported ready by then is killed, which counts as a crash.
    pub ready_timeout: Duration,
    /// How long it may take to follow a `stop` line, before it gets SIGTERM. It has as long to
    /// exit after it has reported to have failed.
    pub stop_grace: Duration,
    /// How long it may take to follow SIGTERM, before it gets SIGKILL.
    pub term_grace: Duration,
    /// When it is started again after a crash.
    pub restart: RestartPolicy,
}

impl EntrySpec {
    /// A child with the usual times, an empty assignment and order 0.
    pub fn new(id: impl Into<String>, command: CommandFactory) -> Self {
        Self {
            id: id.into(),
            order: 0,
            command,
            assignment: String::new(),
            ready_timeout: Duration::from_secs(30),
            stop_grace: Duration::from_secs(10),
            term_grace: Duration::from_secs(5),
            restart: RestartPolicy::default(),
        }
    }
}

impl fmt::Debug for EntrySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the assignment: it may hold what must not be logged.
        f.debug_struct("EntrySpec")
            .field("id", &self.id)
            .field("order", &self.order)
            .finish_non_exhaustive()
    }
}
