//! Control protocol between the command line and the supervisor: JSON lines over a Unix socket.
//!
//! Owns the messages and both ends. Only the user who started the lab can
//! open the socket: it is 0600 in a 0700 directory.

mod admin_audit;
pub(crate) mod client;
pub(crate) mod server;
mod visible;

use lab_config::OtherLab;
use serde::{Deserialize, Serialize};

use crate::access::AccessClient;
use crate::host::{AlarmRow, CallRow, FullPool, ServiceReport};
use crate::supervise::incidents::Incident;

pub(crate) use visible::{LAB_ITSELF, Visible};

/// Request of the command line; one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub(crate) enum Request {
    /// Everything there is, as of now.
    Ps {
        /// Have the daemons look at their drivers' files first.
        #[serde(default)]
        looks: bool,
    },
    /// Everything there is at each change, until the client closes the connection.
    Watch,
    /// Progress until everything that starts with the host is ready or has failed.
    Settle {
        /// The answer comes after this many seconds at the latest.
        seconds: u64,
    },
    /// Stop everything and end.
    Down {
        #[serde(default)]
        in_use: WhenInUse,
    },
    /// Start, stop or restart one entry, and answer when it has settled.
    Act {
        action: Action,
        kind: EntryKind,
        name: String,
        /// The answer comes after this many seconds at the latest.
        seconds: u64,
        #[serde(default)]
        in_use: WhenInUse,
    },
    /// Restart the workers of these services, and answer when the services have settled.
    RestartServices {
        names: Vec<String>,
        /// The answer comes after this many seconds at the latest.
        seconds: u64,
        #[serde(default)]
        in_use: WhenInUse,
    },
    /// Somebody looks after the alarms of a series (SERVICE.MEMBER), or of a whole service. A note
    /// for each series comes before the answer.
    AcknowledgeAlarms {
        name: String,
        by: String,
        reason: String,
        /// The client of the page that asks; absent from the command line, whose user the operating
        /// system knows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client: Option<AccessClient>,
    },
    /// An entry gets another name with the next reload; what was decided of it by hand then holds
    /// under that name.
    Renamed { kind: EntryKind, old: String, new: String },
    /// Take up the configuration file, and answer when everything has settled.
    Reload {
        /// The answer comes after this many seconds at the latest.
        seconds: u64,
        #[serde(default)]
        in_use: WhenInUse,
    },
}

/// The consequence of a held lock or a running call in what a request stops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WhenInUse {
    /// The request is refused.
    Refuse,
    /// The request waits until it is free.
    Wait,
    /// It is stopped all the same; what a command line of 0.1.0 means.
    #[default]
    Force,
}

/// The kinds of children.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EntryKind {
    Nameserver,
    Daemon,
    /// A process of which a lab has one: the page (`web`), the history (`history`). Its name is its
    /// command.
    Process,
}

impl EntryKind {
    /// The keeper's name for an entry; also what the log shows.
    pub(crate) fn id(self, name: &str) -> String {
        format!("{} {name}", self.word())
    }

    /// The kind in the words of the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            EntryKind::Nameserver => "nameserver",
            EntryKind::Daemon => "daemon",
            EntryKind::Process => "process",
        }
    }
}

/// Action on one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    Start,
    Stop,
    Restart,
}

impl Action {
    /// The word of the command line.
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Action::Start => "start",
            Action::Stop => "stop",
            Action::Restart => "restart",
        }
    }
}

/// Changes of a reload, by entry (`daemon bench`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Changes {
    /// New in the configuration.
    pub(crate) added: Vec<String>,
    /// No longer in the configuration: stopped and forgotten.
    pub(crate) removed: Vec<String>,
    /// Running, and restarted because their part of the configuration is another: entries, and
    /// single services (`service cam`) where the rest of their daemon goes on.
    pub(crate) restarted: Vec<String>,
    /// Daemons that have taken up a change without a restart, of themselves or of a service.
    pub(crate) adjusted: Vec<String>,
    /// Not running, with another part of the configuration for their next start.
    pub(crate) changed: Vec<String>,
    /// Started, because the configuration wants them to run now.
    pub(crate) started: Vec<String>,
    /// Left alone.
    pub(crate) unchanged: Vec<String>,
    /// Steps that failed.
    pub(crate) problems: Vec<String>,
    /// Oddities of the file.
    pub(crate) warnings: Vec<String>,
}

impl Changes {
    /// In one line: `restarted daemon a; unchanged: 3`.
    pub(crate) fn summary(&self) -> String {
        let parts = [
            ("added", &self.added),
            ("removed", &self.removed),
            ("restarted", &self.restarted),
            ("changed without a restart", &self.adjusted),
            ("changed, for the next start", &self.changed),
            ("started", &self.started),
        ];
        let mut said: Vec<String> = parts
            .iter()
            .filter(|(_, ids)| !ids.is_empty())
            .map(|(what, ids)| format!("{what}: {}", ids.join(", ")))
            .collect();
        if said.is_empty() {
            said.push("nothing has changed".to_owned());
        }
        said.push(format!("left alone: {}", self.unchanged.len()));
        said.join("; ")
    }
}

