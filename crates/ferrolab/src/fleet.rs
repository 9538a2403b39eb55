//! From the configuration to supervised children, and back to what people are shown.
//!
//! Owns which child stands for which entry of the configuration. Knows neither sockets nor files;
//! keeping a child running is the `supervisor` crate's.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use supervisor::{CommandSpec, EntrySpec, Handle, KeeperError, Phase, Signal, Status};
use tokio::sync::watch;

use crate::assignment::{DaemonAssignment, NameserverAssignment};
use crate::config::{Configuration, Daemon, Nameserver, Service};
use crate::control::{Listing, LockRow, ProcessRow, ServiceRow};
use crate::leftover_names::{BeforeStart, LeftoverNames};
use crate::paths::Paths;

/// Nameservers outlive the daemons that register with them.
const NAMESERVER_ORDER: u32 = 0;
const DAEMON_ORDER: u32 = 1;

/// The children of one lab host.
pub(crate) struct Fleet {
    configuration: Configuration,
    keeper: Handle,
}

/// The two kinds of children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nameserver,
    Daemon,
}

/// What a daemon reports about itself, and of it what people are shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Detail {
    uri: Option<String>,
    services: std::collections::BTreeMap<String, ServiceDetail>,
    warning: Option<String>,
}

/// What a daemon reports about a service.
#[derive(Debug, Deserialize)]
struct ServiceDetail {
    status: String,
    uri: Option<String>,
    error: Option<String>,
    #[serde(default)]
    python: Option<String>,
    lock: Option<LockRow>,
}

impl Fleet {
    /// Gives every entry of the configuration to the keeper, and starts those that start with the
    /// host.
    ///
    /// # Errors
    /// The keeper refuses an entry.
    pub(crate) async fn launch(
        configuration: Configuration,
        paths: &Paths,
        program: PathBuf,
        keeper: Handle,
    ) -> Result<Self, LaunchError> {
        let leftovers = LeftoverNames::start(keeper.clone());
        for nameserver in &configuration.nameservers {
            let database = paths.nameserver_database(&nameserver.name);
            let assignment = NameserverAssignment { config: nameserver.clone(), database };
            let assignment = serde_json::to_string(&assignment)?;
            let before: BeforeStart = Arc::new(|| {});
            let name = &nameserver.name;
            keeper.add(entry(Kind::Nameserver, name, &program, assignment, before)).await?;
        }
        for Daemon { name, .. } in &configuration.daemons {
            let Some(part) = configuration.part_of(name) else { continue };
            let names_gate = paths.daemon_names_gate(name);
            let before = leftovers.watch(Kind::Daemon.id(name), &part, names_gate.clone());
            let assignment = DaemonAssignment {
                part,
                state_file: paths.daemon_state(name),
                names_gate,
                locks: paths.lock_files(name),
            };
            let assignment = serde_json::to_string(&assignment)?;
            keeper.add(entry(Kind::Daemon, name, &program, assignment, before)).await?;
        }
        for name in &configuration.autolaunch.nameservers {
            keeper.start(&Kind::Nameserver.id(name)).await?;
        }
        for name in &configuration.autolaunch.daemons {
            keeper.start(&Kind::Daemon.id(name)).await?;
        }
        Ok(Fleet { configuration, keeper })
    }

    /// Stops all children.
    pub(crate) async fn shutdown(&self) {
        self.keeper.shutdown().await;
    }

