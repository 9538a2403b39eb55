//! The task that owns the copy of the directory: it shows the registry's changes in the index, and
//! writes the changes of clients.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use remote::{Exception, NAMESERVER_NAME};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, error, info, warn};

use super::group::{self, Group, Reply, Stages, WrittenGroup};
use super::last_known::LastKnown;
use super::ownership::stays_with;
use super::records::{Records, Shown};
use super::signal::Signal;
use crate::registry::{Registry, RegistryError};
use crate::store::index::Index;
use crate::store::transaction::{Change, SharedIndex, Step, Transaction, undo, write};

/// Changes that are tried together, at most.
const MAX_CHANGES_PER_BATCH: usize = 512;
/// Time after the registry's return in which hosts without a presence are still shown: their
/// nameservers may have lost their leases, and announce them anew.
const LEASE_GRACE: Duration = Duration::from_secs(3);
/// Names that the index takes while it is locked once: some hundred microseconds.
const SHOWN_AT_ONCE: usize = 500;
/// Between two reasons that are told while a trouble lasts.
const TELL_INTERVAL: Duration = Duration::from_secs(10);
pub(super) const NOT_LOADED: &str = "the names are not loaded yet";

/// Time in which a host that goes is shown on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grace {
    /// The registry is away.
    Begun,
    Until(Instant),
    Over,
}

/// A change of a client.
pub(super) struct NameOrder {
    pub(super) change: Change,
    /// A hidden name that the change finds among the others.
    pub(super) revealed: Option<String>,
    pub(super) reply: Reply,
}

/// The task that owns the copy of the directory.
pub(super) struct Keeper {
    pub(super) registry: Arc<dyn Registry>,
    pub(super) index: SharedIndex,
    pub(super) records: Records,
    /// Stages that wait for the one that is being written.
    pub(super) stages: VecDeque<Vec<Group>>,
    pub(super) writing: JoinSet<WrittenGroup>,
    pub(super) permits: Arc<Semaphore>,
    pub(super) is_loaded: bool,
    /// Why changes are not followed.
    pub(super) feed: Option<String>,
    /// Why hosts are not announced.
    pub(super) presence: Option<String>,
    pub(super) trouble: watch::Sender<Option<String>>,
    /// When the hosts are hidden that are gone since the registry was away.
    pub(super) grace: Grace,
    /// When a trouble that lasts was told last.
    pub(super) told: Option<Instant>,
    pub(super) last_known: LastKnown,
    /// Reading of the file, for `status`: the time of its names, or why it cannot be used.
    pub(super) used_file: Option<String>,
}

impl Keeper {
    pub(super) async fn run(
        mut self,
        mut queue: mpsc::Receiver<NameOrder>,
        mut signals: mpsc::Receiver<Signal>,
    ) {
        loop {
            let is_free = self.writing.is_empty();
            let grace = match self.grace {
                Grace::Until(end) => Some(end),
                Grace::Begun | Grace::Over => None,
            };
            let (read_at, write_at) = (self.last_known.read_at(), self.last_known.write_at());
            tokio::select! {
                Some(written) = self.writing.join_next(), if !is_free => match written {
                    Ok(written) => self.finish(written),
                    Err(error) => error!(%error, "a write to the registry has panicked"),
                },
                Some(signal) = signals.recv() => self.take_in(signal).await,
                () = sleep_until(grace.unwrap_or_else(Instant::now)), if grace.is_some() => {
                    self.grace = Grace::Over;
                    let gone = self.records.hide_doubtful();
                    self.show(gone).await;
                }
                () = sleep_until(read_at.unwrap_or_else(Instant::now)), if read_at.is_some() => {
                    self.read_last_known().await;
                }
                () = sleep_until(write_at.unwrap_or_else(Instant::now)), if write_at.is_some() => {
                    let (names, hosts) = self.records.all();
                    self.last_known.write(names, hosts);
                }
                () = self.last_known.written() => {}
                first = queue.recv(), if is_free => {
                    let Some(first) = first else {
                        return self.last_known.finish(|| self.records.all()).await;
                    };
                    let mut orders = vec![first];
                    while orders.len() < MAX_CHANGES_PER_BATCH
                        && let Ok(next) = queue.try_recv()
                    {
                        orders.push(next);
                    }
                    self.try_changes(orders);
                }
            }
            if self.writing.is_empty() {
                self.begin_stage();
            }
        }
    }

