//! Python workers: the processes in which drivers live.
//!
//! A worker is an interpreter of the user's choice that runs our program (`python/ferrolab/`), which
//! is part of this binary. A [`WorkerSet`] keeps the workers of a daemon running; each service in them
//! is an [`Object`](remote::Object). The module owns everything between that object and the driver;
//! it knows neither configuration files nor the clients' protocol.
//!
//! ```text
//! Object::call ── sessions: which channel ── channel: one write, one read ──> a thread in the worker
//!      │
//!   service: phase, words for failures <── keep: start, restart, retry, watchdog, stop
//!                                              │
//!                            run: one process, its control socket, its streams ── output ──> log
//! ```
//!
//! | what happens | who sees it |
//! |---|---|
//! | a driver raises | its caller; the connection stays |
//! | a driver cannot be imported, or its constructor raises | its callers, the status; neighbours serve, it is tried again |
//! | a worker dies | the calls in it, with the name of the service and the reason; it is started again at once |
//! | the daemon dies | the worker, which releases its instruments and is gone within 2 s |

mod attempts;
mod channel;
mod collisions;
mod control;
mod frames;
mod guard;
mod keep;
mod leftovers;
mod output;
mod registry;
mod rest;
mod run;
mod script;
mod service;
mod sessions;
mod set;
mod spec;
mod specs;
#[cfg(test)]
mod tests;
mod watchdog;

pub(crate) use registry::{DaemonObjects, Registry};
pub(crate) use service::ServiceStatus;
pub(crate) use set::WorkerSet;
pub(crate) use specs::specs;