    /// Tells when the listing may have changed.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.keeper.watch()
    }

    /// Everything there is, as of now.
    pub(crate) async fn listing(&self) -> Listing {
        let states = self.keeper.snapshot().await;
        let Configuration { nameservers, daemons, services, autolaunch, .. } = &self.configuration;
        let find = |kind: Kind, name: &str| {
            let id = kind.id(name);
            states.iter().find(|status| status.id == id)
        };
        let mut listing = Listing::default();
        for Nameserver { name, .. } in nameservers {
            let row = process_row(name, find(Kind::Nameserver, name));
            let autolaunch = autolaunch.nameservers.contains(name);
            listing.nameservers.push(ProcessRow { autolaunch, ..row });
        }
        for Daemon { name, .. } in daemons {
            let row = process_row(name, find(Kind::Daemon, name));
            let autolaunch = autolaunch.daemons.contains(name);
            listing.daemons.push(ProcessRow { autolaunch, ..row });
        }
        for Service { name, daemon, .. } in services {
            listing.services.push(service_row(name, daemon, find(Kind::Daemon, daemon)));
        }
        listing
    }
}

impl Kind {
    /// The keeper's name for an entry; also what the log shows.
    pub(crate) fn id(self, name: &str) -> String {
        format!("{} {name}", self.word())
    }

    /// The kind in the words of the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Nameserver => "nameserver",
            Kind::Daemon => "daemon",
        }
    }
}

/// Why the children cannot be launched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    #[error(transparent)]
    Keeper(#[from] KeeperError),
    #[error("cannot write an assignment: {0}")]
    Assignment(#[from] serde_json::Error),
}

fn entry(
    kind: Kind,
    name: &str,
    program: &std::path::Path,
    assignment: String,
    before: BeforeStart,
) -> EntrySpec {
    let (program, name_owned) = (program.to_path_buf(), name.to_owned());
    let command = Arc::new(move || {
        before();
        let mut command = CommandSpec::new(&program).args(["run", kind.word(), &name_owned]);
        // Asked, not shot: a daemon whose supervisor dies still brings its instruments to rest.
        command.parent_death_signal = Signal::Term;
        command
    });
    let order = match kind {
        Kind::Nameserver => NAMESERVER_ORDER,
        Kind::Daemon => DAEMON_ORDER,
    };
    EntrySpec { order, assignment, ..EntrySpec::new(kind.id(name), command) }
}

fn process_row(name: &str, status: Option<&Status>) -> ProcessRow {
    let Some(status) = status else {
        return ProcessRow {
            name: name.to_owned(),
            status: Phase::Stopped.to_string(),
            ..ProcessRow::default()
        };
    };
    let detail = detail(&status.detail);
    ProcessRow {
        name: name.to_owned(),
        status: status.phase.to_string(),
        uri: detail.uri,
        error: status.error.clone().or(detail.warning),
        pid: status.pid,
        since: status.since.and_then(|since| Timestamp::try_from(since).ok()).map(rfc3339),
        restarts: status.restarts,
        autolaunch: false,
    }
}

fn service_row(name: &str, daemon: &str, status: Option<&Status>) -> ServiceRow {
    let phase = status.map_or(Phase::Stopped, |status| status.phase);
    let mut row = ServiceRow {
        name: name.to_owned(),
        daemon: daemon.to_owned(),
        status: phase.to_string(),
        ..ServiceRow::default()
    };
    let Some(status) = status else { return row };
    if phase != Phase::Running {
        row.error = status.error.clone();
        return row;
    }
    match detail(&status.detail).services.remove(name) {
        Some(detail) => {
            row.status = detail.status;
            row.uri = detail.uri;
            row.error = detail.error;
            row.python = detail.python;
            let owner = detail.lock.as_ref().and_then(|lock| lock.owner.as_ref());
            row.locked_by = owner.map(|owner| owner.name().to_owned());
            row.locked_since = owner.map(|owner| owner.since.clone());
            row.lock = detail.lock;
        }
        None => row.status = Phase::Starting.to_string(),
    }
    row
}

/// A child's report; one that is not as expected shows as an empty one.
fn detail(report: &Value) -> Detail {
    Detail::deserialize(report).unwrap_or_default()
}

/// With whole seconds: nobody needs more of a start time.
fn rfc3339(time: Timestamp) -> String {
    time.round(jiff::Unit::Second).unwrap_or(time).to_string()
}
