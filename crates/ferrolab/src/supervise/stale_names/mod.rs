//! Names that dead daemons have left in their nameservers.
//!
//! A daemon that stops removes its names itself; one that dies cannot, and its supervisor does it
//! here, at once. Owns which names those are (what the daemon last reported) and the gate that
//! keeps a new process from registering them while they are being removed: it would lose them,
//! since its addresses are mostly the same. Restarts are not held up; only the new process's
//! registration waits for the gate, for a moment. Names that a nameserver does not answer for are
//! [`pending_removals`], and removed when it does.

mod pending_removals;
mod removal;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lab_config::DaemonPart;
use remote::{Location, NameServer, Uri};
use serde::Deserialize;
use supervisor::{EntryPhase, EntryStatus, KeeperHandle};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::log::host_warnings::Troubles;
use crate::supervise::stale_names::pending_removals::Owed;
use crate::supervise::stale_names::removal::{ANSWER, Done, Left, Name, remove_from};

/// How often it is looked who is to be asked again.
const LOOK: Duration = Duration::from_millis(250);
/// What is still being removed when the lab ends is waited for.
const SETTLING: Duration = Duration::from_secs(5);

/// Names by the nameserver that they are in: its name and where it is.
type Registrations = Vec<(String, Location, Vec<String>)>;

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
    /// All processes have ended: what can be removed now is, and the rest is written down.
    Settle { done: oneshot::Sender<()> },
}

/// What came of asking nameservers.
#[derive(Debug)]
enum Outcome {
    /// At a daemon's end.
    AtOnce(Vec<Left>),
    /// Of one that had not answered before.
    Again { location: Location, done: Vec<Name>, is_answered: bool },
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
    /// The nameservers that have ever had its names.
    registered: BTreeSet<String>,
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
    registered: BTreeSet<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ServiceDetail {
    uri: Option<String>,
}

impl LeftoverNames {
    /// Starts the task on the current runtime. What could not be removed is kept in `file`.
    pub(crate) fn start(keeper: KeeperHandle, file: PathBuf, troubles: Troubles) -> Self {
        let (orders, queue) = mpsc::unbounded_channel();
        tokio::spawn(attend(keeper, queue, Owed::load(file, troubles)));
        LeftoverNames { orders }
    }

    /// Called when all processes have ended: waits a moment until their names are removed.
    pub(crate) async fn settle(&self) {
        let (done, settled) = oneshot::channel();
        let _ = self.orders.send(Order::Settle { done });
        let _ = settled.await;
    }

