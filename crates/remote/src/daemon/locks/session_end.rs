//! The end of a session, for objects that can be locked.
//!
//! Owns what comes before they are told: what is the session's own comes to rest, which drives the
//! instrument like a call. So it is counted while it runs; and where another has the lock it is left
//! out, since it is the other's instrument now.

use std::sync::Arc;

use crate::admission::call_permit;
use crate::daemon::Shared;
use crate::daemon::locks::table::Locks;
use crate::object::Object;
use crate::session::Session;

/// Tells every object of the end of `session`, at once or when it has said farewell.
pub(crate) fn say(shared: &Arc<Shared>, session: &Arc<Session>) {
    let rests = |(id, object): &(String, Arc<dyn Object>)| {
        let settings = shared.locks.settings(id);
        settings.is_some_and(|settings| !settings.on_disconnect.is_empty())
            && object.rests_at_end(session)
    };
    let resting: Vec<_> = match shared.locks.any() {
        true => shared.objects().into_iter().filter(rests).collect(),
        false => Vec::new(),
    };
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) if !resting.is_empty() => {
            let (shared, session) = (Arc::clone(shared), Arc::clone(session));
            let tracker = shared.resting.clone();
            let farewell = async move {
                for (id, object) in resting {
                    leave(&shared, &session, &id, &object).await;
                }
                shared.tell_end(&session);
            };
            tracker.spawn_on(farewell, &runtime);
        }
        _ => shared.tell_end(session),
    }
}

async fn leave(shared: &Arc<Shared>, session: &Arc<Session>, id: &str, object: &Arc<dyn Object>) {
    let admission = Locks::admit_late(shared, id, session.id);
    let rests = admission.is_some();
    let turn = if rests { call_permit::take(shared).await } else { None };
    object.leave(session, rests).await;
    drop((turn, admission));
}