    async fn take_in(&mut self, signal: Signal) {
        match signal {
            Signal::Snapshot(snapshot) => {
                let shown = self.records.load(snapshot);
                self.show(shown).await;
                if !self.is_loaded {
                    info!(names = self.records.len(), "loaded the names of the registry");
                }
                (self.is_loaded, self.feed) = (true, None);
                self.last_known.note_loaded();
                self.last_known.note_change();
            }
            Signal::Changed(changed) => {
                let shown: Vec<Shown> =
                    changed.into_iter().flat_map(|change| self.records.change(change)).collect();
                self.show(shown).await;
                self.feed = None;
            }
            Signal::HostLive(host, length) => {
                let shown = self.records.host_is_live(&host, length);
                self.show(shown).await;
            }
            Signal::HostSilent(host) => {
                let shown = self.records.host_is_silent(&host);
                info!(%host, names = shown.len(), "a host does not renew its names any more");
                self.show(shown).await;
            }
            // The caller may be gone.
            Signal::Hidden { prefix, reply } => drop(reply.send(self.records.hidden(&prefix))),
            Signal::Feed(reason) => self.feed = reason,
            Signal::Presence(reason) => self.presence = reason,
        }
        self.set_grace();
        self.tell();
    }

    /// Shows the names of this host's file until the registry answers.
    async fn read_last_known(&mut self) {
        match self.last_known.read().await {
            Ok(None) => {}
            Ok(Some(saved)) => {
                info!(
                    names = saved.names.len(),
                    saved = saved.saved,
                    "showing the last known names"
                );
                self.used_file = Some(format!(
                    "the names are stale, as this host knew them at {}, and none can be registered",
                    saved.saved
                ));
                let shown = self.records.load_last_known(saved);
                self.show(shown).await;
            }
            Err(error) => self.used_file = Some(format!("{NOT_LOADED} ({error})")),
        }
        // It is news, also while the trouble lasts.
        self.told = None;
        self.set_grace();
        self.tell();
    }

    fn set_grace(&mut self) {
        let is_away = self.feed.is_some() || self.presence.is_some() || !self.is_loaded;
        match self.grace {
            _ if is_away => {
                self.records.hold_back();
                self.grace = Grace::Begun;
            }
            Grace::Begun => self.grace = Grace::Until(Instant::now() + LEASE_GRACE),
            Grace::Until(_) | Grace::Over => {}
        }
    }

    /// Puts names into the index, a few at a time.
    async fn show(&mut self, shown: Vec<Shown>) {
        if !shown.is_empty() {
            self.last_known.note_change();
        }
        for part in shown.chunks(SHOWN_AT_ONCE) {
            {
                let mut index = write(&self.index);
                for (name, entry) in part {
                    index.put(name, entry.clone());
                }
            }
            tokio::task::yield_now().await;
        }
    }

    /// Tries changes on the index, takes them back, and prepares them for the registry.
    fn try_changes(&mut self, orders: Vec<NameOrder>) {
        let refused = self.reason_to_refuse();
        let mut stages = Stages::default();
        let mut tried: Vec<Step> = Vec::new();
        // Names that were hidden before this batch and are changed by it.
        let mut once_hidden: HashSet<Arc<str>> = HashSet::new();
        let mut index = write(&self.index);
        for NameOrder { change, revealed, reply } in orders {
            let reveal = |name: String| {
                let is_changed = once_hidden.contains(&*name);
                if is_changed { None } else { self.reveal(&mut index, &name) }
            };
            let revealed = match revealed.map(reveal) {
                None => None,
                Some(Some(step)) => Some(step),
                Some(None) => {
                    // Its host is back, or it is gone. The caller may be gone, too.
                    let _ = reply.send(Ok(0));
                    continue;
                }
            };
            let (outcome, steps) = Transaction::run(&mut index, change);
            // Each replica registers itself, in its index alone.
            let (own, shared): (Vec<_>, Vec<_>) =
                steps.into_iter().partition(|step| *step.name == *NAMESERVER_NAME);
            drop(own);
            // The owner of a name stays its owner while its host is hidden.
            let taken = shared.iter().filter(|_| revealed.is_none()).find_map(|step| {
                let owner = self.records.hidden_owner(&step.name)?;
                let new = step.after.as_ref().and_then(|after| after.owner.as_deref());
                stays_with(&owner, new).then(|| (Arc::clone(&step.name), owner))
            });
            if let Some((name, owner)) = taken {
                undo(&mut index, shared);
                // The caller may be gone.
                let _ = reply.send(Err(Exception::naming_error(format!(
                    "the name {name} belongs to {owner}, whose host is away"
                ))));
                continue;
            }
            let revision_of = |name: &str| self.records.revision_of(name);
            match &refused {
                Some(refused) if !shared.is_empty() => {
                    undo(&mut index, shared);
                    // The caller may be gone.
                    let _ = reply.send(outcome.and(Err(refused.clone())));
                }
                _ if shared.is_empty() && (tried.is_empty() || revealed.is_some()) => {
                    drop(reply.send(outcome));
                }
                _ => {
                    stages.add(&shared, (outcome, reply), revision_of);
                    once_hidden.extend(revealed.iter().map(|step| Arc::clone(&step.name)));
                    tried.extend(revealed);
                    tried.extend(shared);
                    continue;
                }
            }
            undo(&mut index, Vec::from_iter(revealed));
        }
        undo(&mut index, tried);
        drop(index);
        self.stages.extend(stages.finish());
    }

