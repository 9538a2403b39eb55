//! Connections of a configuration that `config check --connect` tries: the etcd of each nameserver.

use lab_config::{Configuration, Etcd};
use serde::Serialize;

use super::table::lines_for_terminal;
use crate::etcd::EtcdRegistry;

/// A connection that was tried.
#[derive(Debug, Serialize)]
pub(super) struct Connected {
    nameserver: String,
    endpoints: Vec<String>,
    pub(super) error: Option<String>,
}

/// Tries the etcd of each nameserver.
pub(super) async fn check_connections(configuration: &Configuration) -> Vec<Connected> {
    let mut connections = Vec::new();
    for nameserver in &configuration.nameservers {
        let Some(etcd) = &nameserver.etcd else { continue };
        connections.push(Connected {
            nameserver: nameserver.name.clone(),
            endpoints: etcd.endpoints.clone(),
            error: check_etcd(etcd).await.err(),
        });
    }
    connections
}

async fn check_etcd(etcd: &Etcd) -> Result<(), String> {
    let registry = EtcdRegistry::new(etcd)?;
    registry.probe().await.map_err(|error| error.to_string())
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
