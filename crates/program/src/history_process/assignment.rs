//! Messages of the supervisor to the history process, and what of a configuration is recorded.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use lab_config::{Access, Configuration, Daemon, History, Push};
use serde::{Deserialize, Serialize};

/// Assignment of the history process: one line of JSON on its standard input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct HistoryAssignment {
    pub(crate) config: History,
    /// Where the samples are.
    pub(crate) folder: PathBuf,
    /// Where it listens for this host.
    pub(crate) socket: PathBuf,
    /// Members whose samples are recorded.
    pub(crate) members: Vec<RecordedMember>,
    /// The daemons that poll members, or keep what clients read.
    pub(crate) daemons: Vec<Daemon>,
    /// The lab's certificate authority, for daemons that take TLS only.
    pub(crate) authority: PathBuf,
    /// Databases that get all values.
    #[serde(default)]
    pub(crate) push: Vec<Push>,
    /// Roles of clients; everybody may read everything if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) access: Option<Access>,
}

/// A member whose samples are recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RecordedMember {
    pub(crate) service: String,
    pub(crate) member: String,
    /// Seconds for which its samples are kept; as those of others if absent.
    pub(crate) keep: Option<f64>,
    /// Seconds between two readings.
    pub(crate) poll: Option<f64>,
}

/// Message of the supervisor: where daemons listen that run, by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct FeedAddresses {
    pub(crate) daemons: BTreeMap<String, String>,
}

/// The members of a configuration whose samples are recorded, and the daemons that have them.
pub(crate) fn recorded(configuration: &Configuration) -> (Vec<RecordedMember>, Vec<Daemon>) {
    let mut members = Vec::new();
    let mut daemons: Vec<Daemon> = Vec::new();
    for service in &configuration.services {
        for member in service.members.iter().filter(|member| member.has_series()) {
            let seconds = |duration: Option<Duration>| duration.map(|it| it.as_secs_f64());
            members.push(RecordedMember {
                service: service.name.clone(),
                member: member.name.clone(),
                keep: seconds(member.keep),
                poll: seconds(member.poll),
            });
            if daemons.iter().all(|daemon| daemon.name != service.daemon) {
                daemons.extend(configuration.daemon(&service.daemon).cloned());
            }
        }
    }
    (members, daemons)
}
