//! Locks of a daemon's services: their settings, their log, and epochs that rise over restarts.
//!
//! The locks themselves are the `remote` crate's.

use std::path::Path;
use std::sync::Arc;

use lab_config::{self, DaemonClass, Service};
use remote::{Break, Daemon, LockEvent, LockSettings, Object};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::files;
use crate::log::drop_queue::Flush;
use crate::log::lock_log;
use crate::paths::LockFiles;
use crate::state_file;

/// Log line of a broken lock, which the supervisor notifies of.
pub(crate) const LOCK_BROKEN: &str = "a lock was broken";

/// Epochs that one life of a daemon may use; a thousand grants a second last for months.
const EPOCHS_PER_LIFE: u64 = 10_000_000_000;

/// Lives that a state file may tell of; their epochs still fit a double of JSON.
const MAX_LIVES: u64 = 900_000;

/// The state file of a daemon's locks.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Memory {
    /// How many lives it has had.
    lives: u64,
}

/// The first epoch of this life of a daemon: above all that it has had before. The second value
/// tells of a file that is lost.
pub(super) fn first_epoch(config: &lab_config::Daemon, files: &LockFiles) -> (u64, Option<String>) {
    match config.class {
        DaemonClass::Plain => (1, None),
        DaemonClass::Lockable => {
            let (lives, lost) = lives_before(&files.state);
            (lives.saturating_mul(EPOCHS_PER_LIFE).saturating_add(1), lost)
        }
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
            daemon.log_locks(Arc::new(move |service, record| {
                if let LockEvent::Broken(broken) = &record.event {
                    let Break { by, reason } = broken;
                    warn!(service, by, reason, "{LOCK_BROKEN}");
                }
                log(service, record);
            }));
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
            daemon.register_lockable(id, object, settings(service))
        }
        _ => daemon.register(id, object),
    };
    registered.map_err(|error| error.to_string())
}

/// The settings of a service's lock.
pub(super) fn settings(service: &Service) -> LockSettings {
    LockSettings {
        read_while_locked: service.read_while_locked.clone(),
        on_disconnect: service.on_disconnect.clone(),
        max_wait: service.lock_max_wait.unwrap_or_default(),
        max_ttl: service.lock_max_ttl.unwrap_or_default(),
        max_idle: service.lock_idle,
    }
}

/// Counts this life, and returns how many there were before it; and tells of a file that is lost.
fn lives_before(file: &Path) -> (u64, Option<String>) {
    let read = state_file::read(file).map(Option::unwrap_or_default);
    let (before, lost) = match read {
        Ok(Memory { lives }) if lives <= MAX_LIVES => (Memory { lives }, None),
        Ok(Memory { lives }) => {
            let reason = format!("{} tells of {lives} lives of the daemon", file.display());
            (hours_since_1970(), Some(reason))
        }
        Err(unusable) => (hours_since_1970(), Some(unusable.to_string())),
    };
    let lost = lost.map(|reason| format!("epochs of its locks go on far above: {reason}"));
    if let Some(lost) = &lost {
        warn!("{lost}");
    }
    let now = Memory { lives: before.lives + 1 };
    let written = serde_json::to_vec(&now)
        .map_err(|error| error.to_string())
        .and_then(|bytes| files::replace_private(file, &bytes).map_err(|error| error.to_string()));
    if let Err(error) = written {
        warn!(file = %file.display(), error,
            "cannot remember this life of the daemon; epochs may repeat after its next start");
    }
    (before.lives, lost)
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
        for life in 0..3 {
            assert_eq!(lives_before(&file), (life, None));
        }
        for damage in [&b"{\"liv"[..], b"{\"lives\": 18446744073709551615}"] {
            files::replace_private(&file, damage).unwrap();
            let (far_above, lost) = lives_before(&file);
            assert!(far_above > 400_000 && lost.is_some(), "{far_above}");
            assert_eq!(lives_before(&file), (far_above + 1, None));
        }
    }
}
