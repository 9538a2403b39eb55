//! Names that dead daemons have left in their nameservers.
//!
//! A daemon that stops removes its names itself; one that dies cannot, and its supervisor does it
//! here, at once. Owns which names those are (what the daemon last reported) and the gate that
//! keeps a new process from registering them while they are being removed: it would lose them,
//! since its addresses are mostly the same. Restarts are not held up; only the new process's
//! registration waits for the gate, for a moment.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use remote::{Error, Location, NameServer, Uri};
use serde::Deserialize;
use supervisor::{Handle, Phase, Status};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::config::DaemonPart;

/// A nameserver that takes longer than this for an answer keeps the names; its autoclean, or the
/// daemon's next process, sees to them. Pyro5's may need some tenths of a second for each.
const ANSWER: Duration = Duration::from_secs(2);
/// The next process registers nothing for this long at most, and somewhat less than it waits for.
const HURRIED: Duration = Duration::from_millis(2500);
/// The same where none is about to be started.
const UNHURRIED: Duration = Duration::from_secs(60);

/// Names by the nameserver that they are in.
type Registrations = Vec<(Location, Vec<String>)>;

/// Called before each start of a daemon's process.
pub(crate) type BeforeStart = Arc<dyn Fn() + Send + Sync>;

/// The way to the task that removes the names.
#[derive(Clone, Debug)]
pub(crate) struct LeftoverNames {
    orders: mpsc::UnboundedSender<Order>,
}

#[derive(Debug)]
enum Order {
    /// Look after this daemon from now on.
    Watch { id: String, watched: Watched },
    /// A process of this daemon is about to be started; the gate is closed if there is a lock.
    Starting { id: String, gate: Option<File> },
}

/// What is known of a daemon.
#[derive(Debug)]
struct Watched {
    /// Names by nameserver.
    registrations: Registrations,
    /// Those of a process that a changed configuration replaces, until it is dead.
    replaced: Registrations,
    gate: PathBuf,
    /// Where its names have last pointed.
    uris: BTreeMap<String, Uri>,
    /// Whether a process may have left names.
    used: bool,
    /// Cancelled when the next process is about to start: whoever removes names has to hurry.
    next: CancellationToken,
}

/// What a daemon reports, of which names point where.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Detail {
    uri: Option<String>,
    services: BTreeMap<String, ServiceDetail>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ServiceDetail {
    uri: Option<String>,
}

impl LeftoverNames {
    /// Starts the task on the current runtime; it ends when the keeper does.
    pub(crate) fn start(keeper: Handle) -> Self {
        let (orders, queue) = mpsc::unbounded_channel();
        tokio::spawn(attend(keeper, queue));
        LeftoverNames { orders }
    }

    /// Looks after the names of a daemon, the keeper's entry `id`. What is returned must be called
    /// before each start of its process.
    pub(crate) fn watch(&self, id: String, part: &DaemonPart, gate: PathBuf) -> BeforeStart {
        let watched = Watched {
            registrations: registrations(part),
            replaced: Vec::new(),
            gate: gate.clone(),
            uris: BTreeMap::new(),
            used: false,
            next: CancellationToken::new(),
        };
        // Fails when the supervisor ends: nobody is started any more then.
        let _ = self.orders.send(Order::Watch { id: id.clone(), watched });
        let orders = self.orders.clone();
        Arc::new(move || {
            let _ = orders.send(Order::Starting { id: id.clone(), gate: close(&gate) });
        })
    }
}

async fn attend(keeper: Handle, mut queue: mpsc::UnboundedReceiver<Order>) {
    let mut daemons: BTreeMap<String, Watched> = BTreeMap::new();
    let mut changes = keeper.watch();
    loop {
        tokio::select! {
            biased;
            order = queue.recv() => match order {
                None => return,
                Some(Order::Watch { id, mut watched }) => {
                    if let Some(before) = daemons.remove(&id) {
                        watched.uris = before.uris;
                        watched.used = before.used;
                        watched.next = before.next;
                        if before.used {
                            watched.replaced = before.replaced;
                            watched.replaced.extend(before.registrations);
                        }
                    }
                    daemons.insert(id, watched);
                }
                Some(Order::Starting { id, gate }) => {
                    let Some(daemon) = daemons.get_mut(&id) else { continue };
                    std::mem::take(&mut daemon.next).cancel();
                    // The process before this one has died a moment ago.
                    if std::mem::replace(&mut daemon.used, true) {
                        let hurry = CancellationToken::new();
                        hurry.cancel();
                        daemon.remove_names(id, gate, &hurry, false);
                    }
                }
            },
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
                let snapshot = keeper.snapshot().await;
                let known: BTreeSet<String> =
                    snapshot.iter().map(|status| status.id.clone()).collect();
                for status in snapshot {
                    if let Some(daemon) = daemons.get_mut(&status.id) {
                        daemon.on_status(status);
                    }
                }
                // What a configuration has no more is taken out when it is dead, and may not have
                // been seen so. It is kept here: an entry is watched before it is added.
                for (id, daemon) in daemons.iter_mut().filter(|(id, _)| !known.contains(*id)) {
                    daemon.on_death(id.clone(), false);
                }
            }
        }
    }
}

