//! One name that a daemon keeps in one nameserver.
//!
//! Owns what is done where the name is missing, points elsewhere, or is contested. Knows nothing
//! of how often it is looked after.

use std::time::Duration;

use remote::{Error, NameServer, Uri};
use tokio::time::Instant;
use tracing::{info, warn};

/// A name that was overwritten and taken back is shown to people for this long.
const SHOWN: Duration = Duration::from_secs(60);

/// A name to keep registered.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub(crate) name: String,
    pub(crate) uri: Uri,
    pub(crate) metadata: Vec<String>,
}

/// A name and what has become of it.
#[derive(Debug)]
pub(super) struct Kept {
    name: Name,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// This process has not registered it yet.
    New,
    /// It is as it should be.
    Held,
    /// Somebody else has overwritten it.
    Contested { theirs: Uri, times: u32, last: Instant },
}

impl Kept {
    pub(super) fn new(mut name: Name) -> Self {
        name.metadata.sort();
        name.metadata.dedup();
        Kept { name, phase: Phase::New }
    }

    /// Registers the name where it is missing. The first time it is taken from whoever has it
    /// (mostly our own last process, at another port), tags included; after that, `reclaim`
    /// decides.
    pub(super) async fn renew(
        &mut self,
        title: &str,
        nameserver: &mut NameServer,
        reclaim: bool,
    ) -> Result<(), Error> {
        let Name { name, uri, metadata } = &self.name;
        if let Phase::New = self.phase {
            match nameserver.lookup_with_tags(name).await {
                Ok((known, tags)) if known == *uri && tags == *metadata => {}
                Ok((known, _)) => {
                    if known != *uri {
                        info!(nameserver = title, name, ours = %uri, theirs = %known,
                            "the name pointed elsewhere; taking it");
                    }
                    nameserver.register(name, uri, metadata).await?;
                }
                Err(Error::Remote(_)) => nameserver.register(name, uri, metadata).await?,
                Err(error) => return Err(error),
            }
            self.phase = Phase::Held;
            return Ok(());
        }
        // Tags that people set by hand are left as they are.
        let theirs = match nameserver.lookup(name).await {
            Ok(known) if known == *uri => {
                // A name that was given back by its taker is ours again; one that we took back
                // is shown for a while.
                if !reclaim {
                    self.phase = Phase::Held;
                }
                return Ok(());
            }
            Ok(theirs) => theirs,
            Err(Error::Remote(_)) => {
                nameserver.register(name, uri, metadata).await?;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if reclaim {
            warn!(nameserver = title, name, ours = %uri, theirs = %theirs,
                "somebody else has overwritten the name; taking it back");
            nameserver.register(name, uri, metadata).await?;
        } else if !matches!(&self.phase, Phase::Contested { theirs: known, .. } if *known == theirs)
        {
            warn!(nameserver = title, name, ours = %uri, theirs = %theirs,
                "somebody else has overwritten the name; it is left so (`reclaim_names: false`)");
        }
        let times = match self.phase {
            Phase::Contested { times, .. } => times.saturating_add(1),
            _ => 1,
        };
        self.phase = Phase::Contested { theirs, times, last: Instant::now() };
        Ok(())
    }

    /// What people should know of a contest.
    pub(super) fn contested(&self, title: &str, reclaim: bool, now: Instant) -> Option<String> {
        let Phase::Contested { theirs, times, last } = &self.phase else { return None };
        let Name { name, uri, .. } = &self.name;
        if !reclaim {
            return Some(format!(
                "'{name}' in nameserver {title} was overwritten: it points to {theirs}, not to \
                 {uri}, and is left so (`reclaim_names: false`)"
            ));
        }
        let often = if *times == 1 { String::new() } else { format!(" {times} times") };
        (now.saturating_duration_since(*last) < SHOWN).then(|| {
            format!(
                "'{name}' in nameserver {title} was overwritten{often} with {theirs}, and taken \
                 back for {uri}"
            )
        })
    }

    /// Removes the name if it still points to us; one that somebody else took stays theirs.
    pub(super) async fn remove_from(&self, nameserver: &mut NameServer) -> Result<(), Error> {
        match nameserver.lookup(&self.name.name).await {
            Ok(known) if known == self.name.uri => {
                nameserver.remove(&self.name.name).await.map(drop)
            }
            Ok(_) | Err(Error::Remote(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
