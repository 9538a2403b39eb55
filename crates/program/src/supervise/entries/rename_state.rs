//! State files of an entry that are moved when it is renamed: its port, its locks' epochs, its
//! alarms, its names.
//!
//! They are moved while neither the old entry nor the new one runs.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use tracing::{info, warn};

use super::EntryKind;
use crate::files;
use crate::paths::{Paths, last_known_names};

/// Endings of the files of a database.
const PARTS: [&str; 3] = ["", "-wal", "-shm"];

/// Moves the files of entry `old` to `new` (`daemon bench`). A file that cannot be moved is logged:
/// the entry then starts as a new one would.
pub(super) fn carry_over(paths: &Paths, old: &str, new: &str) {
    let name = |kind: EntryKind, id: &'_ str| -> Option<String> {
        id.strip_prefix(kind.word())?.strip_prefix(' ').map(str::to_owned)
    };
    let daemons = name(EntryKind::Daemon, old).zip(name(EntryKind::Daemon, new));
    let nameservers = name(EntryKind::Nameserver, old).zip(name(EntryKind::Nameserver, new));
    let mut moves = Vec::new();
    if let Some((old, new)) = daemons {
        moves.push((paths.daemon_state(&old), paths.daemon_state(&new)));
        moves.push((paths.lock_files(&old).state, paths.lock_files(&new).state));
        moves.push((paths.alarms(&old), paths.alarms(&new)));
    }
    if let Some((old, new)) = nameservers {
        let (old, new) = (paths.nameserver_database(&old), paths.nameserver_database(&new));
        moves.push((last_known_names(&old), last_known_names(&new)));
        moves.extend(PARTS.map(|part| (with(&old, part), with(&new, part))));
    }
    for (from, to) in moves {
        // Of an entry that had the new name before: its names must not come back under this one's.
        let aside = move_file(&to, &files::previous(&to));
        match aside.and_then(|_| move_file(&from, &to)) {
            Ok(false) => {}
            Ok(true) => info!(from = %from.display(), to = %to.display(), "goes with its new name"),
            Err(error) => {
                warn!(%error, from = %from.display(), to = %to.display(), "does not go with its new name");
            }
        }
    }
}

fn with(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

/// Whether there was anything to move.
fn move_file(from: &Path, to: &Path) -> io::Result<bool> {
    match std::fs::rename(from, to) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
