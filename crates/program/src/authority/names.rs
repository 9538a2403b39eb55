//! Names and addresses at which clients reach this host, for its certificate.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{open, os};

/// Search domains of the resolver that are used.
const MAX_DOMAINS: usize = 3;

/// The names and addresses of this host, and `further` ones that its configuration names.
pub(crate) fn host_names(further: &[String]) -> Vec<String> {
    let read = |path: &str| open::read_text(path.as_ref()).unwrap_or_default();
    let mut names = names_of(&os::host_name(), &read("/etc/hosts"), &read("/etc/resolv.conf"));
    let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let addresses = loopback.into_iter().chain(remote::host_addresses());
    names.extend(addresses.map(|address| address.to_string()));
    let further = further.iter().map(|name| name.trim_matches(['[', ']']).to_owned());
    names.extend(further.filter(|name| name.is_ascii() && !name.is_empty()));
    let mut known = std::collections::HashSet::new();
    names.retain(|name| known.insert(name.clone()));
    names
}

/// The names of a host: its own, with and without a domain, those of its file of hosts, and the one
/// that mDNS gives it.
fn names_of(host: &str, hosts: &str, resolver: &str) -> Vec<String> {
    let short = host.split('.').next().unwrap_or(host);
    let mut names = vec!["localhost".to_owned(), host.to_owned(), short.to_owned()];
    let full = |name: &&str| name.split('.').next() == Some(short);
    for line in hosts.lines() {
        let line = line.split('#').next().unwrap_or_default();
        names.extend(line.split_whitespace().skip(1).filter(full).map(str::to_owned));
    }
    let domains = resolver.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        matches!(words.next(), Some("search" | "domain")).then_some(words)
    });
    let domains = domains.flatten().filter(|domain| *domain != ".").take(MAX_DOMAINS);
    names.extend(domains.map(|domain| format!("{short}.{}", domain.trim_matches('.'))));
    names.push(format!("{short}.local"));
    names.retain(|name| name.is_ascii() && !name.is_empty());
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_the_names_of_its_files() {
        let hosts = "127.0.0.1 localhost\n127.0.1.1 lab7.example.edu lab7 # own\n10.0.0.9 other\n";
        let found =
            names_of("lab7", hosts, "nameserver 10.0.0.1\nsearch example.org example.com.\n");
        let expected = [
            "localhost",
            "lab7",
            "lab7",
            "lab7.example.edu",
            "lab7",
            "lab7.example.org",
            "lab7.example.com",
            "lab7.local",
        ];
        assert_eq!(found, expected);
    }
}
