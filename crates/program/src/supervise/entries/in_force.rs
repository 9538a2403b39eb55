//! The configuration in force, the entries that are wanted to run, and how they are reached.

use std::collections::BTreeSet;
use std::sync::Arc;

use lab_config::Configuration;
use remote::{ClientTls, Location};
use tokio::sync::watch;
use tracing::debug;

use super::EntryKind;
use super::memory::Memory;
use crate::authority::AuthorityFiles;
use crate::history_process::PROCESS_NAME as HISTORY;
use crate::host::address::address_from_here;
use crate::supervise::stale_names::TlsOfNameserver;
use crate::tls;
use crate::web::PROCESS_NAME as WEB;

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
        let processes = processes(&self.configuration).into_iter();
        let nameservers = nameservers.iter().map(|ns| (EntryKind::Nameserver, ns.name.as_str()));
        let daemons = daemons.iter().map(|daemon| (EntryKind::Daemon, daemon.name.as_str()));
        nameservers
            .chain(daemons)
            .chain(processes.map(|name| (EntryKind::Process, name)))
            .filter(|(kind, name)| {
                memory.wants(&kind.id(name), autolaunch(&self.configuration, *kind, name))
            })
            .map(|(kind, name)| kind.id(name))
            .collect()
    }

    /// TLS for a call to the entry with this id. Without usable files it is called in plain words,
    /// and refuses the call, which is an answer too.
    pub(super) fn tls_of(&self, id: &str, authority: &AuthorityFiles) -> Option<ClientTls> {
        let Configuration { nameservers, daemons, .. } = &*self.configuration;
        let nameserver = nameservers.iter().find(|ns| EntryKind::Nameserver.id(&ns.name) == id);
        let daemon = daemons.iter().find(|daemon| EntryKind::Daemon.id(&daemon.name) == id);
        let keys = nameserver.map(|ns| ns.tls()).or_else(|| daemon.map(|daemon| daemon.tls()))?;
        let loaded = tls::to_own_port(keys, authority);
        loaded.inspect_err(|error| debug!(entry = id, error, "cannot be called with TLS")).ok()?
    }

    pub(super) fn has(&self, kind: EntryKind, name: &str) -> bool {
        match kind {
            EntryKind::Nameserver => {
                self.configuration.nameservers.iter().any(|ns| ns.name == name)
            }
            EntryKind::Daemon => self.configuration.daemon(name).is_some(),
            EntryKind::Process => processes(&self.configuration).contains(&name),
        }
    }
}

/// The names of the processes of which a lab has one, where the configuration wants them.
pub(super) fn processes(configuration: &Configuration) -> Vec<&'static str> {
    let web = configuration.web.is_some().then_some(WEB);
    let history = configuration.history.is_some().then_some(HISTORY);
    web.into_iter().chain(history).collect()
}

/// TLS of the configuration's nameservers by their locations.
pub(super) fn tls_of_nameservers(
    force: watch::Receiver<InForce>,
    authority: AuthorityFiles,
) -> TlsOfNameserver {
    Arc::new(move |location| {
        let Location::Tcp { host, port } = location else { return None };
        let configuration = Arc::clone(&force.borrow().configuration);
        let nameserver = configuration
            .nameservers
            .iter()
            .find(|ns| ns.port == *port && address_from_here(&ns.host) == *host)?;
        tls::to_nameserver(nameserver, None, &authority).ok()?
    })
}

/// Whether the configuration has an entry start with the host.
pub(super) fn autolaunch(configuration: &Configuration, kind: EntryKind, name: &str) -> bool {
    let names = match kind {
        EntryKind::Nameserver => &configuration.autolaunch.nameservers,
        EntryKind::Daemon => &configuration.autolaunch.daemons,
        // The section that describes it is what wants it.
        EntryKind::Process => return processes(configuration).contains(&name),
    };
    names.iter().any(|known| known == name)
}
