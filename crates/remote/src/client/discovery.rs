//! Finding a nameserver: on this host, then by asking the network.
//!
//! Owns the search, in Pyro5's order. What is asked and answered is a UDP datagram each:
//! `GET_NSURI`, and the nameserver's URI as text.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::debug;
use wire::uri::{Location, Uri};

use crate::client::nameserver::{DEFAULT_PORT, NAMESERVER_NAME, NameServer};
use crate::error::Error;

/// Pyro5's `NS_BCPORT`.
const BROADCAST_PORT: u16 = 9091;
/// How often the network is asked; datagrams get lost.
const BROADCAST_ROUNDS: usize = 3;
/// How long an answer is waited for, each time.
const BROADCAST_ROUND_TIME: Duration = Duration::from_millis(700);
/// The network's broadcast address, and what means this host where nothing leads to a network.
const BROADCAST_ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::BROADCAST, Ipv4Addr::UNSPECIFIED];
/// This host's; on Debian a host's own name stands for the second.
const LOCAL_HOSTS: [&str; 2] = ["localhost", "127.0.1.1"];
/// A longer answer is none.
const MAX_ANSWER_BYTES: usize = 2048;
/// A nameserver that was found takes no longer than this to prove itself.
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// Answers that are looked into, at most: anybody on the network can send as many as he likes.
const MAX_CANDIDATES: usize = 64;
/// Those of one host. Several nameservers on it may answer, each with its own.
const MAX_CANDIDATES_PER_HOST: usize = 8;

/// Where to search for a nameserver.
#[derive(Clone, Debug)]
pub struct Search {
    /// Only this host is asked, if one is given.
    pub host: Option<String>,
    /// Its port, or this host's.
    pub port: u16,
    /// Whether this host is asked where none is given.
    pub here: bool,
    /// Whether the network is asked where this host has none.
    pub broadcast: bool,
    /// The UDP port on which nameservers hear that.
    pub broadcast_port: u16,
    /// The limit on each call of the nameserver that is found.
    pub timeout: Option<Duration>,
}

impl Default for Search {
    fn default() -> Self {
        Search {
            host: None,
            port: DEFAULT_PORT,
            here: true,
            broadcast: true,
            broadcast_port: BROADCAST_PORT,
            timeout: None,
        }
    }
}

/// Finds a nameserver that answers.
///
/// # Errors
/// There is none, or not where it was told to be.
pub async fn locate_ns(search: &Search) -> Result<NameServer, Error> {
    let Search { host, port, here, broadcast, broadcast_port, timeout } = search;
    if let Some(host) = host {
        let location = Location::Tcp { host: host.clone(), port: *port };
        let mut nameserver = NameServer::at(location, *timeout);
        nameserver.ping().await?;
        return Ok(nameserver);
    }
    let mut tried = Vec::new();
    if *here {
        for host in LOCAL_HOSTS {
            let location = Location::Tcp { host: host.to_owned(), port: *port };
            if is_alive(&location).await {
                return Ok(NameServer::at(location, *timeout));
            }
        }
        tried.push(format!("nobody answers at localhost port {port}"));
    }
    if *broadcast {
        match ask_network(*broadcast_port).await {
            Ok(Some(location)) => return Ok(NameServer::at(location, *timeout)),
            Ok(None) => {
                tried.push(format!("nobody answers on the network (UDP port {broadcast_port})"));
            }
            Err(error) => tried.push(format!("the network cannot be asked: {error}")),
        }
    }
    Err(Error::NoNameserver { tried: tried.join(", ") })
}

/// Asks everybody on the network; the first nameserver that can be reached.
async fn ask_network(port: u16) -> io::Result<Option<Location>> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    socket.set_broadcast(true)?;
    let mut answer = [0; MAX_ANSWER_BYTES];
    let mut candidates = Candidates::default();
    for _ in 0..BROADCAST_ROUNDS {
        for address in BROADCAST_ADDRESSES {
            if let Err(error) = socket.send_to(b"GET_NSURI", (address, port)).await {
                debug!(%address, %error, "cannot ask for a nameserver there");
            }
        }
        let end = Instant::now() + BROADCAST_ROUND_TIME;
        loop {
            tokio::select! {
                // In this order: whoever floods us with answers takes no more time than others.
                biased;
                () = sleep_until(end) => break,
                Some(found) = candidates.next() => return Ok(Some(found)),
                received = socket.recv_from(&mut answer) => {
                    // An error is somebody's "port unreachable"; another may still answer.
                    let Ok((length, peer)) = received else { continue };
                    match parse_answer(answer.get(..length).unwrap_or_default()) {
                        Some(location) => candidates.add(peer.ip(), location),
                        None => debug!(%peer, "answered with something that is no nameserver's URI"),
                    }
                }
            }
        }
    }
    // Who has answered late may prove itself still.
    let last = Instant::now() + PING_TIMEOUT;
    Ok(timeout_at(last, candidates.next()).await.ok().flatten())
}

/// Nameservers that somebody told of, pinging themselves all at the same time.
#[derive(Default)]
struct Candidates {
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
        self.pinging.spawn(async move { is_alive(&location).await.then_some(location) });
    }

    /// The next that has proved itself; `None` when nobody is left to do so.
    async fn next(&mut self) -> Option<Location> {
        while let Some(proved) = self.pinging.join_next().await {
            if let Ok(Some(location)) = proved {
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

async fn is_alive(location: &Location) -> bool {
    let mut nameserver = NameServer::at(location.clone(), Some(PING_TIMEOUT));
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

    /// A host that answers each question with more and more nameservers that are none.
    #[tokio::test]
    async fn a_flood_of_answers_keeps_nobody_for_ever() {
        let flood = Arc::new(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap());
        let port = flood.local_addr().unwrap().port();
        // It takes connections and says nothing: each proof takes all of its time.
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
        assert_eq!(ask_network(port).await.unwrap(), None);
        let rounds = BROADCAST_ROUND_TIME * u32::try_from(BROADCAST_ROUNDS).unwrap();
        assert!(started.elapsed() < rounds + PING_TIMEOUT + Duration::from_secs(120));
        flooding.abort();
        drop(silent);
    }
}
