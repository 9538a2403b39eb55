//! Requests of a process to the operating system: open files, users, the working directory.
//!
//! Each connection is an open file, and a channel to a worker is two. The usual soft limit of
//! 1024 is for programs that use `select`, which we do not.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{debug, warn};

/// Raises the limit on open files to what the system allows.
pub(crate) fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        Ok(()) => {
            debug!(from = ?limit.current, to = ?limit.maximum, "raised the limit on open files")
        }
        // It serves all the same, only fewer.
        Err(error) => warn!(%error, "cannot raise the limit on open files"),
    }
}

/// Whether this process is in the foreground of its terminal: a Ctrl-C there reaches its children
/// too, as far as they are in its process group.
pub(crate) fn is_in_foreground() -> bool {
    let Ok(terminal) = std::fs::File::open("/dev/tty") else { return false };
    rustix::termios::tcgetpgrp(&terminal) == Ok(rustix::process::getpgrp())
}

/// Files that are open besides connections.
const OTHER_FILES: u64 = 100;

/// How many connections a process can have open: each takes file descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Connections {
    /// Served ones.
    pub(crate) served: usize,
    /// Those whose handshake is not done, in all: a quarter of the files at most.
    pub(crate) handshakes: usize,
    /// The same from one address.
    pub(crate) handshakes_per_address: usize,
}

impl Connections {
    /// The process's limit, if a served connection takes `each` files.
    pub(crate) fn allowed(each: u64) -> Self {
        Self::within(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX), each)
    }

    fn within(limit: u64, each: u64) -> Self {
        let handshakes = (limit / 4).clamp(1, 4096);
        let served = (limit.saturating_sub(OTHER_FILES + handshakes) / each.max(1)).max(1);
        let count = |number| usize::try_from(number).unwrap_or(usize::MAX);
        Connections {
            served: count(served),
            handshakes: count(handshakes),
            handshakes_per_address: count((handshakes / 2).clamp(1, 1024)),
        }
    }
}

/// Makes `folder` the working directory of this process and its children.
///
/// # Errors
/// It cannot be entered; then nothing changes.
pub(crate) fn enter(folder: &Path) -> io::Result<()> {
    std::env::set_current_dir(folder)
}

/// The program of a process, as a file that can be read also where the program was replaced; `None`
/// where the system does not tell.
pub(crate) fn program_of(pid: u32) -> Option<PathBuf> {
    let program = PathBuf::from(format!("/proc/{pid}/exe"));
    program.metadata().is_ok().then_some(program)
}

/// Whether a process was started with this argument; false where the system does not tell.
pub(crate) fn has_argument(pid: u32, argument: &str) -> bool {
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    words.split(|byte| *byte == 0).any(|word| word == argument.as_bytes())
}

/// Whether the file of a process's program was replaced since the process has started.
pub(crate) fn is_replaced(pid: u32) -> bool {
    let link = program_of(pid).and_then(|program| program.read_link().ok());
    link.is_some_and(|program| program.as_os_str().as_bytes().ends_with(b" (deleted)"))
}

/// Whether both paths lead to one file.
pub(crate) fn is_same_file(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| path.metadata().ok().map(|facts| (facts.dev(), facts.ino()));
    identity(one).is_some_and(|one| identity(other) == Some(one))
}

/// Tells the supervisor which service manager's unit has started it; the unit sets it.
pub(crate) const MANAGER: &str = "FERROLAB_SERVICE";
/// The host's service manager.
pub(crate) const SYSTEM: &str = "system";
/// A user's own service manager.
pub(crate) const USER: &str = "user";

/// The service manager whose unit this is: [`SYSTEM`] or [`USER`].
pub(crate) fn manager() -> Option<String> {
    let named = std::env::var(MANAGER).ok().filter(|name| [SYSTEM, USER].contains(&name.as_str()));
    // The variable alone may have been inherited.
    named.filter(|_| std::env::var_os("NOTIFY_SOCKET").is_some())
}

/// A user of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) id: u32,
    pub(crate) home: PathBuf,
}

/// The user of this name, by any of the host's user databases.
///
/// # Errors
/// The host cannot say.
pub(crate) fn user(name: &str) -> io::Result<Option<User>> {
    if name.contains('\0') {
        return Ok(None);
    }
    let found = nix::unistd::User::from_name(name).map_err(io::Error::from)?;
    Ok(found.map(|user| User { name: user.name, id: user.uid.as_raw(), home: user.dir }))
}

/// The name of the user that this process runs as, by any of the host's user databases.
pub(crate) fn user_name() -> Option<String> {
    name_of_user(user_id())
}

/// The name of the user of this id, by any of the host's user databases.
pub(crate) fn name_of_user(id: u32) -> Option<String> {
    let found = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(id)).ok().flatten();
    found.map(|user| user.name).filter(|name| !name.is_empty())
}

/// The name of this host.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The id of the user that this process runs as.
pub(crate) fn user_id() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_share_the_limit_on_open_files() {
        let cases = [
            (0, 1, 1, 1, 1),
            (256, 3, 30, 64, 32),
            (1024, 1, 668, 256, 128),
            (1024, 3, 222, 256, 128),
            (1 << 20, 3, 348_126, 4096, 1024),
        ];
        for (limit, each, served, handshakes, handshakes_per_address) in cases {
            let expected = Connections { served, handshakes, handshakes_per_address };
            assert_eq!(Connections::within(limit, each), expected, "{limit} files");
        }
    }
}
