//! Parent death signal (Linux only): the kernel signals a child when its parent dies.
//!
//! PR_SET_PDEATHSIG follows the *thread* that forked, not the process: hence
//! [`Spawner`](crate::Spawner). It survives exec, unless the program is setuid or has file
//! capabilities, and the child's own children do not inherit it.

use std::io;

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// Sets the signal. Runs in the child between fork and exec: system calls only, no allocation.
pub(super) fn die_with_parent(parent: u32, signal: Signal) -> io::Result<()> {
    set_parent_process_death_signal(Some(signal))?;
    // If the parent died before the line above, no signal will ever come.
    let now = getppid().map_or(0, Pid::as_raw_pid);
    if u32::try_from(now) == Ok(parent) {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::ESRCH))
    }
}
