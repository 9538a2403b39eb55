//! Nameserver discovery, in Pyro5's order: this host, then a UDP broadcast.
//!
//! ```text
//! client -> broadcast   GET_NSURI                              (on each of this host's networks)
//! nameserver -> client  PYRO:Pyro.NameServer@HOST:PORT
//! ```

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::debug;
use wire::uri::{Location, Uri};

use crate::addresses;
use crate::client::nameserver::{DEFAULT_PORT, NAMESERVER_NAME, NameServer};
use crate::error::Error;
use crate::tls::ClientTls;

/// UDP port of broadcast requests (Pyro5's `NS_BCPORT`).
const BROADCAST_PORT: u16 = 9091;
/// Number of broadcasts: datagrams get lost.
const BROADCAST_ROUNDS: usize = 3;
/// Wait for answers after each broadcast.
const BROADCAST_ROUND_TIME: Duration = Duration::from_millis(700);
/// The broadcast address of the network with the default route, and an address that reaches this
/// host without a network.
const BROADCAST_ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::BROADCAST, Ipv4Addr::UNSPECIFIED];
/// Names of this host. Debian gives the second address to the host's own name.
const LOCAL_HOSTS: [&str; 2] = ["localhost", "127.0.1.1"];
/// Longest answer, in bytes.
const MAX_ANSWER_BYTES: usize = 2048;
/// Time for a nameserver that was found to answer a call.
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// Largest number of answers that are checked: any host on the network can send more.
const MAX_CANDIDATES: usize = 64;
/// Largest number of answers from one host, which may have several nameservers.
const MAX_CANDIDATES_PER_HOST: usize = 8;

/// Settings of a search for a nameserver.
#[derive(Clone, Debug)]
pub struct Search {
    /// The only host that is asked. Of several (`HOST:PORT,HOST:PORT`), the first that answers.
    pub host: Option<String>,
    /// The port on `host`, or on this host.
    pub port: u16,
    /// Whether this host is asked if `host` is `None`.
    pub this_host: bool,
    /// Whether a broadcast is sent if this host has no nameserver.
    pub broadcast: bool,
    /// UDP port of the broadcast.
    pub broadcast_port: u16,
    /// Limit on each call of the nameserver that is found.
    pub timeout: Option<Duration>,
    /// TLS of the nameserver.
    pub tls: Option<ClientTls>,
}

impl Default for Search {
    fn default() -> Self {
        Search {
            host: None,
            port: DEFAULT_PORT,
            this_host: true,
            broadcast: true,
            broadcast_port: BROADCAST_PORT,
            timeout: None,
            tls: None,
        }
    }
}

/// Finds a nameserver that answers.
///
/// # Errors
/// No nameserver answers.
pub async fn locate_ns(search: &Search) -> Result<NameServer, Error> {
    let Search { host, port, this_host, broadcast, broadcast_port, timeout, tls } = search;
    let at = |location| NameServer::at(location, *timeout).with_tls(tls.clone());
    if let Some(hosts) = host.as_ref().filter(|hosts| hosts.contains(',')) {
        let mut tried = Vec::new();
        for host in hosts.split(',').map(str::trim) {
            let with_port = || format!("{host}:{port}").parse::<Location>();
            let Ok(location) = host.parse::<Location>().or_else(|_| with_port()) else {
                tried.push(format!("{host} is no address"));
                continue;
            };
            if is_alive(&location, tls.as_ref()).await {
                return Ok(at(location));
            }
            tried.push(format!("nobody answers at {location}"));
        }
        return Err(Error::NoNameserver { tried: tried.join(", ") });
    }
    if let Some(host) = host {
        let location = Location::Tcp { host: host.clone(), port: *port };
        let mut nameserver = at(location);
        nameserver.ping().await?;
        return Ok(nameserver);
    }
    let mut tried = Vec::new();
    if *this_host {
        for host in LOCAL_HOSTS {
            let location = Location::Tcp { host: host.to_owned(), port: *port };
            if is_alive(&location, tls.as_ref()).await {
                return Ok(at(location));
            }
        }
        tried.push(format!("nobody answers at localhost port {port}"));
    }
    if *broadcast {
        match ask_network(*broadcast_port, tls.as_ref()).await {
            Ok(Some(location)) => return Ok(at(location)),
            Ok(None) => {
                tried.push(format!("nobody answers on the network (UDP port {broadcast_port})"));
            }
            Err(error) => tried.push(format!("the network cannot be asked: {error}")),
        }
    }
    Err(Error::NoNameserver { tried: tried.join(", ") })
}

