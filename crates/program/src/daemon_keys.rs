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
        self.load(daemon).unwrap_or_else(|error| {
            warn!(daemon, error, "no TLS for it");
            None
        })
    }

    /// The same.
    ///
    /// # Errors
    /// A certificate or key cannot be used; the text names the file.
    pub(crate) fn load(&self, daemon: &str) -> Result<Option<ClientTls>, String> {
        let Some(daemon) = self.daemons.iter().find(|known| known.name == daemon) else {
            return Ok(None);
        };
        tls::to_own_port(daemon.tls(), &AuthorityFiles::in_folder(self.authority.clone()))
    }
}
