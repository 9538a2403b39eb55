//! Hosts as a configuration names them.
//!
//! `public` stays a word here: which addresses it stands for, the process that listens decides.
//! Must not know listening sockets.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use serde::{Deserialize, Serialize};

/// A host as the file names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Host {
    /// All addresses of this host, IPv4 and IPv6, whatever they are at the time.
    Public,
    /// A name or an address; an IPv6 address without brackets.
    Named(String),
}

impl From<String> for Host {
    fn from(text: String) -> Host {
        match text.as_str() {
            "public" => Host::Public,
            name => Host::Named(name.trim_matches(['[', ']']).to_owned()),
        }
    }
}

impl From<Host> for String {
    fn from(host: Host) -> String {
        match host {
            Host::Public => "public".to_owned(),
            Host::Named(name) => name,
        }
    }
}

impl Host {
    /// The address, if it is written as one. The name `localhost` counts as one.
    pub fn literal(&self) -> Option<IpAddr> {
        match self {
            Host::Named(name) if name.eq_ignore_ascii_case("localhost") => {
                Some(Ipv4Addr::LOCALHOST.into())
            }
            Host::Named(name) => name.split('%').next()?.parse().ok(),
            Host::Public => None,
        }
    }

    /// Whether only this host can reach it.
    pub fn is_loopback(&self) -> bool {
        self.literal().is_some_and(|address| address.to_canonical().is_loopback())
    }

    /// Whether it is this host, as far as that can be told without asking the network.
    pub fn is_this_host(&self) -> bool {
        match (self, self.literal()) {
            (Host::Public, _) => true,
            (_, Some(address)) => {
                // Only an address of this host can be bound; nothing is sent.
                address.is_unspecified() || UdpSocket::bind((address, 0)).is_ok()
            }
            (Host::Named(name), None) => {
                let first = |name: &str| name.split('.').next().unwrap_or("").to_ascii_lowercase();
                first(name) == first(&host_name())
            }
        }
    }
}

/// This host's name.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_this_one_or_another() {
        let cases = [
            ("public", true, false),
            ("localhost", true, true),
            ("127.0.0.2", true, true),
            ("::1", true, true),
            ("[::1]", true, true),
            ("::ffff:127.0.0.1", true, true),
            ("0.0.0.0", true, false),
            ("192.0.2.7", false, false),
            ("no-such-host.example", false, false),
        ];
        for (text, here, loopback) in cases {
            let host = Host::from(text.to_owned());
            assert_eq!((host.is_this_host(), host.is_loopback()), (here, loopback), "{text}");
        }
        assert!(Host::from(host_name()).is_this_host());
        assert_eq!(Host::from("[::1]".to_owned()), Host::Named("::1".to_owned()));
    }
}
