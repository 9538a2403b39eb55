//! Task that decides which entries run: by the configuration in force, and by orders by hand.
//!
//! It makes one change at a time. Long steps (stops, the preparation of a reload) are awaited
//! beside it; files are read and written on other threads. The children themselves are the
//! keeper's.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lab_config::{Configuration, did_you_mean};
use supervisor::{EntryPhase, KeeperHandle, StartOutcome, StopOutcome};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::EntryKind;
use super::daemon_messages::{Messenger, SentMessage};
use super::in_force::{self, InForce};
use super::in_use::NotDone;
use super::memory::Memory;
use super::plan::{self, LaunchError, Plan, Takeover};
use super::reload::{self, Prepared};
use super::rename_state;
use crate::host::DaemonOrder;
use crate::log::host_warnings::Troubles;
use crate::paths::Paths;
use crate::supervise::active_config;
use crate::supervise::control::{Action, Changes};
use crate::supervise::stale_names;

/// Order to the manager, with the channel of its answer.
pub(super) enum Order {
    /// Start, stop or restart one entry. The answer is a sentence.
    Act {
        action: Action,
        kind: EntryKind,
        name: String,
        reply: oneshot::Sender<Result<String, String>>,
    },
    /// Decisions about one entry hold for another name too, which the entry will have.
    Renamed { old: String, new: String, reply: oneshot::Sender<Result<(), String>> },
    /// Take up the configuration file as it is now.
    Reload { force: bool, reply: oneshot::Sender<Result<Changes, NotDone>> },
}

impl Order {
    /// Whether the client that gave it is gone.
    fn is_abandoned(&self) -> bool {
        match self {
            Order::Act { reply, .. } => reply.is_closed(),
            Order::Renamed { reply, .. } => reply.is_closed(),
            Order::Reload { reply, .. } => reply.is_closed(),
        }
    }
}

/// A reload that is being prepared: its file is read, and what it has no more goes. Orders of other
/// entries do not wait for that.
struct Reloading {
    reply: oneshot::Sender<Result<Changes, NotDone>>,
    preparation: JoinHandle<Result<Prepared, NotDone>>,
}

/// The end of the preparation, if one goes on; else never.
async fn preparation(
    reloading: &mut Option<Reloading>,
) -> Result<Result<Prepared, NotDone>, JoinError> {
    match reloading {
        Some(Reloading { preparation, .. }) => preparation.await,
        None => std::future::pending().await,
    }
}

/// How long after a failed attempt the memory is written down again.
const SAVE_RETRY_INTERVAL: Duration = Duration::from_secs(3);

/// The state of the task.
pub(super) struct Manager {
    pub(super) paths: Paths,
    pub(super) program: PathBuf,
    pub(super) keeper: KeeperHandle,
    messenger: Messenger,
    pub(super) troubles: Troubles,
    memory: Memory,
    /// The last attempt to write the memory down has failed.
    unwritten: Option<Instant>,
    force: watch::Sender<InForce>,
}

impl Manager {
    /// A manager with the memory of the last one, and what it has in force.
    pub(super) fn new(
        configuration: Configuration,
        paths: &Paths,
        program: PathBuf,
        keeper: KeeperHandle,
        messenger: Messenger,
        troubles: Troubles,
    ) -> (Manager, watch::Receiver<InForce>) {
        let (memory, problem) = Memory::load(&paths.by_hand());
        if let Some(problem) = problem {
            warn!("{problem}");
            troubles.set("memory", problem);
        }
        let (force, receiver) =
            watch::channel(InForce::new(configuration, reload::fingerprint(paths), &memory));
        let paths = paths.clone();
        stale_names::discard_pending_removals(&paths.left_names());
        let unwritten = None;
        let manager =
            Manager { paths, program, keeper, messenger, troubles, memory, unwritten, force };
        (manager, receiver)
    }

