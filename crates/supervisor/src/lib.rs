//! Process supervisor: spawn, readiness, stop, restart.
//!
//! The only crate that starts processes. A host's supervisor keeps nameservers and daemons running
//! with it, a daemon its workers. It knows neither Pyro nor YAML nor Python.
//!
//! - [`Spawner`] starts a [`CommandSpec`] from one permanent thread, so that no [`Child`] outlives
//!   this process.
//! - [`Keeper`] keeps a set of children running, driven through its [`KeeperHandle`]s;
//!   [`RestartPolicy`] says when a crashed child is started again.
//! - [`Lifeline`] is the child's end of the protocol.
//! - [`InstanceLock`] admits one supervisor per home.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use supervisor::{CommandSpec, EntrySpec, Keeper, EntryPhase, Spawner};
//!
//! # #[cfg(unix)]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A child: reads its assignment, reports ready, and serves until it reads `stop`.
//! let script = r#"read assignment; echo '{"event":"ready"}'; read stop"#;
//! let command = move || CommandSpec::new("/bin/sh").args(["-c", script]);
//!
//! let log = Arc::new(|id: &str, line: &str| eprintln!("{id}: {line}"));
//! let keeper = Keeper::start(Spawner::permanent()?, log);
//! keeper.add(EntrySpec::new("scope", Arc::new(command))).await?;
//! keeper.start("scope").await?;
//! let settled = keeper.wait_settled(&["scope"], Duration::from_secs(10)).await;
//! assert_eq!(settled[0].phase, EntryPhase::Running);
//! keeper.shutdown().await;
//! # Ok(())
//! # }
//! # #[cfg(not(unix))]
//! # fn main() {}
//! ```

mod child;
mod detached;
mod instance_lock;
mod keeper;
mod lifeline;
mod lines;
mod os;
mod policy;
mod process;
mod protocol;
mod report_writer;
mod spawn;

pub use child::Child;
pub use detached::Detached;
pub use instance_lock::InstanceLock;
pub use keeper::{
    CommandFactory, EntryPhase, EntrySpec, EntryStatus, Keeper, KeeperError, KeeperHandle, LogSink,
    StartOutcome, StopOutcome,
};
pub use lifeline::{Lifeline, LifelineError, ORPHAN_DEADLINE};
pub use lines::Lines;
pub use os::Signal;
pub use policy::{RestartDecision, RestartPolicy, Restarts};
pub use process::{Exit, ProcessHandle};
pub use spawn::{CommandSpec, Output, SpawnError, Spawner, Stdin};
