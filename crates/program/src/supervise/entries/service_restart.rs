//! Restart of single services: which services restart together, and what stands in the way.

use std::collections::{BTreeMap, BTreeSet};

use lab_config::{Configuration, did_you_mean};
use supervisor::{EntryPhase, EntryStatus};

use super::EntryKind;
use super::in_force::{InForce, autolaunch};
use crate::host::services_beside;

/// The services to restart, by daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServiceRestart {
    pub(super) daemons: BTreeMap<String, BTreeSet<String>>,
    /// Services that nobody has named, and that share a worker with one that somebody has.
    pub(crate) others: Vec<String>,
}

impl ServiceRestart {
    /// Whether a service restarts.
    pub(crate) fn has(&self, service: &str) -> bool {
        self.daemons.values().any(|services| services.contains(service))
    }

    /// The restart of these services.
    ///
    /// # Errors
    /// Why one of them cannot be restarted, for a person.
    pub(super) fn plan(
        names: &[String],
        force: &InForce,
        states: &[EntryStatus],
    ) -> Result<ServiceRestart, String> {
        let configuration = &*force.configuration;
        let mut restart = ServiceRestart::default();
        for name in names {
            let service = configuration.services.iter().find(|service| service.name == *name);
            let daemon = &service.ok_or_else(|| unknown(configuration, name))?.daemon;
            check_running(name, daemon, force, states)?;
            let part = configuration.part_of(daemon);
            let together = part.map(|part| services_beside(&part, name)).unwrap_or_default();
            if together.is_empty() {
                return Err(format!(
                    "`{name}` is a built-in service, which has no process of its own: \
                     `ferrolab restart daemon {daemon}`"
                ));
            }
            restart.daemons.entry(daemon.clone()).or_default().extend(together);
        }
        let all = restart.daemons.values().flatten();
        restart.others = all.filter(|service| !names.contains(service)).cloned().collect();
        Ok(restart)
    }
}

/// Refuses a service whose daemon does not run: it has no worker that could be restarted.
fn check_running(
    service: &str,
    daemon: &str,
    force: &InForce,
    states: &[EntryStatus],
) -> Result<(), String> {
    let id = EntryKind::Daemon.id(daemon);
    let status = states.iter().find(|status| status.id == id);
    let error = status.and_then(|status| status.error.clone());
    let error = error.map(|error| format!(" ({error})")).unwrap_or_default();
    let retry = status.and_then(|status| status.retry_in).map_or(0, |time| time.as_secs() + 1);
    let starts = format!("`ferrolab start daemon {daemon}` starts it, with its services");
    let again = format!("`ferrolab restart daemon {daemon}` starts it");
    let was_wanted = autolaunch(&force.configuration, EntryKind::Daemon, daemon);
    let why = match status.map_or(EntryPhase::Stopped, |status| status.phase) {
        EntryPhase::Running => return Ok(()),
        EntryPhase::Stopped if was_wanted && !force.wanted.contains(&id) => {
            format!("was stopped by hand; {starts}")
        }
        EntryPhase::Stopped => format!("is stopped; {starts}"),
        EntryPhase::Starting => "is just being started: try again when it runs".to_owned(),
        EntryPhase::Stopping => format!("is just being stopped; {starts}"),
        EntryPhase::Failed => {
            format!("has crashed too often and was given up{error}; {again} again")
        }
        EntryPhase::Restarting => {
            format!("has crashed and is started again within {retry} s{error}; {again} at once")
        }
    };
    Err(format!("`{service}` does not run: its daemon {daemon} {why}"))
}

/// Refusal of a name that no service has.
fn unknown(configuration: &Configuration, name: &str) -> String {
    let daemons = configuration.daemons.iter().map(|daemon| (EntryKind::Daemon, &daemon.name));
    let nameservers = configuration.nameservers.iter().map(|ns| (EntryKind::Nameserver, &ns.name));
    if let Some((kind, _)) = daemons.chain(nameservers).find(|(_, known)| *known == name) {
        let word = kind.word();
        return format!("`{name}` is a {word}: `ferrolab restart {word} {name}`");
    }
    let known: Vec<&str> =
        configuration.services.iter().map(|service| service.name.as_str()).collect();
    match did_you_mean(name, known.iter().copied()) {
        Some(help) => format!("there is no service `{name}`; {help}"),
        None if known.is_empty() => format!("there is no service `{name}`; there are none at all"),
        None => format!("there is no service `{name}`; there are: {}", known.join(", ")),
    }
}
