//! Operating system calls: fork and exec, signals, waiting. The only unsafe code of the crate.
//!
//! Each platform module has the same functions:
//!
//! - `prepare` sets death signal, process group and signal mask of a command's child;
//! - `new_session` starts a new session for a command's child, which outlives ours;
//! - `wait_exited` blocks until a child is dead; true if it is a zombie, whose pid and process
//!   group id cannot be given to others, false if the system has forgotten it;
//! - `signal`, `signal_group` send a signal to a child that the caller has not reaped;
//! - `ending_signal` is the signal that ended a process;
//! - `take_stdio` takes the lifeline's pipes out of the standard streams;
//! - `kill_self` ends this process without running exit handlers.

#[cfg(target_os = "linux")]
mod linux;

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::{
    ending_signal, kill_self, new_session, prepare, signal, signal_group, signal_name, take_stdio,
    wait_exited,
};

#[cfg(not(unix))]
mod other;
#[cfg(not(unix))]
pub(crate) use other::{
    ending_signal, kill_self, new_session, prepare, signal, signal_group, signal_name, take_stdio,
    wait_exited,
};

/// Signal that the crate sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: asks a process to end; it may clean up, and it may refuse.
    Term,
    /// SIGKILL: ends a process at once.
    Kill,
    /// SIGINT: what a terminal sends for Ctrl-C.
    Interrupt,
    /// SIGQUIT: what a terminal sends for Ctrl-\.
    Quit,
    /// SIGUSR1: means what the program says.
    User1,
    /// SIGUSR2: means what the program says.
    User2,
}
