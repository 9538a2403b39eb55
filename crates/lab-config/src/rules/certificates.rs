//! Dependencies between a daemon's TLS keys.

use super::{Rules, shown};

impl Rules<'_> {
    /// TLS needs a server certificate; client certificates need an authority to be checked against.
    pub(super) fn certificates(&mut self) {
        for daemon in &self.configuration.daemons {
            let name = daemon.name.as_str();
            let needs = [
                (daemon.ssl && daemon.ssl_servercert.is_none(), "ssl", "ssl_servercert"),
                (
                    daemon.ssl_requireclientcert && daemon.ssl_cacerts.is_none(),
                    "ssl_requireclientcert",
                    "ssl_cacerts",
                ),
                (daemon.ssl_servercert.is_some() && !daemon.ssl, "ssl_servercert", "ssl"),
            ];
            for (is_missing, key, wanted) in needs {
                let path = ["daemons", name, key];
                if is_missing
                    && !self.is_wrong(&["daemons", name], &[wanted])
                    && let Some(mark) = self.sound(&path)
                {
                    let message = format!("`{key}` does nothing without `{wanted}`");
                    let help = match wanted {
                        "ssl" => "write `ssl: true` beside it",
                        "ssl_cacerts" => {
                            "write `ssl_cacerts: FILE` with the certificates of clients"
                        }
                        _ => "write `ssl_servercert: FILE` with the daemon's certificate",
                    };
                    self.findings.error(mark.value, &shown(&path), message, help);
                }
            }
        }
    }
}
