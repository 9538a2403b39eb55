//! TLS of the daemons that take nothing else, as the lab's own programs call them.

use std::path::PathBuf;

use lab_config::{Daemon, TlsMode};
use remote::ClientTls;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::authority::AuthorityFiles;
use crate::tls;

/// The settings of these daemons.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DaemonKeys {
    daemons: Vec<Daemon>,
    /// The folder of the lab's authority.
    authority: PathBuf,
}

impl DaemonKeys {
    /// The keys of those daemons that take TLS only.
    pub(crate) fn new(daemons: &[Daemon], authority: PathBuf) -> Self {
        let required = daemons.iter().filter(|daemon| daemon.tls().mode == TlsMode::Required);
        DaemonKeys { daemons: required.cloned().collect(), authority }
    }

    /// TLS for a daemon, with its files as they are now; `None` where it takes plain connections.
    pub(crate) fn of(&self, daemon: &str) -> Option<ClientTls> {
        let daemon = self.daemons.iter().find(|known| known.name == daemon)?;
        let authority = AuthorityFiles::in_folder(self.authority.clone());
        let loaded = tls::to_own_port(daemon.tls(), &authority);
        loaded.inspect_err(|error| warn!(daemon = daemon.name, error, "no TLS for it")).ok()?
    }
}
