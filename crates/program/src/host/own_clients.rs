//! Clients of a daemon that are its own workers, or processes that these have started, by the
//! sockets that they have.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use remote::Peer;

/// The kernel's tables of TCP sockets, `/proc/net/tcp` and `/proc/net/tcp6`.
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];

/// Workers and their processes, with their TCP connections; empty where the system does not say so.
#[derive(Debug)]
pub(super) struct OwnClients {
    processes: HashSet<u32>,
    /// Their own ends, as the kernel's tables have them.
    ends: HashSet<SocketAddr>,
}

impl OwnClients {
    /// The processes and connections of these workers now. Reads each of the kernel's tables once.
    pub(super) fn of(workers: &[u32]) -> Self {
        let processes = in_groups_of(workers);
        let folders = processes.iter().map(|pid| std::fs::read_dir(format!("/proc/{pid}/fd")));
        let files = folders.flatten().flatten().flatten();
        let targets = files.filter_map(|file| std::fs::read_link(file.path()).ok());
        let inode = |target: PathBuf| {
            target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
        };
        let sockets: HashSet<u64> = targets.filter_map(inode).collect();
        let tables = TABLES.map(|table| std::fs::read_to_string(table).unwrap_or_default());
        let rows = tables.iter().flat_map(|table| table.lines()).filter_map(socket_in);
        let ends = rows.filter(|(_, inode)| sockets.contains(inode)).map(|(end, _)| end).collect();
        OwnClients { processes, ends }
    }

    /// Whether a client is one of them.
    pub(super) fn contains(&self, client: &Peer) -> bool {
        match client {
            Peer::Tcp(address) => self.ends.contains(address),
            Peer::Unix { process } => process.is_some_and(|pid| self.processes.contains(&pid)),
            Peer::Daemon(_) => false,
        }
    }
}

/// The processes in the workers' groups: each worker leads one.
fn in_groups_of(workers: &[u32]) -> HashSet<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let found = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_own = |process: &u32| group_of(*process).is_some_and(|group| workers.contains(&group));
    found.filter(is_own).chain(workers.iter().copied()).collect()
}

/// The process group, in a line of `PID (NAME) STATE PARENT GROUP ...`; the name may hold anything.
fn group_of(process: u32) -> Option<u32> {
    let line = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    line.rsplit_once(')')?.1.split_whitespace().nth(2)?.parse().ok()
}

/// The own end and the inode of a socket, in a row of a table: the second and the tenth column.
fn socket_in(row: &str) -> Option<(SocketAddr, u64)> {
    let mut columns = row.split_whitespace();
    let (end, inode) = (columns.nth(1)?, columns.nth(7)?);
    Some((address(end)?, inode.parse().ok()?))
}

/// The address in `0100007F:1F90`: words of 32 bits in the host's byte order. An address of IPv4
/// on a socket of IPv6 (`::ffff:192.0.2.7`) is the one of IPv4, as the daemon sees it.
fn address(end: &str) -> Option<SocketAddr> {
    let (host, port) = end.split_once(':')?;
    let word = |place: usize| {
        let digits = host.get(place * 8..place * 8 + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    let ip: IpAddr = match host.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let octets: [u8; 16] = words.concat().try_into().ok()?;
            Ipv6Addr::from(octets).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_of_a_process_is_found_by_its_own_end() {
        let own = std::process::id();
        for (listens, connects) in
            [("127.0.0.1:0", "127.0.0.1"), ("[::]:0", "::ffff:127.0.0.1"), ("[::1]:0", "::1")]
        {
            // A host may have no IPv6.
            let Ok(listener) = TcpListener::bind(listens) else { continue };
            let port = listener.local_addr().unwrap().port();
            let ip: IpAddr = connects.parse().unwrap();
            let _client = TcpStream::connect((ip, port)).unwrap();
            let (_accepted, seen) = listener.accept().unwrap();
            let seen = Peer::Tcp(SocketAddr::new(seen.ip().to_canonical(), seen.port()));
            assert!(OwnClients::of(&[own]).contains(&seen), "{connects}");
            assert!(!OwnClients::of(&[]).contains(&seen), "{connects}");
        }
    }

    #[test]
    fn a_client_on_a_unix_socket_is_known_by_its_process() {
        let clients = OwnClients { processes: [7].into(), ends: HashSet::new() };
        for (process, is_own) in [(Some(7), true), (Some(8), false), (None, false)] {
            assert_eq!(clients.contains(&Peer::Unix { process }), is_own, "{process:?}");
        }
    }
}
