//! Preparation of a reload, beside the manager.
//!
//! Reads the file, compares it with the configuration in force, and removes entries that are not in
//! it. New entries may need the addresses and instruments of removed ones, so they wait for those
//! to end. Only the manager changes the configuration in force.

use std::collections::BTreeMap;
use std::sync::Arc;

use lab_config::Configuration;
use supervisor::KeeperHandle;
use tokio::task::JoinSet;

use super::daemon_messages::Messenger;
use super::in_use::{NotDone, StopScope};
use super::plan::{self, LaunchError, Plan, Takeover};
use crate::paths::Paths;
use crate::supervise::active_config;
use crate::supervise::control::Changes;

/// A configuration to take up, after the entries that it lacks have ended.
pub(super) struct Prepared {
    pub(super) next: Configuration,
    pub(super) fingerprint: String,
    /// The entries in force, and those of the next configuration.
    pub(super) before: BTreeMap<String, Plan>,
    pub(super) after: BTreeMap<String, Plan>,
    /// The changes so far.
    pub(super) changes: Changes,
}

impl Prepared {
    /// The entries and services that it stops: removed and changed daemons, and the changed
    /// services of others.
    fn stops(&self) -> StopScope {
        let mut scope = StopScope::default();
        for (id, old) in &self.before {
            let Some(daemon) = old.daemon() else { continue };
            match self.after.get(id) {
                Some(new) if new == old => {}
                Some(new) => match old.takeover(new) {
                    Takeover::InPlace { services, .. } => scope.add_services(daemon, services),
                    Takeover::Restart | Takeover::OtherAccess { .. } => scope.add_daemon(daemon),
                },
                None => scope.add_daemon(daemon),
            }
        }
        scope
    }
}

/// Reads the file and removes entries that are not in it. Without `force`, no client's lock or call
/// is ended.
///
/// # Errors
/// Every problem in the file, or the uses of what it would stop; nothing was done then.
pub(super) async fn prepare(
    keeper: KeeperHandle,
    messenger: Messenger,
    paths: Paths,
    in_force: Arc<Configuration>,
    force: bool,
) -> Result<Prepared, NotDone> {
    // A file may be on a disk that does not answer; the supervisor has one thread.
    let read = tokio::task::spawn_blocking(move || read(&paths, &in_force)).await;
    let mut prepared =
        read.map_err(|error| format!("reading the configuration broke off: {error}"))??;
    if !force {
        messenger.check_free(&prepared.stops()).await?;
    }
    let Prepared { before, after, .. } = &prepared;
    let gone = before.keys().filter(|id| !after.contains_key(*id)).cloned().collect();
    let (removed, problems) = remove(keeper, gone).await;
    (prepared.changes.removed, prepared.changes.problems) = (removed, problems);
    Ok(prepared)
}

/// A short text that changes with the lab's configuration file.
pub(super) fn fingerprint(paths: &Paths) -> String {
    active_config::fingerprint(paths).unwrap_or_default()
}

fn read(paths: &Paths, in_force: &Configuration) -> Result<Prepared, String> {
    // Taken first: a file that is written meanwhile shows as another than the one in force.
    let fingerprint = fingerprint(paths);
    let (next, warnings) =
        active_config::load_anew(paths, in_force.simulates).map_err(|error| error.plain())?;
    let failed = |error: LaunchError| error.to_string();
    let before = plan::all(in_force, paths).map_err(failed)?;
    let after = plan::all(&next, paths).map_err(failed)?;
    let warnings = warnings.iter().map(|warning| warning.plain()).collect();
    let changes = Changes { warnings, ..Changes::default() };
    Ok(Prepared { next, fingerprint, before, after, changes })
}

/// Removes entries; returns those that are gone, and what went wrong.
async fn remove(keeper: KeeperHandle, gone: Vec<String>) -> (Vec<String>, Vec<String>) {
    let mut removals = JoinSet::new();
    for id in gone {
        let keeper = keeper.clone();
        removals.spawn(async move { (keeper.remove(&id).await, id) });
    }
    let (mut removed, mut problems) = (Vec::new(), Vec::new());
    while let Some(done) = removals.join_next().await {
        match done {
            Ok((Ok(_), id)) => removed.push(id),
            Ok((Err(error), _)) => problems.push(error.to_string()),
            Err(error) => problems.push(format!("a removal broke off: {error}")),
        }
    }
    removed.sort();
    (removed, problems)
}