impl Watched {
    fn on_status(&mut self, status: Status) {
        self.remember(&status);
        let is_dead = matches!(status.phase, Phase::Stopped | Phase::Restarting | Phase::Failed);
        if is_dead {
            self.on_death(status.id, status.phase == Phase::Stopped);
        }
    }

    fn on_death(&mut self, id: String, was_stopped: bool) {
        if !self.used {
            return;
        }
        // Where the gate is closed already, the next process is about to start, and its order is
        // on its way here.
        if let Some(gate) = close(&self.gate) {
            self.used = false;
            let hurry = self.next.clone();
            self.remove_names(id, Some(gate), &hurry, was_stopped);
        }
    }

    /// Notes where the names point; a process that has not reported yet tells nothing.
    fn remember(&mut self, status: &Status) {
        let Ok(detail) = Detail::deserialize(&status.detail) else { return };
        let name = status.id.split_once(' ').map_or(status.id.as_str(), |(_, name)| name);
        let services = detail.services.into_iter().map(|(name, service)| (name, service.uri));
        for (name, uri) in services.chain([(name.to_owned(), detail.uri)]) {
            if let Some(uri) = uri.and_then(|uri| uri.parse().ok()) {
                self.uris.insert(name, uri);
            }
        }
    }

    /// Removes the names in the background; the gate opens when that is done.
    fn remove_names(
        &mut self,
        daemon: String,
        gate: Option<File>,
        hurry: &CancellationToken,
        was_stopped: bool,
    ) {
        let mut removals = JoinSet::new();
        let replaced = std::mem::take(&mut self.replaced);
        let mut all: HashMap<Location, BTreeSet<&String>> = HashMap::new();
        for (location, names) in self.registrations.iter().chain(&replaced) {
            all.entry(location.clone()).or_default().extend(names);
        }
        for (location, names) in all {
            let names: Vec<(String, Uri)> = names
                .into_iter()
                .filter_map(|name| Some((name.clone(), self.uris.get(name)?.clone())))
                .collect();
            if !names.is_empty() {
                let (hurry, daemon) = (hurry.clone(), daemon.clone());
                removals.spawn(remove_from(location, names, daemon, hurry, was_stopped));
            }
        }
        tokio::spawn(async move {
            while removals.join_next().await.is_some() {}
            drop(gate);
        });
    }
}

async fn remove_from(
    location: Location,
    names: Vec<(String, Uri)>,
    daemon: String,
    hurry: CancellationToken,
    was_stopped: bool,
) {
    let mut nameserver = NameServer::at(location.clone(), Some(ANSWER));
    let removing = async {
        let mut removed = Vec::new();
        for (name, uri) in &names {
            match nameserver.lookup(name).await {
                // Somebody else's, or nobody's.
                Ok(known) if known != *uri => continue,
                Err(Error::Remote(_)) => continue,
                Ok(_) => {}
                Err(error) => return Err(error),
            }
            if nameserver.remove(name).await? {
                removed.push(name.as_str());
            }
        }
        Ok(removed)
    };
    let time_is_up = async {
        let _ = tokio::time::timeout(UNHURRIED, hurry.cancelled()).await;
        tokio::time::sleep(HURRIED).await;
    };
    let outcome = tokio::select! {
        outcome = removing => Some(outcome),
        () = time_is_up => None,
    };
    match outcome {
        Some(Ok(removed)) if removed.is_empty() => {
            debug!(entry = daemon, %location, "it has left no names");
        }
        Some(Ok(removed)) => info!(entry = daemon, %location, names = removed.join(", "),
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
}

/// Closes the gate for as long as the file is held; `None` where it is closed already, or cannot be
/// closed (then a new process's names may be removed, and are renewed within seconds).
fn close(gate: &Path) -> Option<File> {
    let file = File::options().create(true).truncate(false).write(true).open(gate);
    match file {
        Ok(file) => file.try_lock().is_ok().then_some(file),
        Err(error) => {
            warn!(gate = %gate.display(), %error, "cannot open the gate of a daemon's names");
            None
        }
    }
}

fn registrations(part: &DaemonPart) -> Vec<(Location, Vec<String>)> {
    let names_in = |nameserver: &String| {
        let services = part.services.iter().filter(|s| s.nameservers.contains(nameserver));
        let mut names: Vec<String> = services.map(|service| service.name.clone()).collect();
        if part.daemon.nameservers.contains(nameserver) {
            names.push(part.daemon.name.clone());
        }
        names
    };
    let nameservers = part.nameservers.iter();
    nameservers
        .map(|nameserver| {
            let host = nameserver.host.resolve();
            let location = Location::Tcp { host, port: nameserver.port };
            (location, names_in(&nameserver.name))
        })
        .collect()
}
