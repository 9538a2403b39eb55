//! Messages to daemons that run, and their answers, which are in the daemons' reports.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use supervisor::{EntryPhase, EntrySpec, KeeperError, KeeperHandle};
use tokio::task::JoinSet;

use super::in_use::{NotDone, StopScope};
use crate::host::{ChildReport, DaemonMessage, DaemonOrder};

/// Longest wait for the answer to a look at what runs. Without one the last report counts, which
/// is a second old at most where the daemon runs.
const LOOK_TIMEOUT: Duration = Duration::from_millis(500);
/// The same with a look at drivers' files, for which a daemon takes a second at most.
const DRIVERS_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for the answer to another order. A restart is answered when it begins.
const ORDER_TIMEOUT: Duration = Duration::from_secs(10);

/// Sender of messages; clones share the count.
#[derive(Clone)]
pub(super) struct Messenger {
    keeper: KeeperHandle,
    last: Arc<AtomicU64>,
}

/// A message that was sent, and that its daemon will answer.
#[derive(Debug)]
pub(super) struct SentMessage {
    /// The entry.
    id: String,
    pid: Option<u32>,
    number: u64,
}

/// Why a daemon is not sent a message.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    /// A daemon of 0.1.0, whose program has been put back.
    #[error("'{0}' runs an earlier version's program, which reads no messages")]
    ReadsNone(String),
    #[error(transparent)]
    Keeper(#[from] KeeperError),
}

impl Messenger {
    pub(super) fn new(keeper: KeeperHandle) -> Self {
        Messenger { keeper, last: Arc::default() }
    }

    /// Has all these daemons report after a look at their drivers' files, if they run and answer.
    pub(super) async fn look_at_drivers(&self, ids: Vec<String>) {
        self.look(ids, true, DRIVERS_TIMEOUT).await;
    }

    async fn look(&self, ids: Vec<String>, drivers: bool, limit: Duration) {
        let mut looks = JoinSet::new();
        for id in ids {
            let messenger = self.clone();
            looks.spawn(async move {
                if let Ok(sent) = messenger.send(&id, DaemonOrder::Look { drivers }).await {
                    let _ = messenger.answer(sent, limit).await;
                }
            });
        }
        looks.join_all().await;
    }

    /// Checks that no client has a lock or a call in `scope`, as its daemons report now.
    ///
    /// # Errors
    /// The uses.
    pub(super) async fn check_free(&self, scope: &StopScope) -> Result<(), NotDone> {
        let mut uses = Vec::new();
        // The last report may have a use that has ended since. A busy daemon gets longer to say so.
        for limit in [LOOK_TIMEOUT, ORDER_TIMEOUT] {
            self.look(scope.ids(), false, limit).await;
            uses = scope.uses(&self.keeper.snapshot().await);
            if uses.is_empty() {
                return Ok(());
            }
        }
        Err(NotDone::InUse(uses))
    }

    /// Sends an order, and waits for the answer.
    ///
    /// # Errors
    /// It is not sent, or refused, in words.
    pub(super) async fn order(&self, id: &str, order: DaemonOrder) -> Result<(), String> {
        let sent = self.send(id, order).await.map_err(|error| error.to_string())?;
        self.answer_of(sent).await
    }

    /// Gives a running daemon another specification for its next start, and the order by which it
    /// takes that up now.
    pub(super) async fn change(
        &self,
        spec: EntrySpec,
        order: DaemonOrder,
    ) -> Result<SentMessage, SendError> {
        let (id, pid) = self.reader(&spec.id).await?;
        let (number, message) = self.message(order);
        self.keeper.change(spec, message).await?;
        Ok(SentMessage { id, pid, number })
    }

    /// Waits for the answer to an order.
    pub(super) async fn answer_of(&self, sent: SentMessage) -> Result<(), String> {
        self.answer(sent, ORDER_TIMEOUT).await
    }

    async fn send(&self, id: &str, order: DaemonOrder) -> Result<SentMessage, SendError> {
        let (id, pid) = self.reader(id).await?;
        let (number, message) = self.message(order);
        self.keeper.send(&id, message).await?;
        Ok(SentMessage { id, pid, number })
    }

    /// The process of an entry that reads messages.
    async fn reader(&self, id: &str) -> Result<(String, Option<u32>), SendError> {
        let states = self.keeper.snapshot().await;
        let status = states.into_iter().find(|status| status.id == id);
        let status = status.ok_or_else(|| KeeperError::Unknown(id.to_owned()))?;
        if status.phase != EntryPhase::Running {
            return Err(KeeperError::NotRunning(status.id).into());
        }
        match ChildReport::read(&status.detail).answered {
            Some(_) => Ok((status.id, status.pid)),
            None => Err(SendError::ReadsNone(status.id)),
        }
    }

    fn message(&self, order: DaemonOrder) -> (u64, Value) {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        // Plain data with text keys always has a JSON form.
        let message = serde_json::to_value(DaemonMessage { number, order }).unwrap_or_default();
        (number, message)
    }

    async fn answer(&self, sent: SentMessage, limit: Duration) -> Result<(), String> {
        let SentMessage { id, pid, number } = sent;
        let mut changes = self.keeper.watch();
        let answered = async {
            loop {
                changes.borrow_and_update();
                let states = self.keeper.snapshot().await;
                let status = states.into_iter().find(|status| status.id == id);
                let Some(status) = status.filter(|status| status.pid == pid) else {
                    return Err(format!("'{id}' has ended meanwhile"));
                };
                if let Some(answer) = answer_in(ChildReport::read(&status.detail), number) {
                    return answer;
                }
                if changes.changed().await.is_err() {
                    return Err("the lab is being stopped".to_owned());
                }
            }
        };
        match tokio::time::timeout(limit, answered).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("'{id}' has not answered within {} s", limit.as_secs())),
        }
    }
}

/// The answer to the message of this number, if a report has it. Later ones may be answered by now,
/// each in turn.
fn answer_in(report: ChildReport, number: u64) -> Option<Result<(), String>> {
    if report.answered.is_none_or(|last| last < number) {
        return None;
    }
    match report.refused {
        Some(refused) if refused.number == number => Some(Err(refused.reason)),
        _ => Some(Ok(())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_heard_after_the_answer_to_a_later_message() {
        let report = |answered: u64| {
            let detail = serde_json::json!({
                "answered": answered, "refused": {"number": 3, "reason": "it is ending"},
            });
            ChildReport::read(&detail)
        };
        let refused = Some(Err("it is ending".to_owned()));
        for (answered, number, expected) in [
            (2, 3, None),
            (3, 3, refused.clone()),
            (4, 3, refused),
            (3, 2, Some(Ok(()))),
            (4, 4, Some(Ok(()))),
        ] {
            assert_eq!(answer_in(report(answered), number), expected, "{answered} {number}");
        }
    }
}