    /// Looks after the names of a daemon, the keeper's entry `id`. What is returned must be called
    /// before each start of its process.
    pub(crate) fn watch(&self, id: String, part: &DaemonPart, gate: PathBuf) -> BeforeStart {
        let watched = Watched {
            registrations: registrations(part),
            replaced: Vec::new(),
            gate: gate.clone(),
            uris: BTreeMap::new(),
            registered: BTreeSet::new(),
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

async fn attend(keeper: KeeperHandle, mut queue: mpsc::UnboundedReceiver<Order>, mut owed: Owed) {
    let mut daemons: BTreeMap<String, Watched> = BTreeMap::new();
    let mut removals: JoinSet<Outcome> = JoinSet::new();
    let mut changes = keeper.watch();
    let mut keeper_lives = true;
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            order = queue.recv() => match order {
                None => return,
                Some(Order::Watch { id, mut watched }) => {
                    if let Some(before) = daemons.remove(&id) {
                        watched.uris = before.uris;
                        watched.used = before.used;
                        watched.registered = before.registered;
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
                        daemon.remove_names(id, gate, &hurry, false, &mut removals);
                    }
                }
                Some(Order::Settle { done }) => {
                    for (id, daemon) in &mut daemons {
                        daemon.on_death(id, true, &mut removals);
                        daemon.next.cancel();
                    }
                    let settling = async {
                        while let Some(outcome) = removals.join_next().await {
                            take_note(outcome, &mut owed);
                        }
                    };
                    if tokio::time::timeout(SETTLING, settling).await.is_err() {
                        warn!("no time to remove all names of processes that have ended");
                    }
                    let _ = done.send(());
                }
            },
            Some(outcome) = removals.join_next(), if !removals.is_empty() => {
                take_note(outcome, &mut owed);
            }
            _ = look.tick(), if !owed.is_empty() => ask_again(&mut owed, &daemons, &mut removals),
            changed = changes.changed(), if keeper_lives => {
                if changed.is_err() {
                    keeper_lives = false;
                    continue;
                }
                let snapshot = keeper.snapshot().await;
                let known: BTreeSet<String> =
                    snapshot.iter().map(|status| status.id.clone()).collect();
                for status in snapshot {
                    if let Some(nameserver) = status.id.strip_prefix("nameserver ")
                        && status.phase == EntryPhase::Running
                    {
                        owed.on_running(nameserver);
                    }
                    if let Some(daemon) = daemons.get_mut(&status.id) {
                        daemon.on_status(&status, &mut removals);
                    }
                }
                // What a configuration has no more is taken out when it is dead, and may not have
                // been seen so. It is kept here: an entry is watched before it is added.
                for (id, daemon) in daemons.iter_mut().filter(|(id, _)| !known.contains(*id)) {
                    daemon.on_death(id, false, &mut removals);
                }
            }
        }
    }
}

fn take_note(outcome: Result<Outcome, JoinError>, owed: &mut Owed) {
    match outcome {
        Ok(Outcome::AtOnce(left)) => owed.add(left),
        Ok(Outcome::Again { location, done, is_answered }) => {
            owed.on_answer(&location, &done, is_answered);
        }
        Err(error) => warn!(%error, "the removal of names did not end well"),
    }
}

/// Tries again to remove what could not be removed, each nameserver beside the others.
fn ask_again(
    owed: &mut Owed,
    daemons: &BTreeMap<String, Watched>,
    removals: &mut JoinSet<Outcome>,
) {
    let is_kept = |location: &Location, name: &str| {
        daemons.values().any(|daemon| daemon.used && daemon.has(location, name))
    };
    for place in owed.due(Instant::now(), is_kept) {
        let Some(location) = place.first().map(|left| left.location.clone()) else { continue };
        let mut gates = Vec::new();
        let mut names = Vec::new();
        for left in place {
            // A process that is started now waits with its registration until this is done. One
            // that lives has none of these names, so that its gate stays open.
            match daemons.get(&left.daemon) {
                Some(daemon) if !daemon.used => match close(&daemon.gate) {
                    Some(gate) => gates.push(gate),
                    None => continue,
                },
                _ => {}
            }
            names.extend(left.names);
        }
        removals.spawn(async move {
            let mut nameserver = NameServer::at(location.clone(), Some(ANSWER));
            let mut done = Done::default();
            let removing = done.remove(&mut nameserver, &names);
            let is_answered = matches!(tokio::time::timeout(ANSWER, removing).await, Ok(Ok(())));
            if !done.removed.is_empty() {
                info!(%location, names = done.removed.join(", "),
                    "removed names that processes have left while it did not answer");
            }
            drop(gates);
            Outcome::Again { location, done: done.settled, is_answered }
        });
    }
}

impl Watched {
    fn on_status(&mut self, status: &EntryStatus, removals: &mut JoinSet<Outcome>) {
        self.remember(status);
        let is_dead = matches!(
            status.phase,
            EntryPhase::Stopped | EntryPhase::Restarting | EntryPhase::Failed
        );
        if is_dead {
            self.on_death(&status.id, status.phase == EntryPhase::Stopped, removals);
        }
    }

    fn on_death(&mut self, id: &str, was_stopped: bool, removals: &mut JoinSet<Outcome>) {
        if !self.used {
            return;
        }
        // Where the gate is closed already, the next process is about to start, and its order is
        // on its way here.
        if let Some(gate) = close(&self.gate) {
            self.used = false;
            let hurry = self.next.clone();
            self.remove_names(id.to_owned(), Some(gate), &hurry, was_stopped, removals);
        }
    }

    fn has(&self, location: &Location, name: &str) -> bool {
        let mut known = self.registrations.iter().filter(|(_, known, _)| known == location);
        known.any(|(.., names)| names.iter().any(|known| known == name))
    }

    /// Notes where the names point; a process that has not reported yet tells nothing.
    fn remember(&mut self, status: &EntryStatus) {
        let Ok(detail) = Detail::deserialize(&status.detail) else { return };
        self.registered.extend(detail.registered);
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
        removals: &mut JoinSet<Outcome>,
    ) {
        let mut asking = JoinSet::new();
        let replaced = std::mem::take(&mut self.replaced);
        let mut all: HashMap<Location, (&String, BTreeSet<&String>)> = HashMap::new();
        for (nameserver, location, names) in self.registrations.iter().chain(&replaced) {
            let known = all.entry(location.clone()).or_insert((nameserver, BTreeSet::new()));
            known.1.extend(names);
        }
        for (location, (nameserver, names)) in all {
            let names: Vec<Name> = names
                .into_iter()
                .filter_map(|name| Some((name.clone(), self.uris.get(name)?.clone())))
                .collect();
            if !names.is_empty() {
                let (hurry, daemon) = (hurry.clone(), daemon.clone());
                // Where they have never been there is nothing to come back for.
                let is_owed = self.registered.contains(nameserver);
                let nameserver = nameserver.clone();
                let left = Left { daemon, nameserver, location, names };
                asking.spawn(async move {
                    let left = remove_from(left, hurry, was_stopped).await;
                    (is_owed && !left.names.is_empty()).then_some(left)
                });
            }
        }
        removals.spawn(async move {
            let mut left = Vec::new();
            while let Some(outcome) = asking.join_next().await {
                left.extend(outcome.ok().flatten());
            }
            drop(gate);
            Outcome::AtOnce(left)
        });
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

fn registrations(part: &DaemonPart) -> Registrations {
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
            (nameserver.name.clone(), location, names_in(&nameserver.name))
        })
        .collect()
}
