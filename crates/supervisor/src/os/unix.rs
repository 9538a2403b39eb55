//! Unix signals, process groups, and waiting without reaping.
//!
//! Only Linux has a parent death signal; elsewhere only the end of its standard input reports a
//! parent's death to a child.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};

use rustix::process::{Pid, WaitId, WaitIdOptions};

use super::Signal;

/// Sets up the child of `command`: the signal for our death, no blocked signals, and the process
/// group of the leader `group` (0: a new group).
pub(crate) fn prepare(command: &mut Command, death: Option<Signal>, group: Option<u32>) {
    if let Some(leader) = group.and_then(|leader| i32::try_from(leader).ok()) {
        command.process_group(leader);
    }
    let parent = std::process::id();
    // SAFETY: the closure runs in the child between fork and exec, where other threads' locks may
    // be held for ever. It allocates nothing and takes no lock: it makes system calls that are
    // async-signal-safe, on values that were copied before the fork.
    unsafe {
        command.pre_exec(move || {
            unblock_signals()?;
            death.map_or(Ok(()), |death| die_with_parent(parent, death))
        });
    }
}

/// Makes the child of `command` lead a new session: no terminal's Ctrl-C or hang-up reaches it.
pub(crate) fn new_session(command: &mut Command) {
    // SAFETY: as in `prepare`; setsid is async-signal-safe, and cannot fail in a fresh child,
    // which leads no process group.
    unsafe {
        command.pre_exec(|| {
            unblock_signals()?;
            rustix::process::setsid()?;
            Ok(())
        });
    }
}

/// Clears the signal mask, which a child inherits from the thread that forked. A child with SIGTERM
/// blocked could not be asked to end, nor signalled on its parent's death.
fn unblock_signals() -> io::Result<()> {
    // SAFETY: `set` is initialised by sigemptyset before it is read; both functions, and signal,
    // are async-signal-safe, and the forked child has this one thread.
    unsafe {
        let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        if libc::sigemptyset(set.as_mut_ptr()) != 0
            || libc::sigprocmask(libc::SIG_SETMASK, set.as_ptr(), std::ptr::null_mut()) != 0
            || libc::signal(libc::SIGTERM, libc::SIG_DFL) == libc::SIG_ERR
        {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn die_with_parent(parent: u32, death: Signal) -> io::Result<()> {
    super::linux::die_with_parent(parent, raw(death))
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_parent: u32, _death: Signal) -> io::Result<()> {
    Ok(())
}

/// Blocks until the child is dead. Leaves it a zombie, so that its pid stays taken; false if the
/// system has forgotten it (SIGCHLD is ignored, or another waited for it).
pub(crate) fn wait_exited(pid: u32, _has_exited: impl FnMut() -> bool) -> bool {
    let Some(pid) = child_pid(pid) else { return false };
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    loop {
        match rustix::process::waitid(WaitId::Pid(pid), options) {
            Ok(Some(_)) => return true,
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

/// Signals one process, which the caller has not reaped.
pub(crate) fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = child_pid(pid) {
        // A zombie has ended, as the signal asks.
        let _ = rustix::process::kill_process(pid, raw(signal));
    }
}

/// Signals a process group, whose leader the caller has not reaped.
pub(crate) fn signal_group(pid: u32, signal: Signal) {
    if let Some(pid) = child_pid(pid) {
        let _ = rustix::process::kill_process_group(pid, raw(signal));
    }
}

/// The signal that ended a process.
pub(crate) fn ending_signal(status: ExitStatus) -> Option<i32> {
    status.signal()
}

/// The name of a signal that ends processes.
pub(crate) fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        libc::SIGSYS => "SIGSYS",
        _ => return None,
    })
}

/// Takes the lifeline's pipes out of the standard streams, so that no library can read a `stop` or
/// corrupt a report: stdin becomes `/dev/null`, stdout a copy of stderr.
pub(crate) fn take_stdio() -> io::Result<(File, File)> {
    let reader = duplicate(rustix::stdio::stdin())?;
    let writer = duplicate(rustix::stdio::stdout())?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    Ok((reader, writer))
}

fn duplicate(fd: std::os::fd::BorrowedFd<'_>) -> io::Result<File> {
    let fd: OwnedFd = rustix::io::fcntl_dupfd_cloexec(fd, 3)?;
    Ok(File::from(fd))
}

/// Ends this process at once.
pub(crate) fn kill_self() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), raw(Signal::Kill));
}

fn raw(signal: Signal) -> rustix::process::Signal {
    match signal {
        Signal::Term => rustix::process::Signal::TERM,
        Signal::Kill => rustix::process::Signal::KILL,
        Signal::Interrupt => rustix::process::Signal::INT,
        Signal::Quit => rustix::process::Signal::QUIT,
        Signal::User1 => rustix::process::Signal::USR1,
        Signal::User2 => rustix::process::Signal::USR2,
    }
}

/// A pid that can be a child's. To kill(2), 0 and negative numbers mean whole groups.
fn child_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().filter(|pid| *pid > 1).and_then(Pid::from_raw)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// Blocks SIGTERM in this thread.
    fn block_sigterm() {
        // SAFETY: as in `unblock_signals`.
        unsafe {
            let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
            assert_eq!(libc::sigemptyset(set.as_mut_ptr()), 0);
            assert_eq!(libc::sigaddset(set.as_mut_ptr(), libc::SIGTERM), 0);
            let old = std::ptr::null_mut();
            assert_eq!(libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), old), 0);
        }
    }

    #[test]
    fn a_child_starts_with_no_signal_blocked() {
        let blocked = |armed: bool| {
            let mut command = Command::new("grep");
            command.args(["SigBlk", "/proc/self/status"]);
            if armed {
                prepare(&mut command, Some(Signal::Kill), Some(0));
            }
            let output = command.output().unwrap();
            String::from_utf8(output.stdout).unwrap().split_whitespace().last().unwrap().to_owned()
        };
        std::thread::spawn(move || {
            block_sigterm();
            assert_eq!(blocked(false), "0000000000004000", "or else this test tests nothing");
            assert_eq!(blocked(true), "0000000000000000");
        })
        .join()
        .unwrap();
    }

    #[test]
    fn groups_cannot_be_signalled_by_mistake() {
        for pid in [0, 1, u32::MAX, 1 << 31] {
            assert_eq!(child_pid(pid), None, "{pid}");
        }
    }
}
