//! Python workers: the processes in which drivers live.
//!
//! A worker is an interpreter of the user's choice that runs our program (`python/ferrolab/`),
//! which is part of this library. A [`WorkerSet`] keeps the workers of a daemon running; each
//! service in them is an [`Object`](remote::Object). The crate owns everything between
//! that object and the driver; it refuses to know configuration files, command lines and the
//! clients' protocol.
//!
//! ```text
//! service_object ── sessions: which channel ── channel: one write, one read ──> the worker
//!      │
//!   service: phase, members, status <───── supervise: start, restart, retry, watchdog, stop
//!                                              │
//!                            run: one process, its control socket, its streams ── output ──> log
//! ```
//!
//! | what happens | who sees it |
//! |---|---|
//! | a driver raises | its caller; the connection stays |
//! | an import fails or a constructor raises | callers, status; neighbours serve, it is retried |
//! | a worker dies | calls in it, with service and reason; it is started again at once |
//! | the daemon dies | the worker, which releases its instruments and is gone within 2 s |

mod channel;
mod collisions;
mod control;
mod frames;
mod health;
mod import_backoff;
mod item_stream;
mod oneway_ends;
mod orphan_killer;
mod output;
mod part_set;
mod poll;
mod pool;
mod protocol;
mod reap_descendants;
mod registered;
mod registry;
mod run;
mod safe_state;
mod script;
mod service;
mod service_card;
mod service_object;
mod sessions;
mod spec;
mod supervise;
#[cfg(test)]
mod tests;
mod watchdog;
mod worker_deaths;
mod worker_handle;

pub use control::SourceFile;
pub use frames::MAX_FRAME_BYTES;
pub use pool::WorkerSet;
pub use registry::{DaemonLocation, DaemonObjects, PartIds, Registry};
pub use service::{LOADING, ServiceStatus};
pub use spec::{
    Expose, InstanceMode, Placement, PythonEnv, ServiceSpec, WorkerSpec, default_interpreter,
    group, program_path,
};
