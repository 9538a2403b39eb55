//! One name that a daemon keeps in one nameserver.
//!
//! Owns what happens where the name is missing, points elsewhere, or is contested. Knows nothing
//! of how often it is renewed.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::Duration;

use remote::{ConnectError, Error, LeasedName, NameServer, Proxy, Takeover, Uri};
use tokio::time::Instant;
use tracing::{info, warn};

/// Number of take-backs after which one of two processes that both want a name gives in. Only in
/// nameservers without leases; in others the lease decides.
const CONTESTS: u32 = 3;
/// Timeout of the question whether a process is still there.
const HOLDER_TIMEOUT: Duration = Duration::from_millis(500);
/// People are shown for this long that a name was overwritten and taken back.
const CONTEST_SHOWN: Duration = Duration::from_secs(60);

/// A name to keep registered.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub(crate) name: String,
    pub(crate) uri: Uri,
    pub(crate) metadata: Vec<String>,
}

fn sort(metadata: &mut Vec<String>) {
    metadata.sort();
    metadata.dedup();
}

/// A name and what has become of it.
#[derive(Debug)]
pub(super) struct RegisteredName {
    name: Name,
    /// Its daemon listens at all addresses of this host; the URI has one of them.
    is_everywhere: bool,
    phase: NamePhase,
    /// Another running daemon that wants the name while this one has it.
    rival: Option<Uri>,
}

#[derive(Debug)]
enum NamePhase {
    /// This process has not registered it yet.
    New,
    /// This process has registered it with another address of this host.
    Moved,
    /// It is as it should be.
    Registered,
    /// Somebody else has overwritten it, or another running daemon `holds` it.
    Contested { theirs: Uri, times: u32, last: Instant, holds: bool },
}

impl RegisteredName {
    pub(super) fn new(mut name: Name) -> Self {
        sort(&mut name.metadata);
        let is_everywhere = name.uri.is_everywhere();
        RegisteredName { name, is_everywhere, phase: NamePhase::New, rival: None }
    }

    pub(super) fn name(&self) -> &Name {
        &self.name
    }

    /// Sets the tags, in the place of those that it has.
    pub(super) fn set_metadata(&mut self, mut metadata: Vec<String>) {
        sort(&mut metadata);
        if metadata == self.name.metadata {
            return;
        }
        self.name.metadata = metadata;
        if matches!(self.phase, NamePhase::Registered) {
            // Only a name that is claimed gets its tags.
            self.phase = NamePhase::New;
        }
    }

    pub(super) fn is_everywhere(&self) -> bool {
        self.is_everywhere
    }

    /// Gives the URI this address of this host, if its daemon listens at all of them.
    pub(super) fn move_to(&mut self, address: IpAddr) {
        if !self.is_everywhere {
            return;
        }
        let uri = self.name.uri.clone().everywhere().reached_at(address);
        if uri == self.name.uri {
            return;
        }
        if !matches!(self.phase, NamePhase::New) {
            info!(name = self.name.name, from = %self.name.uri, to = %uri,
                "the addresses of this host have changed");
        }
        if !matches!(self.phase, NamePhase::New | NamePhase::Contested { holds: true, .. }) {
            self.phase = NamePhase::Moved;
        }
        self.name.uri = uri;
    }

