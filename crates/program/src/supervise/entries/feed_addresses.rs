//! Messages to the history: where the daemons listen that run.

use std::collections::BTreeMap;

use supervisor::{EntryPhase, EntryStatus, KeeperHandle};
use tracing::debug;

use super::EntryKind;
use crate::history_process::{FeedAddresses, PROCESS_NAME};
use crate::host::ChildReport;

/// Sends the addresses whenever they change, and to each new process of the history, for ever.
pub(super) async fn watch(keeper: KeeperHandle) {
    let history = EntryKind::Process.id(PROCESS_NAME);
    let mut changes = keeper.watch();
    let mut sent: Option<(Option<u32>, FeedAddresses)> = None;
    loop {
        changes.borrow_and_update();
        let states = keeper.snapshot().await;
        let reader = states.iter().find(|status| status.id == history);
        let reader = reader.filter(|status| status.phase == EntryPhase::Running);
        let next = reader.map(|reader| (reader.pid, addresses(&states)));
        if next != sent {
            if let Some((_, addresses)) = &next {
                // Plain data with text keys always has a JSON form.
                let message = serde_json::to_value(addresses).unwrap_or_default();
                if let Err(error) = keeper.send(&history, message).await {
                    debug!(%error, "the history has ended meanwhile");
                }
            }
            sent = next;
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// The addresses of the daemons that run.
fn addresses(states: &[EntryStatus]) -> FeedAddresses {
    let prefix = EntryKind::Daemon.id("");
    let running = states.iter().filter(|status| status.phase == EntryPhase::Running);
    let daemons = running.filter_map(|status| {
        let name = status.id.strip_prefix(&prefix)?;
        Some((name.to_owned(), ChildReport::read(&status.detail).address?))
    });
    FeedAddresses { daemons: BTreeMap::from_iter(daemons) }
}
