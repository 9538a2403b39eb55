//! Each entry of a configuration as a child to be.
//!
//! Owns how an entry's part of the configuration becomes an assignment and a command. Two equal
//! plans mean that a reload leaves the child alone. Refuses to know what runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lab_config::{
    Access, AuditNeed, Configuration, Daemon, DaemonPart, History, Service, Supervision, Target,
};
use supervisor::{CommandSpec, EntrySpec, KeeperError, RestartPolicy, Signal};

use super::{EntryKind, lab_id};
use crate::audit::AuditPlace;
use crate::authority::AuthorityFiles;
use crate::daemon_keys::DaemonKeys;
use crate::history_process::{self, HistoryAssignment};
use crate::host::{DaemonAssignment, services_to_restart};
use crate::labs::LabSource;
use crate::nameserver_process::NameserverAssignment;
use crate::paths::{Paths, PathsError};
use crate::web::{self, WebAssignment};

/// Nameservers outlive the daemons that register with them.
const NAMESERVER_ORDER: u32 = 0;
const DAEMON_ORDER: u32 = 1;
/// A client of both.
const PROCESS_ORDER: u32 = 2;
/// The history hears the last values of the daemons.
const HISTORY_ORDER: u32 = 0;

/// Why the children cannot be launched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    #[error(transparent)]
    Keeper(#[from] KeeperError),
    #[error("cannot write an assignment: {0}")]
    Assignment(#[from] serde_json::Error),
    #[error(transparent)]
    Paths(#[from] PathsError),
}

/// A child to be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    kind: EntryKind,
    name: String,
    assignment: String,
    /// Of a daemon, the same.
    daemon: Option<DaemonAssignment>,
    /// Of a nameserver, the same.
    nameserver: Option<NameserverAssignment>,
    /// Of the page, the same.
    web: Option<WebAssignment>,
    supervision: Supervision,
}

/// How a running entry takes up a plan.
pub(super) enum Takeover {
    /// Its process starts anew.
    Restart,
    /// A daemon restarts the workers of these services, or none.
    InPlace { part: Box<DaemonPart>, services: BTreeSet<String> },
    /// A nameserver, or the page, applies other rules of access; a nameserver also calls daemons
    /// with other keys.
    OtherAccess { access: Option<Box<Access>>, keys: Option<Box<DaemonKeys>> },
}

/// The plans of a configuration's entries, by their ids.
pub(super) fn all(
    configuration: &Configuration,
    paths: &Paths,
) -> Result<BTreeMap<String, Plan>, LaunchError> {
    let mut plans = BTreeMap::new();
    for nameserver in &configuration.nameservers {
        let name = nameserver.name.clone();
        let database = paths.nameserver_database(&name);
        let nameserver_assignment = NameserverAssignment {
            config: nameserver.clone(),
            database,
            authority: AuthorityFiles::in_folder(paths.access_folder()),
            users: Some(paths.access_folder()),
            lab: Some(lab_id::of(paths).to_owned()),
            audit: Some(paths.audit_of_nameserver(&name)),
            access: configuration.access.clone(),
            source: Some(LabSource {
                socket: paths.control_socket()?,
                keys: DaemonKeys::new(&configuration.daemons, paths.access_folder()),
            }),
        };
        let assignment = serde_json::to_string(&nameserver_assignment)?;
        let kind = EntryKind::Nameserver;
        plans.insert(
            kind.id(&name),
            Plan {
                kind,
                name,
                assignment,
                daemon: None,
                nameserver: Some(nameserver_assignment),
                web: None,
                supervision: nameserver.supervision.clone(),
            },
        );
    }
    for Daemon { name, supervision, .. } in &configuration.daemons {
        let Some(part) = configuration.part_of(name) else { continue };
        let is_python = |service: &Service| matches!(service.target, Target::Python { .. });
        let folder = configuration.folder.clone().filter(|_| part.services.iter().any(is_python));
        let is_required = configuration.audit == AuditNeed::Required;
        let daemon = DaemonAssignment {
            part,
            folder,
            state_file: paths.daemon_state(name),
            names_gate: paths.daemon_names_gate(name),
            locks: paths.lock_files(name),
            call_log: Some(paths.call_log(name)),
            alarms: Some(paths.alarms(name)),
            authority: AuthorityFiles::in_folder(paths.access_folder()),
            audit: Some(AuditPlace { is_required, ..paths.audit_of_daemon(name) }),
            users: Some(paths.access_folder()),
            lab: Some(lab_id::of(paths).to_owned()),
            own_nameservers: configuration.autolaunch.nameservers.clone(),
        };
        let assignment = serde_json::to_string(&daemon)?;
        let (kind, name, supervision) = (EntryKind::Daemon, name.clone(), supervision.clone());
        let (daemon, nameserver, web) = (Some(daemon), None, None);
        let plan = Plan { kind, name, assignment, daemon, nameserver, web, supervision };
        plans.insert(kind.id(&plan.name), plan);
    }
    if let Some(config) = &configuration.web {
        let (kind, name) = (EntryKind::Process, web::PROCESS_NAME.to_owned());
        let assignment = WebAssignment {
            config: config.clone(),
            state_file: paths.process_state(&name),
            socket: paths.control_socket()?,
            probe_socket: paths.process_socket(&name)?,
            history_socket: history_socket(configuration, paths)?,
            access_folder: paths.access_folder(),
            keys: DaemonKeys::new(&configuration.daemons, paths.access_folder()),
            log_file: paths.log_file(),
            log_dir: paths.log_dir.clone(),
            paths: paths.clone(),
            access: configuration.access.clone(),
            audit: Some(paths.audit_of_page()),
        };
        let (web, assignment) = (Some(assignment.clone()), serde_json::to_string(&assignment)?);
        let supervision = config.supervision.clone();
        let (daemon, nameserver) = (None, None);
        let plan = Plan { kind, name, assignment, daemon, nameserver, web, supervision };
        plans.insert(kind.id(&plan.name), plan);
    }
    if let Some(history) = &configuration.history {
        let (kind, name) = (EntryKind::Process, history_process::PROCESS_NAME.to_owned());
        let assignment = history_assignment(history, configuration, paths)?;
        let assignment = serde_json::to_string(&assignment)?;
        let supervision = history.supervision.clone();
        let (daemon, nameserver, web) = (None, None, None);
        let plan = Plan { kind, name, assignment, daemon, nameserver, web, supervision };
        plans.insert(kind.id(&plan.name), plan);
    }
    Ok(plans)
}

fn history_assignment(
    history: &History,
    configuration: &Configuration,
    paths: &Paths,
) -> Result<HistoryAssignment, PathsError> {
    let (members, daemons) = history_process::recorded(configuration);
    Ok(HistoryAssignment {
        config: history.clone(),
        folder: history.folder.clone().unwrap_or_else(|| paths.history()),
        socket: paths.process_socket(history_process::PROCESS_NAME)?,
        members,
        daemons,
        authority: paths.access_folder(),
        push: configuration.push.clone(),
        access: configuration.access.clone(),
    })
}

/// The socket of the history process, where the configuration has one.
fn history_socket(
    configuration: &Configuration,
    paths: &Paths,
) -> Result<Option<PathBuf>, PathsError> {
    let socket = |_| paths.process_socket(history_process::PROCESS_NAME);
    configuration.history.as_ref().map(socket).transpose()
}

impl Plan {
    /// The id of its entry.
    pub(super) fn id(&self) -> String {
        self.kind.id(&self.name)
    }

    /// The daemon that it is for.
    pub(super) fn daemon(&self) -> Option<&str> {
        (self.kind == EntryKind::Daemon).then_some(self.name.as_str())
    }

    /// How a running entry of this plan takes up the plan `next`.
    pub(super) fn takeover(&self, next: &Plan) -> Takeover {
        if let (Some(old), Some(new)) = (&self.nameserver, &next.nameserver) {
            let (access, source) = (new.access.clone(), new.source.clone());
            let same = NameserverAssignment { access, source, ..old.clone() } == *new;
            return match same && self.supervision == next.supervision {
                true => Takeover::OtherAccess {
                    access: new.access.clone().map(Box::new),
                    keys: new.source.as_ref().map(|source| Box::new(source.keys.clone())),
                },
                false => Takeover::Restart,
            };
        }
        if let (Some(old), Some(new)) = (&self.web, &next.web) {
            let same = WebAssignment { access: new.access.clone(), ..old.clone() } == *new;
            return match same && self.supervision == next.supervision {
                true => {
                    let access = new.access.clone().map(Box::new);
                    Takeover::OtherAccess { access, keys: None }
                }
                false => Takeover::Restart,
            };
        }
        let (Some(old), Some(new)) = (&self.daemon, &next.daemon) else {
            return Takeover::Restart;
        };
        let same_place = DaemonAssignment { part: new.part.clone(), ..old.clone() } == *new;
        match services_to_restart(&old.part, &new.part) {
            Some(services) if same_place && self.supervision == next.supervision => {
                Takeover::InPlace { part: Box::new(new.part.clone()), services }
            }
            _ => Takeover::Restart,
        }
    }

    /// As the keeper takes it; the child runs this `program`.
    pub(super) fn entry(&self, program: &Path) -> EntrySpec {
        let (kind, name, program) = (self.kind, self.name.clone(), program.to_path_buf());
        let command = Arc::new(move || {
            let words = match kind {
                EntryKind::Process => vec!["run", &name],
                EntryKind::Nameserver | EntryKind::Daemon => vec!["run", kind.word(), &name],
            };
            let mut command = CommandSpec::new(&program).args(words);
            // The directory where somebody has typed `up` is no business of ours: it may have to be
            // unmounted.
            command.current_dir = Some("/".into());
            // SIGTERM, not SIGKILL: a daemon whose supervisor dies still runs its safe state.
            command.parent_death_signal = Some(Signal::Term);
            command
        });
        let order = match kind {
            EntryKind::Nameserver => NAMESERVER_ORDER,
            EntryKind::Daemon => DAEMON_ORDER,
            EntryKind::Process if self.name == history_process::PROCESS_NAME => HISTORY_ORDER,
            EntryKind::Process => PROCESS_ORDER,
        };
        let usual = EntrySpec::new(kind.id(&self.name), command);
        let Supervision { ready_timeout, stop_grace, term_grace, .. } = self.supervision;
        EntrySpec {
            order,
            assignment: self.assignment.clone(),
            ready_timeout: ready_timeout.unwrap_or(usual.ready_timeout),
            stop_grace: stop_grace.unwrap_or(usual.stop_grace),
            term_grace: term_grace.unwrap_or(usual.term_grace),
            restart: self.restart(),
            ..usual
        }
    }

    fn restart(&self) -> RestartPolicy {
        let usual = RestartPolicy::default();
        let Supervision { backoff, give_up_after, stable_after, .. } = &self.supervision;
        // The configuration's bounds are far below what a duration can hold.
        let delay = |seconds: &f64| Duration::try_from_secs_f64(*seconds).unwrap_or_default();
        RestartPolicy {
            backoff: backoff.iter().map(delay).collect(),
            give_up_after: Some(*give_up_after).filter(|limit| *limit > 0),
            stable_after: stable_after.unwrap_or(usual.stable_after),
        }
    }
}
