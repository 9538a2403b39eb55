//! Locks of a daemon's services: their settings and their log.
//!
//! The locks themselves are the `remote` crate's.

use std::sync::Arc;

use lab_config::{self, DaemonClass, Service};
use remote::{Break, Daemon, LockEvent, LockSettings, Object};
use tracing::warn;

use crate::log::drop_queue::Flush;
use crate::log::lock_log;
use crate::paths::LockFiles;

/// Log line of a broken lock, which the supervisor notifies of.
pub(crate) const LOCK_BROKEN: &str = "a lock was broken";

/// Begins the lock log, if the daemon has locks. The numbers of its lines, like its epochs,
/// continue those of earlier lives.
pub(super) fn begin_log(
    daemon: &Daemon,
    config: &lab_config::Daemon,
    files: &LockFiles,
    first_epoch: u64,
) -> Option<Flush<lock_log::LockLogLine>> {
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
