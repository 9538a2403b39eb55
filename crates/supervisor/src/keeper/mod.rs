//! Keeper of a set of children: starts, stops and restarts them.
//!
//! An actor: [`KeeperHandle`]s send messages, and one task, the [`Keeper`], owns the entries. Each
//! running child has a separate task ([`run`]).

mod actor;
mod entry;
mod handle;
mod run;

pub use actor::Keeper;
pub use handle::{EntryPhase, EntryStatus, KeeperError, KeeperHandle, StartOutcome, StopOutcome};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::policy::RestartPolicy;
use crate::spawn::CommandSpec;

/// Factory of a child's command, called at each start: a command may hold a socket, which can be
/// passed on only once.
pub type CommandFactory = Arc<dyn Fn() -> CommandSpec + Send + Sync>;

/// Receiver of the lines that children print: the entry's id and a line. It is called on the
/// runtime and must not block for long; that child's output waits meanwhile.
pub type LogSink = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// Specification of a child to keep running.
#[derive(Clone)]
pub struct EntrySpec {
    /// The name; unique within the keeper.
    pub id: String,
    /// Stop order at shutdown: higher orders first, equal ones together.
    pub order: u32,
    /// Factory of the command. The keeper sets the standard streams to pipes.
    pub command: CommandFactory,
    /// First line on the child's standard input. Must not contain a newline.
    pub assignment: String,
    /// Time to report ready. A child that takes longer is killed, which counts as a crash.
    pub ready_timeout: Duration,
    /// Time to exit after a `stop` line, before SIGTERM; also after a `failed` report, before
    /// SIGKILL.
    pub stop_grace: Duration,
    /// Time to exit after SIGTERM, before SIGKILL.
    pub term_grace: Duration,
    /// When the child is started again after a crash.
    pub restart: RestartPolicy,
}

impl EntrySpec {
    /// A child with the default times, an empty assignment and order 0.
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
        // Without the assignment, which may hold secrets.
        f.debug_struct("EntrySpec")
            .field("id", &self.id)
            .field("order", &self.order)
            .finish_non_exhaustive()
    }
}
