//! Everything that is specific to the operating system, and the only unsafe code of the crate.
//!
//! Owns: what happens between fork and exec, waiting for a death without reaping it, signals, and
//! the names of signals. Refuses to know: policies, pipes, tokio.
//!
//! Each platform module offers the same functions:
//!
//! - `prepare` arms a command before it is spawned (death signal, process group, signal mask);
//! - `new_session` arms one that shall outlive us and our terminal;
//! - `wait_exited` blocks until a child is dead and says whether its pid is still held;
//! - `signal`, `signal_group` send a signal to a pid whose holding the caller has made sure of;
//! - `exit_of` turns an exit status into an [`Exit`](crate::Exit);
//! - `take_stdio` takes the lifeline's pipes out of the standard streams;
//! - `kill_self` ends our own process without running any exit handler.

#[cfg(target_os = "linux")]
mod linux;

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::{
    exit_of, kill_self, new_session, prepare, signal, signal_group, signal_name, take_stdio,
    wait_exited,
};

#[cfg(not(unix))]
mod other;
#[cfg(not(unix))]
pub(crate) use other::{
    exit_of, kill_self, new_session, prepare, signal, signal_group, signal_name, take_stdio,
    wait_exited,
};

/// The signals that the crate sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: asks a process to end; it may clean up, and it may refuse.
    Term,
    /// SIGKILL: ends a process; it is not asked.
    Kill,
}

/// Whether the pid of a dead child is still ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// The child is a zombie: its pid, and the id of its process group, cannot be given to others.
    Yes,
    /// The system has forgotten the child (SIGCHLD is ignored, or another waited for it).
    No,
}
