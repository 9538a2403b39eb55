//! Hosts as a configuration names them, and the addresses that they resolve to on this host.
//!
//! Owns `public`: the word stays in the configuration and is resolved when a process is launched.
//! Must not know listening sockets.

use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs, UdpSocket};

use serde::{Deserialize, Serialize};

/// A host as the file names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Host {
    /// This host's address on its network, whatever it is at the time.
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
    /// The name or address to listen on, or to connect to.
    pub fn resolve(&self) -> String {
        match self {
            Host::Public => public_address().to_string(),
            Host::Named(name) => name.clone(),
        }
    }

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
        self.literal().is_some_and(|address| address.is_loopback())
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

/// The address at which other hosts most likely reach this one; what `public` stands for.
///
/// It is the address of the interface that leads to the internet (nothing is sent there); on a
/// network that leads nowhere, what this host's name stands for, or the address of the interface
/// that leads to private networks; with a warning in the log, 127.0.0.1 when all of that fails.
pub(crate) fn public_address() -> IpAddr {
    let routed = |target: [u8; 4]| -> Option<IpAddr> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        // Connecting a UDP socket only picks a route.
        socket.connect((Ipv4Addr::from(target), 80)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    let useful = |address: &IpAddr| !address.is_loopback() && !address.is_unspecified();
    let private = [[10, 255, 255, 254], [192, 168, 255, 254], [172, 31, 255, 254]];
    let found = routed([8, 8, 8, 8])
        .filter(useful)
        .or_else(|| named_address(useful))
        .or_else(|| private.into_iter().find_map(|target| routed(target).filter(useful)));
    found.unwrap_or_else(|| {
        tracing::warn!(
            "no address of this host on a network was found: `host: public` is 127.0.0.1 for now, \
             which other hosts cannot reach; write the address that they should use instead"
        );
        Ipv4Addr::LOCALHOST.into()
    })
}

fn named_address(useful: impl Fn(&IpAddr) -> bool) -> Option<IpAddr> {
    let addresses: Vec<IpAddr> =
        (host_name().as_str(), 0).to_socket_addrs().ok()?.map(|address| address.ip()).collect();
    let best = addresses.iter().find(|address| address.is_ipv4() && useful(address));
    best.or_else(|| addresses.iter().find(|address| useful(address))).copied()
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
            ("0.0.0.0", true, false),
            ("192.0.2.7", false, false),
            ("no-such-host.example", false, false),
        ];
        for (text, here, loopback) in cases {
            let host = Host::from(text.to_owned());
            assert_eq!((host.is_this_host(), host.is_loopback()), (here, loopback), "{text}");
        }
        assert!(Host::from(host_name()).is_this_host());
        assert_eq!(Host::from("[::1]".to_owned()).resolve(), "::1");
    }

    #[test]
    fn public_is_an_address_of_this_host() {
        let address = public_address();
        assert!(UdpSocket::bind((address, 0)).is_ok(), "{address}");
        assert_eq!(Host::Public.resolve(), address.to_string());
    }
}
