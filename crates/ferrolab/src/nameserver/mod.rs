//! The nameserver process: a directory of names, served as `Pyro.NameServer`.
//!
//! Owns how a nameserver starts and what it tells its supervisor. The rules of names are in
//! [`directory`], their storage in [`store`], Pyro5's view of them in [`object`].

mod directory;
mod object;
mod store;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use remote::{Daemon, DaemonConfig, Listener, NAMESERVER_NAME, ServerType};
use serde_json::json;
use supervisor::Lifeline;

use crate::assignment::NameserverAssignment;
use crate::config::Storage;
use crate::nameserver::directory::Directory;
use crate::nameserver::object::NameServerObject;

/// Connections that a nameserver serves at once; they are many and idle.
const CONNECTIONS: usize = 10_000;

/// Runs a nameserver until its supervisor says stop.
///
/// # Errors
/// What keeps it from serving, in words for a person.
pub(crate) async fn run(
    assignment: NameserverAssignment,
    lifeline: &Lifeline,
) -> Result<(), String> {
    let NameserverAssignment { config } = assignment;
    if let Storage::Sql(_) = config.storage {
        return Err(format!(
            "nameserver '{}': `storage: sql` is not available in this version; write `storage: \
             memory` (names come back by themselves, daemons renew them)",
            config.name
        ));
    }
    let host = config.host.resolve();
    let listener =
        Listener::bind_tcp(&host, config.port).await.map_err(|error| error.to_string())?;
    let daemon = Daemon::new(DaemonConfig {
        name: config.name,
        server_type: ServerType::Thread,
        threadpool_size: CONNECTIONS,
        ..DaemonConfig::default()
    });
    let uri = daemon.uri_for(NAMESERVER_NAME, &listener).to_string();
    let mut directory = Directory::default();
    let itself = BTreeSet::from(["class:Pyro5.nameserver.NameServer".to_owned()]);
    directory
        .register(NAMESERVER_NAME.to_owned(), uri.clone(), false, itself)
        .map_err(|exception| exception.to_string())?;
    let object = NameServerObject::new(Arc::new(Mutex::new(directory)));
    daemon.register(NAMESERVER_NAME, Arc::new(object)).map_err(|error| error.to_string())?;
    lifeline.ready(json!({ "uri": uri }));
    daemon.serve(listener, lifeline.stopping()).await;
    Ok(())
}