/// Broadcasts requests and returns the first nameserver that can be reached.
async fn ask_network(port: u16, tls: Option<&ClientTls>) -> io::Result<Option<Location>> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    socket.set_broadcast(true)?;
    let mut answer = [0; MAX_ANSWER_BYTES];
    let mut candidates = Candidates { tls: tls.cloned(), ..Candidates::default() };
    for _ in 0..BROADCAST_ROUNDS {
        // Without a default route, or with several networks, each has to be named.
        let networks = addresses::broadcast_addresses();
        for address in BROADCAST_ADDRESSES.into_iter().chain(networks) {
            if let Err(error) = socket.send_to(b"GET_NSURI", (address, port)).await {
                debug!(%address, %error, "cannot ask for a nameserver there");
            }
        }
        let end = Instant::now() + BROADCAST_ROUND_TIME;
        loop {
            tokio::select! {
                // In this order, so that a flood of answers cannot extend the search.
                biased;
                () = sleep_until(end) => break,
                Some(found) = candidates.next() => return Ok(Some(found)),
                received = socket.recv_from(&mut answer) => {
                    // An error is a host's "port unreachable"; another may still answer.
                    let Ok((length, peer)) = received else { continue };
                    match parse_answer(answer.get(..length).unwrap_or_default()) {
                        Some(location) => candidates.add(peer.ip(), location),
                        None => debug!(%peer, "answered with something that is no nameserver's URI"),
                    }
                }
            }
        }
    }
    // A candidate of the last round gets its time to answer.
    let last = Instant::now() + PING_TIMEOUT;
    Ok(timeout_at(last, candidates.next()).await.ok().flatten())
}

/// Answers to a broadcast, all being checked at the same time.
#[derive(Default)]
struct Candidates {
    tls: Option<ClientTls>,
    known: HashSet<Location>,
    by_host: HashMap<IpAddr, usize>,
    pinging: JoinSet<Option<Location>>,
}

impl Candidates {
    fn add(&mut self, peer: IpAddr, location: Location) {
        if self.known.len() >= MAX_CANDIDATES || self.known.contains(&location) {
            return;
        }
        let candidates = self.by_host.entry(peer).or_default();
        if *candidates >= MAX_CANDIDATES_PER_HOST {
            return;
        }
        *candidates += 1;
        self.known.insert(location.clone());
        let tls = self.tls.clone();
        self.pinging
            .spawn(async move { is_alive(&location, tls.as_ref()).await.then_some(location) });
    }

    /// Waits for the next nameserver that answers; `None` if no candidate is left.
    async fn next(&mut self) -> Option<Location> {
        while let Some(answered) = self.pinging.join_next().await {
            if let Ok(Some(location)) = answered {
                return Some(location);
            }
        }
        None
    }
}

fn parse_answer(answer: &[u8]) -> Option<Location> {
    match std::str::from_utf8(answer).ok()?.parse() {
        Ok(Uri::Pyro { object, location }) if object == NAMESERVER_NAME => Some(location),
        _ => None,
    }
}

async fn is_alive(location: &Location, tls: Option<&ClientTls>) -> bool {
    let nameserver = NameServer::at(location.clone(), Some(PING_TIMEOUT));
    let mut nameserver = nameserver.with_tls(tls.cloned());
    let answer = nameserver.ping().await;
    if let Err(error) = &answer {
        debug!(%location, %error, "no nameserver there");
    }
    answer.is_ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// A host that answers each request with ever more addresses that have no nameserver.
    #[tokio::test]
    async fn a_flood_of_answers_keeps_nobody_for_ever() {
        let flood = Arc::new(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap());
        let port = flood.local_addr().unwrap().port();
        // It accepts connections and sends nothing, so each check takes all of its time.
        let silent = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
        let silent_port = silent.local_addr().unwrap().port();
        let flooding = tokio::spawn(async move {
            let mut question = [0; 100];
            let (_, mut peer) = flood.recv_from(&mut question).await.unwrap();
            for number in 0_u32.. {
                if let Ok((_, again)) = flood.try_recv_from(&mut question) {
                    peer = again;
                }
                let [_, _, b, c] = number.to_be_bytes();
                let uri = format!("PYRO:Pyro.NameServer@127.0.{b}.{c}:{silent_port}");
                let _ = flood.send_to(uri.as_bytes(), peer).await;
                tokio::task::yield_now().await;
            }
        });
        let started = Instant::now();
        assert_eq!(ask_network(port, None).await.unwrap(), None);
        let rounds = BROADCAST_ROUND_TIME * u32::try_from(BROADCAST_ROUNDS).unwrap();
        assert!(started.elapsed() < rounds + PING_TIMEOUT + Duration::from_secs(120));
        flooding.abort();
        drop(silent);
    }
}