    /// Gives every entry to the keeper and starts what is to run.
    pub(super) async fn launch(&mut self) -> Result<(), LaunchError> {
        let force = self.force.borrow().clone();
        let plans = plan::all(&force.configuration, &self.paths)?;
        self.carry_over(|id| plans.contains_key(id)).await;
        for plan in plans.values() {
            self.keeper.add(plan.entry(&self.program)).await?;
        }
        // Nameservers before daemons: their ids sort after those.
        for id in force.wanted.iter().rev() {
            self.keeper.start(id).await?;
        }
        Ok(())
    }

    /// Follows orders until nobody can give one any more.
    pub(super) async fn serve(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut reloading: Option<Reloading> = None;
        // Reloads come one after the other, each with the file as it is then.
        let mut waiting = VecDeque::new();
        loop {
            if reloading.is_none()
                && let Some((force, reply)) = waiting.pop_front()
            {
                reloading = self.begin_reload(force, reply);
                continue;
            }
            let again = self.unwritten.map(|tried| tried + SAVE_RETRY_INTERVAL);
            let order = tokio::select! {
                prepared = preparation(&mut reloading) => {
                    if let Some(Reloading { reply, .. }) = reloading.take() {
                        self.reload(prepared, reply).await;
                    }
                    continue;
                }
                () = sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() => {
                    self.remember().await;
                    continue;
                }
                order = orders.recv() => order,
            };
            match order {
                None => return,
                // Nobody waits for it any more: it was told that it is not done.
                Some(order) if order.is_abandoned() => info!("an order was taken back"),
                Some(Order::Act { action, kind, name, reply }) => {
                    self.act(action, kind, &name, reply).await;
                }
                Some(Order::Renamed { old, new, reply }) => {
                    if self.memory.rename(&old, &new) {
                        info!(old, new, "what was decided by hand holds for the new name");
                        self.remember().await;
                    }
                    let _ = reply.send(Ok(()));
                }
                Some(Order::Reload { force, reply }) => waiting.push_back((force, reply)),
            }
        }
    }

    async fn act(
        &mut self,
        action: Action,
        kind: EntryKind,
        name: &str,
        reply: oneshot::Sender<Result<String, String>>,
    ) {
        let id = kind.id(name);
        if !self.force.borrow().has(kind, name) {
            let _ =
                reply.send(Err(unknown(&self.force.borrow().configuration, action, kind, name)));
            return;
        }
        info!(entry = %id, ?action, "asked by hand");
        if self.memory.decide(&id, action != Action::Stop) || self.unwritten.is_some() {
            self.remember().await;
        }
        let memory = &self.memory;
        self.force.send_modify(|force| force.wanted = force.wanted_by(memory));
        let keeper = self.keeper.clone();
        // A stop may take its time; other orders do not wait for it.
        tokio::spawn(async move {
            let said = match action {
                Action::Start => keeper.start(&id).await.map(|outcome| started(&id, outcome)),
                Action::Restart => keeper.restart(&id).await.map(|outcome| restarted(&id, outcome)),
                Action::Stop => keeper.stop(&id).await.map(|outcome| stopped(&id, outcome)),
            };
            let _ = reply.send(said.map_err(|error| error.to_string()));
        });
    }

    fn begin_reload(
        &self,
        force: bool,
        reply: oneshot::Sender<Result<Changes, NotDone>>,
    ) -> Option<Reloading> {
        if reply.is_closed() {
            return None;
        }
        let in_force = Arc::clone(&self.force.borrow().configuration);
        let (keeper, messenger) = (self.keeper.clone(), self.messenger.clone());
        let prepare = reload::prepare(keeper, messenger, self.paths.clone(), in_force, force);
        Some(Reloading { reply, preparation: tokio::spawn(prepare) })
    }