    /// Puts a hidden name into the index, as a step to be undone; `None` if it is not hidden.
    fn reveal(&self, index: &mut Index, name: &str) -> Option<Step> {
        let entry = self.records.hidden_entry(name).filter(|_| index.get(name).is_none())?;
        let (name, after) = (Arc::<str>::from(name), Some(Arc::clone(entry)));
        let before = index.put(&name, after.clone());
        Some(Step { name, before, after })
    }

    /// Why nothing can be kept now.
    fn reason_to_refuse(&self) -> Option<Exception> {
        let reason = match (&self.feed, self.is_loaded) {
            (Some(reason), _) => reason.clone(),
            (None, false) => NOT_LOADED.to_owned(),
            (None, true) => return None,
        };
        Some(group::refusal(&RegistryError::Away(reason)))
    }

    /// Begins to write the groups of the next stage.
    fn begin_stage(&mut self) {
        while self.writing.is_empty()
            && let Some(stage) = self.stages.pop_front()
        {
            for mut group in stage {
                let settled = group.settle(|name, entry| {
                    self.records.has(name, entry).then(|| self.records.revision_of(name))
                });
                if settled.is_err() || group.changes.is_empty() {
                    group.answer(settled);
                    continue;
                }
                let (registry, permits) = (Arc::clone(&self.registry), Arc::clone(&self.permits));
                self.writing.spawn(async move {
                    // The semaphore is never closed.
                    let _permit = permits.acquire_owned().await;
                    group.write(registry).await
                });
            }
        }
    }

    fn finish(&mut self, WrittenGroup { group, kept, outcome }: WrittenGroup) {
        if !kept.is_empty() {
            self.last_known.note_change();
            let mut index = write(&self.index);
            for (names, revision) in kept {
                for name in names {
                    let Some(change) = group.changes.get(&name) else { continue };
                    let shown = self.records.set_own(&name, change.after.clone(), revision);
                    if let Some((name, entry)) = shown {
                        index.put(&name, entry);
                    }
                }
            }
        }
        if let Err(error) = &outcome {
            debug!(%error, "a change could not be kept");
        }
        group.answer(outcome);
    }

    /// Tells what keeps the names from being as they are elsewhere.
    fn tell(&mut self) {
        let reason = self.feed.as_ref().or(self.presence.as_ref());
        let trouble = match (reason, self.is_loaded) {
            (Some(reason), true) => Some(format!(
                "the names are stale, as they were before, and none can be registered: {reason}"
            )),
            (reason, false) => {
                let names = self.used_file.as_deref().unwrap_or(NOT_LOADED);
                Some(reason.map_or_else(|| names.to_owned(), |reason| format!("{names}: {reason}")))
            }
            (None, true) => None,
        };
        let (is_well, was_well) = (trouble.is_none(), self.trouble.borrow().is_none());
        // While it is away each try may tell another reason.
        if *self.trouble.borrow() == trouble
            || !is_well && !was_well && self.told.is_some_and(|told| told.elapsed() < TELL_INTERVAL)
        {
            return;
        }
        match (&trouble, self.told) {
            (Some(trouble), told) if was_well || told.is_none() => warn!("{trouble}"),
            (Some(trouble), _) => debug!("{trouble}"),
            (None, _) => info!("the names are those of the registry"),
        }
        self.told = (!is_well).then(Instant::now);
        self.trouble.send_replace(trouble);
    }
}
