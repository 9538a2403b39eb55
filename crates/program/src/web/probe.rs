//! A Pyro daemon without objects on a Unix socket: its `ping` tells the supervisor that this
//! process still answers.
//!
//! The supervisor speaks no HTTP, and a page with too many browsers is busy, not hanging: so the
//! probe takes no place among their connections.

use std::path::Path;

use remote::{Daemon, DaemonConfig, Listener};
use tokio_util::sync::CancellationToken;

use crate::host::local_address;

/// Serves until `stopping`; the address for the supervisor.
pub(super) fn serve(socket: &Path, stopping: CancellationToken) -> Result<String, String> {
    let listener = Listener::bind_unix(socket).map_err(|error| error.to_string())?;
    let address = local_address(&listener);
    let daemon = Daemon::new(DaemonConfig { name: "web".to_owned(), ..DaemonConfig::default() });
    tokio::spawn(daemon.serve(listener, stopping));
    Ok(address)
}
