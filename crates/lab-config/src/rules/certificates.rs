//! Dependencies between the TLS keys of a nameserver, a daemon or the page.

use super::{Rules, shown};
use crate::model::{TlsKeys, TlsMode};

impl Rules<'_> {
    /// Keys of TLS that would do nothing, or less than they seem to.
    pub(super) fn certificates(&mut self) {
        let configuration = self.configuration;
        for nameserver in &configuration.nameservers {
            self.certificate_keys(&["nameservers", &nameserver.name], nameserver.tls());
        }
        for daemon in &configuration.daemons {
            self.certificate_keys(&["daemons", &daemon.name], daemon.tls());
        }
        if let Some(web) = &configuration.web {
            self.certificate_keys(&["web"], web.tls());
        }
    }

    fn certificate_keys(&mut self, entry: &[&str], tls: TlsKeys<'_>) {
        let at = |key| [entry, &[key]].concat();
        let is_off = tls.mode == TlsMode::Off;
        let needs = [
            (is_off && tls.servercert.is_some(), "ssl_servercert", "ssl"),
            (is_off && tls.requireclientcert, "ssl_requireclientcert", "ssl"),
            (
                tls.serverkey.is_some() && tls.servercert.is_none(),
                "ssl_serverkey",
                "ssl_servercert",
            ),
        ];
        for (is_missing, key, wanted) in needs {
            if is_missing && !self.is_wrong(entry, &[wanted]) {
                let help = match wanted {
                    "ssl" => "write `ssl: true` beside it",
                    _ => "write `ssl_servercert: FILE` with the key's certificate",
                };
                let message = format!("`{key}` does nothing without `{wanted}`");
                self.certificate_error(&at(key), message, help);
            }
        }
        if tls.mode == TlsMode::Offered && tls.requireclientcert {
            let message =
                "clients without TLS show no certificate, and `ssl: offered` lets them in";
            let path = at("ssl_requireclientcert");
            self.certificate_error(&path, message.to_owned(), "write `ssl: true`, or remove this");
        }
    }

    fn certificate_error(&mut self, path: &[&str], message: String, help: &str) {
        if let Some(mark) = self.sound(path) {
            self.findings.error(mark.value, &shown(path), message, help);
        }
    }
}