/// Answer of the supervisor; one line each, the last one being `Done`, `Ending`,
/// `InUse` or `Refused`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(crate) enum Answer {
    /// How things stand, while the request goes on.
    Progress(Listing),
    /// An outcome of the request so far, for a person.
    Note { text: String },
    /// The changes of a reload.
    Changes(Changes),
    /// The request waits for these uses to end, a sentence for each.
    Waiting { uses: Vec<String> },
    /// The request is not done, because of these uses.
    InUse { uses: Vec<String> },
    /// The request is done; how things stand now.
    Done(Listing),
    /// The request is not done: the lab is being stopped.
    Ending,
    /// The request is not done, and why.
    Refused {
        /// For a person.
        reason: String,
    },
}

/// All entries of a lab host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Listing {
    pub(crate) nameservers: Vec<ProcessRow>,
    pub(crate) daemons: Vec<ProcessRow>,
    pub(crate) services: Vec<ServiceRow>,
    /// The processes of which a lab has one; a supervisor of 0.1.0 has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) processes: Vec<ProcessRow>,
    /// Calls that run or wait, the longest of each daemon first.
    #[serde(default)]
    pub(crate) calls: Vec<CallRow>,
    /// Alarms that are not `ok`.
    #[serde(default)]
    pub(crate) alarms: Vec<AlarmRow>,
    /// How many series have alarms.
    #[serde(default)]
    pub(crate) alarms_watched: usize,
    /// Faults of the host itself, in sentences.
    #[serde(default)]
    pub(crate) troubles: Vec<String>,
    /// Incidents of the last day that are over.
    #[serde(default)]
    pub(crate) incidents: Vec<Incident>,
    /// The supervisor.
    #[serde(default)]
    pub(crate) host: Host,
    /// Other labs that this one is shown with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) labs: Vec<LabRow>,
}

/// Another lab.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LabRow {
    #[serde(flatten)]
    pub(crate) lab: OtherLab,
    /// The reason why it is not in the listing, of a command that has asked it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) away: Option<String>,
}

impl LabRow {
    /// Leaves out the paths of files.
    pub(crate) fn hide_files(&mut self) {
        let OtherLab { ssl_cacerts, ssl_clientcert, ssl_clientkey, .. } = &mut self.lab;
        (*ssl_cacerts, *ssl_clientcert, *ssl_clientkey) = (None, None, None);
    }
}

impl Listing {
    /// The rows of all processes with their kinds, in the order in which people are shown them.
    pub(crate) fn all_processes(&self) -> impl Iterator<Item = (EntryKind, &ProcessRow)> {
        let rows = [
            (EntryKind::Nameserver, &self.nameservers),
            (EntryKind::Daemon, &self.daemons),
            (EntryKind::Process, &self.processes),
        ];
        rows.into_iter().flat_map(|(kind, rows)| rows.iter().map(move |row| (kind, row)))
    }
}

/// The supervisor itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Host {
    pub(crate) pid: u32,
    /// When it has started, RFC 3339.
    pub(crate) since: String,
    pub(crate) version: String,
    /// The fingerprint of the configuration file that is in force.
    pub(crate) configuration: String,
    /// The service manager that has started it by `service install`: `system` or `user`.
    pub(crate) manager: Option<String>,
}

/// A nameserver, a daemon or another process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessRow {
    pub(crate) name: String,
    /// `starting`, `running`, `restarting`, `failed`, `stopping` or `stopped`.
    pub(crate) status: String,
    pub(crate) uri: Option<String>,
    /// The URI at which processes of this host reach it; not of a process without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) pid: Option<u32>,
    /// When the process started, RFC 3339.
    pub(crate) since: Option<String>,
    /// Restarts after crashes, since it was last started by hand.
    pub(crate) restarts: u32,
    /// Whether it starts with the host.
    pub(crate) autolaunch: bool,
    /// Whether it is to run: by `autolaunch`, unless somebody has started or stopped it by hand.
    #[serde(default)]
    pub(crate) wanted: bool,
    /// Python processes of a daemon that run. Zero is left out, as 0.1.0 does not know the field.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) workers: usize,
    /// The connections of a daemon that has as many as it may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) full: Option<FullPool>,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// A service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServiceRow {
    pub(crate) name: String,
    /// While its daemon does not run, with the status of that.
    #[serde(flatten)]
    pub(crate) report: ServiceReport,
    /// The daemon that hosts it.
    pub(crate) daemon: String,
    /// The description in its configuration.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) description: String,
    /// Words by which people group and find it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<String>,
    /// The key of its configuration that has the instrument's address: `parameters`, or
    /// `arguments` where only that is used.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) address_key: String,
    /// Whether a stand-in serves in the place of its instrument.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) simulated: bool,
    /// The owner of its lock: the name that was given, or an address.
    pub(crate) locked_by: Option<String>,
    /// Since when, RFC 3339.
    pub(crate) locked_since: Option<String>,
    /// How many calls run or wait in it; a supervisor of 0.1.0 does not say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) calls: Option<usize>,
}
