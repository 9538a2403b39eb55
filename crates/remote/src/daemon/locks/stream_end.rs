//! The ends of item streams whose objects can be locked.
//!
//! Owns when one comes: what a generator does behind its last item drives the instrument like a
//! call, and so it waits while another has the lock, and is counted while it runs.

use std::sync::Arc;

use crate::admission::call_permit;
use crate::daemon::Shared;
use crate::daemon::catch_panic::What;
use crate::daemon::locks::table::Locks;
use crate::daemon::streams::{self, Ended, Origin};

/// Brings a stream to its end as soon as the lock lets it.
pub(crate) fn close(shared: &Arc<Shared>, ended: Ended) {
    let reads = |name: &String| *name == ended.origin.member;
    let is_guarded = shared
        .locks
        .settings(&ended.origin.object)
        .is_some_and(|settings| !settings.read_while_locked.iter().any(reads));
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) if is_guarded => {
            let shared = Arc::clone(shared);
            runtime.spawn(async move { guarded(&shared, ended).await });
        }
        // Dropped, as the last anybody hears of it.
        _ => {}
    }
}

async fn guarded(shared: &Arc<Shared>, ended: Ended) {
    let mut changes = shared.locks.changes();
    let admission = loop {
        changes.borrow_and_update();
        if let Some(admission) = Locks::admit_late(shared, &ended.origin.object, ended.session) {
            break admission;
        }
        if changes.changed().await.is_err() {
            return;
        }
    };
    // Behind its last item a generator drives the instrument like any call.
    let turn = call_permit::take(shared).await;
    let Origin { object, member } = &ended.origin;
    streams::end(What { object, member }, ended.stream).await;
    drop(turn);
    drop(admission);
}
