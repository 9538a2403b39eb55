//! The etcd cluster of a nameserver.

use super::{Rules, shown};
use crate::model::{Nameserver, Storage};
use crate::text::is_web_address;

impl Rules<'_> {
    pub(super) fn etcd(&mut self) {
        for nameserver in &self.configuration.nameservers {
            let name = nameserver.name.as_str();
            for (number, text) in nameserver.replicas.iter().enumerate() {
                let number = number.to_string();
                let path = ["nameservers", name, "replicas", &number];
                if let Some(mark) = self.sound(&path).filter(|_| !is_address(text)) {
                    let message = "this is no address of a nameserver";
                    self.findings.error(mark.value, &shown(&path), message, "write `HOST:PORT`");
                }
            }
            if nameserver.etcd.is_some() && nameserver.storage != Storage::Etcd {
                let path = ["nameservers", name, "etcd"];
                if let Some(mark) = self.sound(&path) {
                    let message = "it has no effect: the names are kept elsewhere";
                    let help = "write `storage: etcd`, or remove it";
                    self.findings.warn(mark.key, &shown(&path), message, help);
                }
                continue;
            }
            let Some((key, message, help)) = fault_of(nameserver) else { continue };
            let all = ["nameservers", name, key.0, key.1];
            let path: Vec<&str> = all.into_iter().filter(|key| !key.is_empty()).collect();
            let is_wrong = self.is_wrong(&path[..2], &["storage", "etcd"]);
            let places = [path.as_slice(), &path[..path.len() - 1]];
            let mark = places.into_iter().find_map(|path| self.sound(path));
            if let Some(mark) = mark.filter(|_| !is_wrong) {
                self.findings.error(mark.value, &shown(&path), message, help);
            }
        }
    }
}

/// Whether a text is `HOST` or `HOST:PORT`; an IPv6 address has brackets.
fn is_address(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (text, "9090"),
    };
    let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
    is_port && !host.is_empty() && !host.contains(['/', '@', ' '])
}

/// The first fault, with the keys that it is about.
fn fault_of(nameserver: &Nameserver) -> Option<((&str, &str), &'static str, &'static str)> {
    const EXAMPLE: &str = "write `etcd: {endpoints: [\"http://HOST:2379\"]}`";
    let is_etcd = nameserver.storage == Storage::Etcd;
    let Some(etcd) = &nameserver.etcd else {
        let message = "nothing says where etcd is";
        return is_etcd.then_some((("storage", ""), message, EXAMPLE));
    };
    if etcd.endpoints.is_empty() {
        return Some((("etcd", "endpoints"), "it has no `endpoints`", EXAMPLE));
    }
    if !etcd.endpoints.iter().all(|endpoint| is_web_address(endpoint)) {
        let message = "an endpoint is no address of a web server";
        let help = "write each as `http://HOST:2379` or `https://HOST:2379`";
        return Some((("etcd", "endpoints"), message, help));
    }
    if etcd.prefix.trim_matches('/').is_empty() {
        let message = "without a prefix the names would be among everybody's keys";
        return Some((("etcd", "prefix"), message, "write for example `prefix: /ferrolab`"));
    }
    if etcd.key.is_some() && etcd.cert.is_none() {
        let message = "a key without its certificate";
        return Some((("etcd", "key"), message, "add `cert`"));
    }
    if etcd.user.is_some() != etcd.password.is_some() {
        let message = "a user and a password belong together";
        return Some((("etcd", "user"), message, "write both, or neither"));
    }
    None
}
