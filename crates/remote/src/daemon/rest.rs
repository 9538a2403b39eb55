//! Bringing an object to a safe state when the owner of its lock is gone.
//!
//! Owns how its `on_disconnect` methods are called: once, in order, each for a limited time,
//! whatever becomes of the one before. When is the lock's to say; it is granted to nobody and
//! nobody's call runs until this is done.

use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use crate::daemon::{Shared, dispatch};
use crate::lock::table::Locks;
use crate::session::Session;

/// One method may take this long.
pub(crate) const LONGEST: Duration = Duration::from_secs(10);

/// Brings the object of `id` to rest, for `session`, and reports it to the lock.
pub(crate) fn start(shared: &Arc<Shared>, id: &str, session: Arc<Session>) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        let (shared, id) = (Arc::clone(shared), id.to_owned());
        let tracker = shared.resting.clone();
        tracker.spawn_on(async move { rest(&shared, &id, &session).await }, &runtime);
    } else {
        let trouble = "the daemon was ending, and on_disconnect was not called";
        finish(shared, id, Some(trouble.to_owned()));
    }
}

async fn rest(shared: &Arc<Shared>, id: &str, session: &Arc<Session>) {
    let (Some(settings), Some(object)) = (shared.locks.settings(id), shared.object(id)) else {
        return finish(shared, id, None);
    };
    let mut troubles = Vec::new();
    for method in &settings.on_disconnect {
        let turn = dispatch::take_turn(shared).await;
        let called = object.bring_to_rest(session, method).wait();
        let trouble = match tokio::time::timeout(LONGEST, called).await {
            Ok(Ok(_)) => {
                info!(daemon = %shared.config.name, service = id, method, "brought to rest");
                continue;
            }
            Ok(Err(exception)) => format!("raised {exception}"),
            Err(_) => format!("has not returned within {} s", LONGEST.as_secs()),
        };
        drop(turn);
        warn!(daemon = %shared.config.name, service = id, method, trouble,
            "a method of on_disconnect has failed; the instrument may not be in a safe state");
        troubles.push(format!("on_disconnect: {method}() {trouble}"));
    }
    finish(shared, id, (!troubles.is_empty()).then(|| troubles.join("; ")));
}

fn finish(shared: &Arc<Shared>, id: &str, trouble: Option<String>) {
    let tell = || {
        if let (Some(session), Some(object)) = (shared.locks.take_ended(id), shared.object(id)) {
            object.session_ended(&session);
        }
    };
    tell();
    Locks::rested(shared, id, trouble);
    // An end that was deferred in between.
    tell();
}