    async fn reload(
        &mut self,
        prepared: Result<Result<Prepared, NotDone>, JoinError>,
        reply: oneshot::Sender<Result<Changes, NotDone>>,
    ) {
        let prepared =
            prepared.unwrap_or_else(|error| Err(format!("it broke off: {error}").into()));
        let mut sent = Vec::new();
        let mut done = match prepared {
            Ok(prepared) => Ok(self.take_up(prepared, &mut sent).await),
            Err(error) => {
                warn!(?error, "not reloaded: the last good one stays");
                Err(error)
            }
        };
        let (paths, messenger) = (self.paths.clone(), self.messenger.clone());
        // The copy may have to wait for a command that changes the file just now; other orders do
        // not.
        tokio::spawn(async move {
            for message in sent {
                if let (Err(problem), Ok(changes)) = (messenger.answer_of(message).await, &mut done)
                {
                    changes.problems.push(problem);
                }
            }
            if done.is_ok() {
                let kept =
                    tokio::task::spawn_blocking(move || active_config::keep_good(&paths)).await;
                if let Ok(Err(error)) = kept {
                    let reason = error.source().map(ToString::to_string);
                    warn!(%error, reason, "no copy is kept of this configuration");
                }
            }
            // The client may be gone; the order is carried out all the same.
            let _ = reply.send(done);
        });
    }

    /// Takes up a configuration. Running daemons that do so by themselves get messages, which are
    /// `sent`.
    async fn take_up(&mut self, prepared: Prepared, sent: &mut Vec<SentMessage>) -> Changes {
        let Prepared { next, fingerprint, before, after, mut changes } = prepared;
        self.carry_over(|id| after.contains_key(id)).await;
        if self.memory.retain(|id| after.contains_key(id)) {
            self.remember().await;
        }
        let force = self.force.borrow().clone();
        let mut active = BTreeMap::new();
        for status in self.keeper.snapshot().await {
            active.insert(status.id, status.phase != EntryPhase::Stopped);
        }
        let next = InForce::new(next, fingerprint, &self.memory);
        for (id, plan) in &after {
            let was_active = active.get(id).copied().unwrap_or(false);
            let entry = || plan.entry(&self.program);
            let done = match before.get(id) {
                None => self.keeper.add(entry()).await.map(|()| &mut changes.added),
                Some(old) if old == plan => Ok(&mut changes.unchanged),
                Some(old) if was_active => {
                    if self.change_in_place(old, plan, sent, &mut changes).await {
                        continue;
                    }
                    self.keeper.replace(entry()).await.map(|()| &mut changes.restarted)
                }
                Some(_) => self.keeper.replace(entry()).await.map(|()| &mut changes.changed),
            };
            match done {
                Ok(list) => list.push(id.clone()),
                Err(error) => changes.problems.push(error.to_string()),
            }
            // Newly wanted only: what failed on its own is not revived by somebody else's reload.
            let newly = next.wanted.contains(id) && !force.wanted.contains(id);
            if newly && !was_active {
                match self.keeper.start(id).await {
                    Ok(_) => changes.started.push(id.clone()),
                    Err(error) => changes.problems.push(error.to_string()),
                }
            }
        }
        self.force.send_replace(next);
        self.troubles.clear("configuration");
        info!(changes = %changes.summary(), "reloaded");
        changes
    }

    /// Has a running daemon take up its plan by itself, where it can.
    async fn change_in_place(
        &self,
        old: &Plan,
        plan: &Plan,
        sent: &mut Vec<SentMessage>,
        changes: &mut Changes,
    ) -> bool {
        let (order, services) = match old.takeover(plan) {
            Takeover::Restart => return false,
            Takeover::InPlace { part, services } => {
                (DaemonOrder::ChangeServices { part }, services)
            }
            Takeover::OtherAccess { access, keys } => {
                (DaemonOrder::ChangeAccess { access, keys }, BTreeSet::new())
            }
        };
        let id = plan.id();
        match self.messenger.change(plan.entry(&self.program), order).await {
            Ok(message) => sent.push(message),
            Err(error) => {
                info!(entry = id, %error, "it is restarted for its new configuration");
                return false;
            }
        }
        match services.is_empty() {
            true => changes.adjusted.push(id),
            false => {
                let ids = services.iter().map(|service| format!("service {service}"));
                changes.restarted.extend(ids);
            }
        }
        true
    }

