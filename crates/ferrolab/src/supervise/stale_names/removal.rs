//! Removing a dead daemon's names from one nameserver.
//!
//! Owns what is asked, and how long that may take. Knows nothing of which daemons are dead.

use std::time::Duration;

use remote::{Error, Location, NameServer, Uri};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// A nameserver that takes longer than this for an answer keeps the names for now. Pyro5's may need
/// some tenths of a second for each.
pub(super) const ANSWER: Duration = Duration::from_secs(2);
/// The next process registers nothing for this long at most, and somewhat less than it waits for.
const HURRIED: Duration = Duration::from_millis(2500);
/// The same where none is about to be started.
const UNHURRIED: Duration = Duration::from_secs(60);

/// A name and where it pointed.
pub(super) type Name = (String, Uri);

/// What a try has left of a dead daemon's names in one nameserver.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) daemon: String,
    pub(super) nameserver: String,
    pub(super) location: Location,
    pub(super) names: Vec<Name>,
}

/// Removes a dead daemon's names from one nameserver; those that it has not answered for are left.
pub(super) async fn remove_from(
    mut left: Left,
    hurry: CancellationToken,
    was_stopped: bool,
) -> Left {
    let Left { daemon, location, names, .. } = &left;
    let mut nameserver = NameServer::at(location.clone(), Some(ANSWER));
    let mut done = Done::default();
    let time_is_up = async {
        let _ = tokio::time::timeout(UNHURRIED, hurry.cancelled()).await;
        tokio::time::sleep(HURRIED).await;
    };
    let outcome = tokio::select! {
        outcome = done.remove(&mut nameserver, names) => Some(outcome),
        () = time_is_up => None,
    };
    match outcome {
        Some(Ok(())) if done.removed.is_empty() => {
            debug!(entry = daemon, %location, "it has left no names");
        }
        Some(Ok(())) => info!(entry = daemon, %location, names = done.removed.join(", "),
            "removed the names of a process that has ended"),
        // Of one that was told to stop there is mostly nothing to remove.
        Some(Err(error)) if was_stopped => {
            debug!(entry = daemon, %location, %error, "cannot look for left names");
        }
        Some(Err(error)) => warn!(entry = daemon, %location, %error,
            "cannot remove the names of a process that has ended"),
        None => warn!(entry = daemon, %location,
            "no time to remove the names of a process that has ended"),
    }
    left.names.retain(|name| !done.settled.contains(name));
    left
}

/// How far the removal of names has come.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Those that are not there, or somebody else's, now.
    pub(super) settled: Vec<Name>,
    /// Those of them that were removed.
    pub(super) removed: Vec<String>,
}

impl Done {
    /// Removes the names that still point where they did.
    pub(super) async fn remove(
        &mut self,
        nameserver: &mut NameServer,
        names: &[Name],
    ) -> Result<(), Error> {
        let mut refused = None;
        for (name, uri) in names {
            match nameserver.lookup(name).await {
                // Somebody else's, or nobody's.
                Ok(known) if known != *uri => {}
                Err(Error::Remote(_)) => {}
                Ok(_) => match nameserver.remove(name).await {
                    Ok(true) => self.removed.push(name.clone()),
                    Ok(false) => {}
                    // What it refuses of one name says nothing of the others.
                    Err(error @ Error::Remote(_)) => {
                        refused = Some(error);
                        continue;
                    }
                    Err(error) => return Err(error),
                },
                Err(error) => return Err(error),
            }
            self.settled.push((name.clone(), uri.clone()));
        }
        refused.map_or(Ok(()), Err)
    }
}
