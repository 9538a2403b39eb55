//! Locks of a daemon's services: their settings, their log, and epochs that rise over restarts.
//!
//! The locks themselves are the `remote` crate's.

use std::path::Path;
use std::sync::Arc;

use lab_config::{self, DaemonClass, Service};
use remote::{Daemon, LockSettings, Object};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::files;
use crate::log::drop_queue::Flush;
use crate::log::lock_log;
use crate::paths::LockFiles;

/// Epochs that one life of a daemon may use; a thousand grants a second last for months.
const EPOCHS_PER_LIFE: u64 = 10_000_000_000;

/// The state file of a daemon's locks.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Memory {
    /// How many lives it has had.
    lives: u64,
}

/// The first epoch of this life of a daemon: above all that it has had before.
pub(super) fn first_epoch(config: &lab_config::Daemon, files: &LockFiles) -> u64 {
    match config.class {
        DaemonClass::Plain => 1,
        DaemonClass::Lockable => lives_before(&files.state) * EPOCHS_PER_LIFE + 1,
    }
}

/// Begins the lock log, if the daemon has locks. The numbers of its lines, like its epochs,
/// continue those of earlier lives.
pub(super) fn begin_log(
    daemon: &Daemon,
    config: &lab_config::Daemon,
    files: &LockFiles,
    first_epoch: u64,
) -> Option<Flush<lock_log::Line>> {
    if config.class == DaemonClass::Plain {
        return None;
    }
    match lock_log::open(&files.log, &config.name, first_epoch) {
        Ok((log, flush)) => {
            daemon.log_locks(log);
            Some(flush)
        }
        Err(error) => {
            // Locks without a log are better than instruments without locks.
            warn!(file = %files.log.display(), %error, "there will be no lock log");
            None
        }
    }
}

/// Serves a service, with a lock where its daemon has them.
///
/// # Errors
/// Its name is taken.
pub(super) fn register(
    daemon: &Daemon,
    class: DaemonClass,
    service: Option<&Service>,
    id: &str,
    object: Arc<dyn Object>,
) -> Result<(), String> {
    let registered = match (class, service) {
        (DaemonClass::Lockable, Some(service)) => {
            let settings = LockSettings {
                read_while_locked: service.read_while_locked.clone(),
                on_disconnect: service.on_disconnect.clone(),
                max_wait: service.lock_max_wait.unwrap_or_default(),
                max_ttl: service.lock_max_ttl.unwrap_or_default(),
            };
            daemon.register_lockable(id, object, settings)
        }
        _ => daemon.register(id, object),
    };
    registered.map_err(|error| error.to_string())
}

/// Counts this life, and returns how many there were before it.
fn lives_before(file: &Path) -> u64 {
    let before = match std::fs::read_to_string(file) {
        Ok(text) => serde_json::from_str(&text).unwrap_or_else(|error| {
            warn!(file = %file.display(), %error,
                "cannot read how many lives the daemon has had; epochs go on far above");
            hours_since_1970()
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Memory::default(),
        Err(error) => {
            warn!(file = %file.display(), %error, "cannot read the memory of the locks");
            hours_since_1970()
        }
    };
    let now = Memory { lives: before.lives + 1 };
    let written = serde_json::to_vec(&now)
        .map_err(|error| error.to_string())
        .and_then(|bytes| files::replace_private(file, &bytes).map_err(|error| error.to_string()));
    if let Err(error) = written {
        warn!(file = %file.display(), error,
            "cannot remember this life of the daemon; epochs may repeat after its next start");
    }
    before.lives
}

/// More than the lives that any daemon has had, and still small enough for a double.
fn hours_since_1970() -> Memory {
    let seconds = jiff::Timestamp::now().as_second();
    Memory { lives: u64::try_from(seconds / 3600).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_rise_from_life_to_life() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("locks.json");
        assert_eq!([lives_before(&file), lives_before(&file), lives_before(&file)], [0, 1, 2]);
        files::replace_private(&file, b"{\"liv").unwrap();
        let far_above = lives_before(&file);
        assert!(far_above > 400_000, "{far_above}");
        assert_eq!(lives_before(&file), far_above + 1);
    }
}
