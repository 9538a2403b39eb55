//! The configuration in force, and the entries that are wanted to run.

use std::collections::BTreeSet;
use std::sync::Arc;

use lab_config::Configuration;

use super::EntryKind;
use super::memory::Memory;

/// The configuration in force, with the entries that are wanted to run.
#[derive(Clone, Debug)]
pub(super) struct InForce {
    pub(super) configuration: Arc<Configuration>,
    /// The fingerprint of its file.
    pub(super) fingerprint: String,
    /// Ids of entries.
    pub(super) wanted: BTreeSet<String>,
}

impl InForce {
    pub(super) fn new(
        configuration: Configuration,
        fingerprint: String,
        memory: &Memory,
    ) -> InForce {
        let configuration = Arc::new(configuration);
        let force = InForce { configuration, fingerprint, wanted: BTreeSet::new() };
        InForce { wanted: force.wanted_by(memory), ..force }
    }

    /// The entries that are to run.
    pub(super) fn wanted_by(&self, memory: &Memory) -> BTreeSet<String> {
        let Configuration { nameservers, daemons, .. } = &*self.configuration;
        let nameservers = nameservers.iter().map(|ns| (EntryKind::Nameserver, &ns.name));
        let daemons = daemons.iter().map(|daemon| (EntryKind::Daemon, &daemon.name));
        nameservers
            .chain(daemons)
            .filter(|(kind, name)| {
                memory.wants(&kind.id(name), autolaunch(&self.configuration, *kind, name))
            })
            .map(|(kind, name)| kind.id(name))
            .collect()
    }

    pub(super) fn has(&self, kind: EntryKind, name: &str) -> bool {
        match kind {
            EntryKind::Nameserver => {
                self.configuration.nameservers.iter().any(|ns| ns.name == name)
            }
            EntryKind::Daemon => self.configuration.daemon(name).is_some(),
        }
    }
}

/// Whether the configuration has an entry start with the host.
pub(super) fn autolaunch(configuration: &Configuration, kind: EntryKind, name: &str) -> bool {
    let names = match kind {
        EntryKind::Nameserver => &configuration.autolaunch.nameservers,
        EntryKind::Daemon => &configuration.autolaunch.daemons,
    };
    names.iter().any(|known| known == name)
}
