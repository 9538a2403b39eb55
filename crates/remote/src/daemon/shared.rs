//! The parts of a daemon that all its connections share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use wire::uri::Location;

use crate::admission::Admission;
use crate::config::DaemonConfig;
use crate::daemon::access_gate::AccessGate;
use crate::daemon::call_log::CallLogger;
use crate::daemon::call_rules::RuleTable;
use crate::daemon::calls::RunningCalls;
use crate::daemon::locks::table::LockTable;
use crate::daemon::log_limiter::LogLimiter;
use crate::daemon::registry::Registry;
use crate::daemon::streams::Streams;
use crate::daemon::validator::Validator;
use crate::users::UserDirectory;

/// The parts of a daemon that all its connections share.
pub(crate) struct Shared {
    pub(crate) config: DaemonConfig,
    pub(crate) validator: RwLock<Option<Validator>>,
    pub(crate) users: RwLock<Option<Arc<dyn UserDirectory>>>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) streams: Arc<Streams>,
    pub(crate) locks: Arc<LockTable>,
    pub(crate) admission: Admission,
    pub(crate) calls: Arc<RunningCalls>,
    pub(crate) access: Arc<AccessGate>,
    pub(crate) call_rules: RuleTable,
    pub(crate) call_log: CallLogger,
    pub(crate) log_limits: LogLimits,
    pub(super) next_session: AtomicU64,
    pub(super) locations: RwLock<Vec<Location>>,
}

/// The limits of log lines that clients can cause.
#[derive(Debug, Default)]
pub(crate) struct LogLimits {
    /// Peers that are refused, or do not keep to the protocol.
    pub(crate) peers: LogLimiter,
    /// Oneway calls that raised: only the log says so.
    pub(crate) oneways: LogLimiter,
}

impl Shared {
    pub(crate) fn session_id(&self) -> u64 {
        self.next_session.fetch_add(1, Ordering::Relaxed)
    }

    /// The users that the daemon knows, if it knows any.
    pub(crate) fn users(&self) -> Option<Arc<dyn UserDirectory>> {
        self.users.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(Arc::clone)
    }

    /// Where the daemon listens, in the words of `Pyro.Daemon.info()`.
    pub(crate) fn locations(&self) -> String {
        let locations = self.locations.read().unwrap_or_else(PoisonError::into_inner);
        locations.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }

    /// The NAT address that stands for a location of ours.
    pub(super) fn nat(&self, own: &Location) -> Option<Location> {
        match (&self.config.nat, own) {
            (Some((host, 0)), Location::Tcp { port, .. }) => {
                Some(Location::Tcp { host: host.clone(), port: *port })
            }
            (Some((host, port)), Location::Tcp { .. }) => {
                Some(Location::Tcp { host: host.clone(), port: *port })
            }
            _ => None,
        }
    }

    /// The NAT address of the first location, in the words of `Pyro.Daemon.info()`.
    pub(crate) fn nat_location(&self) -> Option<Location> {
        let locations = self.locations.read().unwrap_or_else(PoisonError::into_inner);
        locations.iter().find_map(|own| self.nat(own))
    }
}