    /// The name for a nameserver that knows leases. The first time, it is taken from whatever has
    /// it (mostly our own last process, at another port), tags included; after that, `reclaim`
    /// decides. Another daemon that holds it keeps it.
    pub(super) fn leased(&self, reclaim: bool) -> LeasedName<'_> {
        let Name { name, uri, metadata } = &self.name;
        let takeover = match (&self.phase, reclaim) {
            (NamePhase::New, _) => Takeover::Claim,
            // The lease at the old address is this process's own.
            (NamePhase::Moved, _) => Takeover::Seize,
            (_, true) => Takeover::Reclaim,
            (_, false) => Takeover::Keep,
        };
        LeasedName { name, uri, tags: metadata, takeover }
    }

    /// Registers the name with a nameserver that knows no leases, by the same rules.
    pub(super) async fn register(
        &mut self,
        title: &str,
        nameserver: &mut NameServer,
        reclaim: bool,
    ) -> Result<(), Error> {
        let Name { name, uri, metadata } = &self.name;
        let takeover = self.leased(reclaim).takeover;
        let (theirs, is_right) = match nameserver.lookup_with_tags(name).await {
            // Tags that people set by hand are left as they are.
            Ok((known, tags)) if known == *uri => {
                (None, takeover != Takeover::Claim || tags == *metadata)
            }
            Ok((known, _)) => (Some(known), takeover == Takeover::Keep),
            Err(Error::Remote(_)) => (None, false),
            Err(error) => return Err(error),
        };
        let yields = match &theirs {
            Some(theirs) if !is_right => self.yields_to(theirs).await,
            _ => false,
        };
        if !is_right && !yields {
            nameserver.register(name, uri, metadata).await?;
        }
        self.settle(title, theirs, yields, reclaim);
        Ok(())
    }

    /// Whether the name is left to a process that takes it again and again, as this one does. Both
    /// compare the same two URIs, and so agree which of them gives in.
    async fn yields_to(&self, theirs: &Uri) -> bool {
        let NamePhase::Contested { theirs: known, times, .. } = &self.phase else { return false };
        let is_stubborn = known == theirs && *times >= CONTESTS;
        is_stubborn && self.name.uri.to_string() > theirs.to_string() && !is_gone(theirs).await
    }

    /// Whether the name may be seized from a daemon that holds it: our own last process, mostly,
    /// which was killed, and whose lease has not ended. Only a process that has just started
    /// seizes names.
    pub(super) async fn may_seize(&self, theirs: &Uri) -> bool {
        matches!(self.phase, NamePhase::New) && is_gone(theirs).await
    }

    /// Notes what a pass has found: where the name pointed, if elsewhere, and whether it stays
    /// there because another daemon `holds` it.
    pub(super) fn settle(&mut self, title: &str, theirs: Option<Uri>, holds: bool, reclaim: bool) {
        let Name { name, uri, .. } = &self.name;
        let is_new = matches!(self.phase, NamePhase::New | NamePhase::Moved);
        let was_held = matches!(self.phase, NamePhase::Contested { holds: true, .. });
        let Some(theirs) = theirs else {
            if was_held {
                info!(nameserver = title, name, ours = %uri, "the name has become free; taking it");
            }
            // A name that its taker has given back is ours again; one that we took back is shown
            // for a while.
            if is_new || was_held || !reclaim {
                self.phase = NamePhase::Registered;
            }
            return;
        };
        if is_new && !holds {
            info!(nameserver = title, name, ours = %uri, theirs = %theirs,
                "the name pointed elsewhere; taking it");
            self.phase = NamePhase::Registered;
            return;
        }
        let is_known =
            matches!(&self.phase, NamePhase::Contested { theirs: known, .. } if *known == theirs);
        if holds {
            if !was_held {
                warn!(nameserver = title, name, ours = %uri, theirs = %theirs,
                    "another running process has the name and keeps it");
            }
        } else if reclaim {
            warn!(nameserver = title, name, ours = %uri, theirs = %theirs,
                "somebody else has overwritten the name; taking it back");
        } else if !is_known {
            warn!(nameserver = title, name, ours = %uri, theirs = %theirs,
                "somebody else has overwritten the name; it is left so (`reclaim_names: false`)");
        }
        let times = match self.phase {
            NamePhase::Contested { times, .. } => times.saturating_add(1),
            _ => 1,
        };
        self.phase = NamePhase::Contested { theirs, times, last: Instant::now(), holds };
    }

    /// Notes which other daemon wants the name, if any, while it points here.
    pub(super) fn set_rival(&mut self, title: &str, rival: Option<Uri>) {
        if let Some(theirs) = &rival
            && self.rival.is_none()
        {
            warn!(nameserver = title, name = self.name.name, ours = %self.name.uri, %theirs,
                "another running process wants the name, which stays here");
        }
        self.rival = rival;
    }

    /// The contest over the name in a sentence, if there is one.
    pub(super) fn contested(&self, title: &str, reclaim: bool, now: Instant) -> Option<String> {
        if let Some(rival) = &self.rival {
            let Name { name, uri, .. } = &self.name;
            return Some(format!(
                "'{name}' in nameserver {title} is wanted by two running processes: it points to \
                 {uri}, which keeps it, and not to {rival}"
            ));
        }
        let NamePhase::Contested { theirs, times, last, holds } = &self.phase else { return None };
        let Name { name, uri, .. } = &self.name;
        if *holds {
            return Some(format!(
                "'{name}' in nameserver {title} is wanted by two running processes: it points to \
                 {theirs}, which keeps it, and not to {uri}"
            ));
        }
        if !reclaim {
            return Some(format!(
                "'{name}' in nameserver {title} was overwritten: it points to {theirs}, not to \
                 {uri}, and is left so (`reclaim_names: false`)"
            ));
        }
        let often = if *times == 1 { String::new() } else { format!(" {times} times") };
        (now.saturating_duration_since(*last) < CONTEST_SHOWN).then(|| {
            format!(
                "'{name}' in nameserver {title} was overwritten{often} with {theirs}, and taken \
                 back for {uri}"
            )
        })
    }
}

/// Whether nothing serves an object any more. Only a clear no counts: a process that is slow, is
/// full or speaks TLS is there, another network may be away, and the lease of a dead one ends by
/// itself.
async fn is_gone(uri: &Uri) -> bool {
    let mut proxy = Proxy::from(uri.clone()).with_timeout(HOLDER_TIMEOUT);
    match proxy.metadata().await {
        Err(Error::Connect { source: ConnectError::Io(error), .. }) => {
            matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound)
        }
        Err(Error::Connect { source: ConnectError::Refused(reason), .. }) => {
            reason.contains("unknown object")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_holder_that_takes_a_connection_is_not_gone() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = Uri::tcp("t.name", "127.0.0.1", listener.local_addr().unwrap().port());
        let server = tokio::spawn(async move {
            // As a daemon that is full, or has TLS: it closes what it does not understand.
            loop {
                drop(listener.accept().await);
            }
        });
        assert!(!is_gone(&uri).await);
        server.abort();
        let _ = server.await;
        assert!(is_gone(&uri).await);
        assert!(!is_gone(&Uri::tcp("t.name", "host.invalid", 1)).await);
    }
}
