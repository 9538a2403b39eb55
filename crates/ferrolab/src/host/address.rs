//! Listening address of a daemon, the same one after a restart.
//!
//! With `port: 0` a daemon takes its last port, if that is free, so that the addresses that clients
//! hold stay valid. The port is in a state file.

use std::path::Path;

use lab_config::Daemon;
use remote::Listener;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::files;

/// The last address, as it is in the state file.
#[derive(Debug, Serialize, Deserialize)]
struct Memory {
    host: String,
    port: u16,
}

/// Listens where the configuration says.
///
/// # Errors
/// The address is taken, or not ours; for `ferrolab ps`.
pub(super) async fn listen(daemon: &Daemon, state_file: &Path) -> Result<Listener, String> {
    if let Some(path) = &daemon.unixsocket {
        return Listener::bind_unix(path).map_err(|error| error.to_string());
    }
    let host = daemon.host.resolve();
    let bind = |port| Listener::bind_tcp(&host, port);
    if daemon.port != 0 {
        return bind(daemon.port).await.map_err(|error| error.to_string());
    }
    let last = recall(state_file, &host);
    if let Some(port) = last {
        match bind(port).await {
            Ok(listener) => return Ok(listener),
            Err(error) => info!(%error, "the port of last time is not free; taking another"),
        }
    }
    let listener = bind(0).await.map_err(|error| error.to_string())?;
    remember(state_file, &host, &listener);
    Ok(listener)
}

fn recall(state_file: &Path, host: &str) -> Option<u16> {
    let text = std::fs::read_to_string(state_file).ok()?;
    let memory: Memory = serde_json::from_str(&text)
        .map_err(|error| warn!(file = %state_file.display(), %error, "cannot read the last port"))
        .ok()?;
    (memory.host == host).then_some(memory.port)
}

/// Without the memory the daemon serves all the same, only elsewhere next time.
fn remember(state_file: &Path, host: &str, listener: &Listener) {
    let remote::Location::Tcp { port, .. } = listener.location() else { return };
    let memory = Memory { host: host.to_owned(), port: *port };
    let written =
        serde_json::to_vec(&memory).map_err(|error| error.to_string()).and_then(|bytes| {
            files::replace_private(state_file, &bytes).map_err(|error| error.to_string())
        });
    if let Err(error) = written {
        warn!(file = %state_file.display(), error, "cannot remember the port");
    }
}
