//! Removal of a dead daemon's names from nameservers that know no leases.
//!
//! A daemon that ends removes its names itself, and in a nameserver of ours the names of one that
//! dies lapse. From any other nameserver (Pyro5's, Ferrolab's of 0.1.0) the supervisor removes them
//! here, with one attempt at once. There is no second one: a nameserver that does not answer in
//! time keeps the names until the daemon's next process takes them, or until somebody removes them.
//!
//! That attempt may take up to 5 s, beside the daemon's next process, and remove a name that this
//! has just registered. Its registrar, which looks every 2 s, registers the name again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use remote::{ClientTls, Error, Location, NameServer, Uri};
use serde::Deserialize;
use supervisor::{EntryStatus, KeeperHandle};
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::host::{ChildReport, UnleasedNames};
use crate::state_file;

/// Time for one answer. Pyro5's nameserver may need some tenths of a second.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Time for all names in one nameserver: the end of the lab waits for it.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(5);

/// The daemons' processes that live: their pids, and what each would leave.
type Living = BTreeMap<String, (u32, Vec<UnleasedNames>)>;

/// TLS of the nameserver at a location, as the configuration has it.
pub(crate) type TlsOfNameserver = Arc<dyn Fn(&Location) -> Option<ClientTls> + Send + Sync>;

/// Removes names of daemons that die, until the keeper ends. The tracker's end is that of the last
/// removal.
pub(crate) fn start(keeper: KeeperHandle, tls: TlsOfNameserver) -> TaskTracker {
    let removals = TaskTracker::new();
    removals.spawn(watch(keeper, tls, removals.clone()));
    removals.close();
    removals
}

async fn watch(keeper: KeeperHandle, tls: TlsOfNameserver, removals: TaskTracker) {
    let mut changes = keeper.watch();
    let mut living = Living::new();
    loop {
        let is_over = changes.changed().await.is_err();
        // Empty when the keeper has ended.
        let now: Living = keeper.snapshot().await.into_iter().filter_map(living_process).collect();
        for (id, (pid, left)) in std::mem::replace(&mut living, now) {
            let lives = living.get(&id).is_some_and(|(known, _)| *known == pid);
            for names in left.into_iter().filter(|_| !lives) {
                removals.spawn(remove(id.clone(), names, Arc::clone(&tls)));
            }
        }
        if is_over {
            return;
        }
    }
}

fn living_process(status: EntryStatus) -> Option<(String, (u32, Vec<UnleasedNames>))> {
    Some((status.id, (status.pid?, ChildReport::read(&status.detail).unleased)))
}

/// Removes the names that still point to the dead process.
async fn remove(daemon: String, left: UnleasedNames, tls: TlsOfNameserver) {
    let UnleasedNames { host, port, names } = left;
    let location = Location::Tcp { host, port };
    let nameserver = NameServer::at(location.clone(), Some(ANSWER_TIMEOUT));
    let mut nameserver = nameserver.with_tls(tls(&location));
    let mut removed = Vec::new();
    let removing = async {
        let mut refused = None;
        for (name, uri) in &names {
            let Ok(uri) = uri.parse::<Uri>() else { continue };
            match nameserver.remove_own(name, &uri).await {
                Ok(true) => removed.push(name.as_str()),
                Ok(false) => {}
                // A refusal of one name says nothing about the others.
                Err(error @ Error::Remote(_)) => refused = Some(error),
                Err(error) => return Err(error),
            }
        }
        refused.map_or(Ok(()), Err)
    };
    let problem = match tokio::time::timeout(REMOVAL_TIMEOUT, removing).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("not done within {} s", REMOVAL_TIMEOUT.as_secs())),
    };
    if !removed.is_empty() {
        info!(entry = daemon, %location, names = removed.join(", "),
            "removed the names of a process that has ended");
    }
    match problem {
        None => debug!(entry = daemon, %location, "it has left no names"),
        Some(problem) => warn!(entry = daemon, %location, problem,
            "cannot remove the names of a process that has ended; `ferrolab ns remove` does, if \
             the nameserver still has them"),
    }
}

/// Removes the list of pending removals that 0.1.0 has kept in `file`, and logs the names.
pub(crate) fn discard_pending_removals(file: &Path) {
    #[derive(Deserialize)]
    struct Removal {
        nameserver: String,
        name: String,
    }
    let removals: Vec<Removal> = match state_file::read_list(file) {
        Ok(None) => return,
        Ok(Some(removals)) => removals,
        Err(unusable) => {
            warn!("names that Ferrolab 0.1.0 has left in nameservers are not known: {unusable}");
            return;
        }
    };
    let names: Vec<String> = removals
        .iter()
        .map(|removal| format!("{} in {}", removal.name, removal.nameserver))
        .collect();
    warn!(
        names = names.join(", "),
        "Ferrolab 0.1.0 has left names in nameservers; those that no \
        daemon registers again are removed with `ferrolab ns remove`"
    );
    if let Err(error) = std::fs::remove_file(file) {
        warn!(file = %file.display(), %error, "cannot remove the list of names that 0.1.0 has left");
    }
}