    /// Gives entries that have new names what belongs to them. Neither they nor those of the old
    /// names run.
    async fn carry_over(&mut self, known: impl Fn(&str) -> bool) {
        let renamed = self.memory.take_renamed(known);
        if renamed.is_empty() {
            return;
        }
        let paths = self.paths.clone();
        let moved = tokio::task::spawn_blocking(move || {
            for (old, new) in &renamed {
                rename_state::carry_over(&paths, old, new);
            }
        });
        if let Err(error) = moved.await {
            warn!(%error, "what belongs to renamed entries did not go with them");
        }
        self.remember().await;
    }

    /// Writes the memory down. A full disk is a warning, and the write is tried again.
    async fn remember(&mut self) {
        let (memory, path) = (self.memory.clone(), self.paths.by_hand());
        let saved = tokio::task::spawn_blocking(move || memory.save(&path)).await;
        let problem = match saved {
            Ok(Ok(())) => {
                if self.unwritten.take().is_some() {
                    info!("what is started and stopped by hand is written down again");
                }
                return self.troubles.clear("memory");
            }
            Ok(Err(error)) => format!("{error}: {}", error.source),
            Err(error) => error.to_string(),
        };
        let text = format!(
            "what is started and stopped by hand will be forgotten at the next start: {problem}"
        );
        // Once, and not at each attempt: the disk is full as it is.
        if self.unwritten.replace(Instant::now()).is_none() {
            warn!("{text}");
        }
        self.troubles.set("memory", text);
    }
}

fn started(id: &str, outcome: StartOutcome) -> String {
    match outcome {
        StartOutcome::Started => format!("{id} starts"),
        StartOutcome::AlreadyStarting => format!("{id} is being started already"),
        StartOutcome::AlreadyRunning => format!("{id} is running already"),
        StartOutcome::AfterStop => format!("{id} will start when it has stopped"),
    }
}

fn restarted(id: &str, outcome: StartOutcome) -> String {
    match outcome {
        StartOutcome::Started => format!("{id} was not running, and starts"),
        _ => format!("{id} restarts"),
    }
}

fn stopped(id: &str, outcome: StopOutcome) -> String {
    match outcome {
        StopOutcome::Stopped => format!("{id} has stopped"),
        StopOutcome::NotRunning => format!("{id} was not running"),
    }
}

/// Refusal of a name that does not exist, or not of this kind.
fn unknown(configuration: &Configuration, action: Action, kind: EntryKind, name: &str) -> String {
    let what = kind.word();
    let verb = action.verb();
    for other in [EntryKind::Nameserver, EntryKind::Daemon, EntryKind::Process] {
        if other != kind && names(configuration, other).any(|known| known == name) {
            let word = other.word();
            return format!("`{name}` is a {word}: `ferrolab {verb} {word} {name}`");
        }
    }
    if let Some(service) = configuration.services.iter().find(|service| service.name == name) {
        let daemon = &service.daemon;
        return match action {
            Action::Restart => format!("`{name}` is a service: `ferrolab restart {name}`"),
            Action::Start | Action::Stop => format!(
                "`{name}` is a service; it comes and goes with its daemon: `ferrolab {verb} daemon \
                 {daemon}`"
            ),
        };
    }
    let known: Vec<&str> = names(configuration, kind).collect();
    match did_you_mean(name, known.iter().copied()) {
        Some(help) => format!("there is no {what} `{name}`; {help}"),
        None if known.is_empty() => format!("there is no {what} `{name}`; there are none at all"),
        None => format!("there is no {what} `{name}`; there are: {}", known.join(", ")),
    }
}

fn names(configuration: &Configuration, kind: EntryKind) -> Box<dyn Iterator<Item = &str> + '_> {
    match kind {
        EntryKind::Nameserver => {
            Box::new(configuration.nameservers.iter().map(|ns| ns.name.as_str()))
        }
        EntryKind::Daemon => {
            Box::new(configuration.daemons.iter().map(|daemon| daemon.name.as_str()))
        }
        EntryKind::Process => Box::new(in_force::processes(configuration).into_iter()),
    }
}
