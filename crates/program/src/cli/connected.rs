//! Connections of a configuration that `config check --connect` tries: the etcd of each nameserver.

use lab_config::{Configuration, Etcd};
use nameserver::taken_by_others;
use serde::Serialize;

use super::table::lines_for_terminal;
use outbound::etcd::EtcdRegistry;

/// Names of others that are shown, at most.
const MAX_NAMES_SHOWN: usize = 5;

/// A connection that was tried.
#[derive(Debug, Serialize)]
pub(super) struct Connected {
    nameserver: String,
    endpoints: Vec<String>,
    pub(super) error: Option<String>,
}

/// Tries the etcd of each nameserver. `own` is the lab's host among those that share a directory.
pub(super) async fn check_connections(
    configuration: &Configuration,
    own: Option<&str>,
) -> Vec<Connected> {
    let mut connections = Vec::new();
    for nameserver in &configuration.nameservers {
        let Some(etcd) = &nameserver.etcd else { continue };
        let services = configuration.services.iter();
        let services = services.map(|service| (&service.name, &service.nameservers));
        // Daemons register themselves, too.
        let daemons = configuration.daemons.iter();
        let daemons = daemons.map(|daemon| (&daemon.name, &daemon.nameservers));
        let names = services.chain(daemons);
        let names = names.filter(|(_, nameservers)| nameservers.contains(&nameserver.name));
        let names: Vec<&str> = names.map(|(name, _)| name.as_str()).collect();
        let has_access = configuration.access.is_some();
        connections.push(Connected {
            nameserver: nameserver.name.clone(),
            endpoints: etcd.endpoints.clone(),
            error: check_etcd(etcd, &names, own, has_access).await.err(),
        });
    }
    connections
}

async fn check_etcd(
    etcd: &Etcd,
    names: &[&str],
    own: Option<&str>,
    has_access: bool,
) -> Result<(), String> {
    let registry = EtcdRegistry::new(etcd)?;
    registry.probe().await.map_err(|error| error.to_string())?;
    let others = taken_by_others(&registry, names, own, has_access).await;
    let others = others.map_err(|error| error.to_string())?;
    let more = match others.len().saturating_sub(MAX_NAMES_SHOWN) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    match others.get(..MAX_NAMES_SHOWN.min(others.len())) {
        None | Some([]) => Ok(()),
        Some(shown) => Err(format!(
            "names of this configuration belong to another lab than that of this data directory: \
             {}{more}; give them other names, or remove them there (those of a lab that is away \
             with `ferrolab ns remove --hidden`)",
            shown.join(", ")
        )),
    }
}

impl Connected {
    pub(super) fn print(&self) {
        let endpoints = self.endpoints.join(", ");
        let verdict = match &self.error {
            None => "can be used",
            Some(error) => &format!("cannot be used: {error}"),
        };
        let text = format!("nameserver {}: etcd at {endpoints} {verdict}", self.nameserver);
        println!("{}", lines_for_terminal(&text));
    }
}
