//! Addresses of this host: the one for `host: public`, the broadcast addresses of its networks.
//!
//! Asks the operating system anew each time: addresses come and go (DHCP, VPN, Wi-Fi). Sends
//! nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::OnceLock;

/// A network interface's address.
#[derive(Clone, Copy, Debug)]
struct Interface {
    address: IpAddr,
    /// Of an IPv4 network that has one.
    broadcast: Option<Ipv4Addr>,
}

/// The address at which other hosts most likely reach this one; `None` where it has none.
///
/// That is the address of the interface that leads to the internet; on a network that leads
/// nowhere, the first one of the interfaces, IPv4 before IPv6.
pub fn public_address() -> Option<IpAddr> {
    let routed = |any: IpAddr, target: IpAddr| -> Option<IpAddr> {
        let socket = UdpSocket::bind((any, 0)).ok()?;
        // Connecting a UDP socket only picks a route.
        socket.connect((target, 80)).ok()?;
        let address = socket.local_addr().ok()?.ip();
        is_public(&address).then_some(address)
    };
    let anywhere = (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(8, 8, 8, 8).into());
    let anywhere_ipv6 = (
        Ipv6Addr::UNSPECIFIED.into(),
        Ipv6Addr::new(0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8888).into(),
    );
    routed(anywhere.0, anywhere.1)
        .or_else(|| best(&interfaces()))
        .or_else(|| routed(anywhere_ipv6.0, anywhere_ipv6.1))
}

/// The addresses of this host that other hosts can connect to.
pub fn host_addresses() -> Vec<IpAddr> {
    interfaces().into_iter().map(|interface| interface.address).filter(is_public).collect()
}

/// The broadcast addresses of the networks that this host is on.
pub(crate) fn broadcast_addresses() -> Vec<Ipv4Addr> {
    interfaces().into_iter().filter_map(|interface| interface.broadcast).collect()
}

/// Name of the network stack that this process uses: two processes with the same one are reached
/// at the same addresses. A container has its own.
pub fn network_stack() -> &'static str {
    static STACK: OnceLock<String> = OnceLock::new();
    STACK.get_or_init(read_network_stack)
}

#[cfg(target_os = "linux")]
fn read_network_stack() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = std::fs::read_link("/proc/self/ns/net").unwrap_or_default();
    format!("{} {}", boot.trim(), namespace.display())
}

#[cfg(not(target_os = "linux"))]
fn read_network_stack() -> String {
    #[cfg(unix)]
    if let Ok(name) = nix::unistd::gethostname() {
        return name.to_string_lossy().into_owned();
    }
    format!("process {}", std::process::id())
}

/// Whether other hosts can connect to an address without knowing more than it.
fn is_public(address: &IpAddr) -> bool {
    let is_link_local = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
    !address.is_loopback() && !address.is_unspecified() && !is_link_local
}

/// IPv4, IPv6, and then what IPv4 hosts give themselves without a DHCP server.
fn best(interfaces: &[Interface]) -> Option<IpAddr> {
    let rank = |address: &IpAddr| match address {
        IpAddr::V4(address) if address.is_link_local() => 2,
        IpAddr::V4(_) => 0,
        IpAddr::V6(_) => 1,
    };
    let addresses = interfaces.iter().map(|interface| interface.address);
    addresses.filter(is_public).min_by_key(rank)
}

/// The addresses of the interfaces that are connected.
#[cfg(unix)]
fn interfaces() -> Vec<Interface> {
    use nix::net::if_::InterfaceFlags;

    let connected = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING;
    let listed = match nix::ifaddrs::getifaddrs() {
        Ok(listed) => listed,
        Err(error) => {
            tracing::debug!(%error, "cannot list the addresses of this host");
            return Vec::new();
        }
    };
    let usable = listed.filter(|entry| {
        entry.flags.contains(connected) && !entry.flags.contains(InterfaceFlags::IFF_LOOPBACK)
    });
    let interface = |entry: nix::ifaddrs::InterfaceAddress| {
        let ipv4 = entry.address.as_ref().and_then(|address| address.as_sockaddr_in());
        let ipv6 = entry.address.as_ref().and_then(|address| address.as_sockaddr_in6());
        let address =
            ipv4.map(|it| it.ip().into()).or_else(|| ipv6.map(|address| address.ip().into()))?;
        let has_broadcast = entry.flags.contains(InterfaceFlags::IFF_BROADCAST);
        let broadcast = entry.broadcast.filter(|_| has_broadcast);
        let broadcast = broadcast.and_then(|it| it.as_sockaddr_in().map(|it| it.ip()));
        Some(Interface { address, broadcast })
    };
    usable.filter_map(interface).collect()
}

#[cfg(not(unix))]
fn interfaces() -> Vec<Interface> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_address_is_one_that_other_hosts_can_use() {
        let cases: &[(&[&str], Option<&str>)] = &[
            (&["fe80::1", "192.0.2.7"], Some("192.0.2.7")),
            (&["169.254.3.4", "fd00::7"], Some("fd00::7")),
            (&["fd00::7", "10.0.0.1", "192.0.2.7"], Some("10.0.0.1")),
            (&["fe80::1", "169.254.3.4"], Some("169.254.3.4")),
            (&["fe80::1"], None),
            (&[], None),
        ];
        for (addresses, expected) in cases {
            let interface =
                |text: &&str| Interface { address: text.parse().unwrap(), broadcast: None };
            let interfaces: Vec<_> = addresses.iter().map(interface).collect();
            let found = best(&interfaces).map(|address| address.to_string());
            assert_eq!(found.as_deref(), *expected, "{addresses:?}");
        }
    }

    #[test]
    fn the_public_address_is_one_of_this_host() {
        if let Some(address) = public_address() {
            assert!(UdpSocket::bind((address, 0)).is_ok(), "{address}");
            assert!(is_public(&address), "{address}");
        }
    }
}
