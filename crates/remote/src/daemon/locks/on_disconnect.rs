//! Bringing an object to a safe state when the owner of its lock is gone.
//!
//! Owns how its `on_disconnect` methods are called: once, in order, whatever becomes of the one
//! before. One that takes too long is told of, and the next is called; but as long as it runs it may
//! still drive the instrument. When is the lock's to say; it is granted to nobody and nobody's call
//! runs until all of this is done.

use std::sync::Arc;

use tokio::task::{JoinError, JoinHandle};
use tracing::{info, warn};
use wire::exception::Exception;

use crate::admission::call_permit;
use crate::daemon::Shared;
use crate::daemon::locks::session_end;
use crate::daemon::locks::table::Locks;
use crate::session::Session;

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

/// An object that is being brought to rest. Whatever happens to this, the lock hears of its end: or
/// else it would be nobody's for ever.
struct Rest {
    shared: Arc<Shared>,
    id: String,
    troubles: Vec<String>,
    is_done: bool,
}

async fn rest(shared: &Arc<Shared>, id: &str, session: &Arc<Session>) {
    let mut rest = Rest {
        shared: Arc::clone(shared),
        id: id.to_owned(),
        troubles: Vec::new(),
        is_done: false,
    };
    if let (Some(settings), Some(object)) = (shared.locks.settings(id), shared.object(id)) {
        let mut late = Vec::new();
        // Generators that wait to be read on; theirs ends here.
        for ended in Locks::take_lost_streams(shared, id) {
            let what = format!("the end of the stream of {}()", ended.origin.member);
            let mut stream = ended.stream;
            let close = async move {
                stream.close().await;
                Ok(true)
            };
            late.extend(rest.run(&what, close).await);
        }
        for method in &settings.on_disconnect {
            let (object, session) = (Arc::clone(&object), Arc::clone(session));
            let name = method.clone();
            let call = async move { object.bring_to_rest(&session, &name).await };
            late.extend(rest.run(&format!("{method}()"), call).await);
        }
        for (what, call) in late {
            let ended = call.await;
            info!(daemon = %shared.config.name, service = id, what, "is over after all");
            if let Err(trouble) = outcome(ended) {
                rest.trouble(&what, &trouble);
            }
        }
    }
    rest.is_done = true;
}

impl Rest {
    /// Has one thing done; it is handed back where it takes too long.
    async fn run(
        &mut self,
        what: &str,
        work: impl Future<Output = Result<bool, Exception>> + Send + 'static,
    ) -> Option<(String, JoinHandle<Result<bool, Exception>>)> {
        let shared = Arc::clone(&self.shared);
        let longest = shared.config.rest_timeout;
        let mut turn = std::pin::pin!(call_permit::take(&shared));
        let turn = match tokio::time::timeout(longest, &mut turn).await {
            Ok(turn) => turn,
            Err(_) => {
                // Nothing else runs in this daemon either, as long as that is so.
                self.trouble(what, "waits for a call of another service, which still runs");
                let turn = turn.await;
                self.troubles.pop();
                turn
            }
        };
        // A task of its own: it goes on when it takes too long, and takes nobody along if it panics.
        let mut call = tokio::spawn(work);
        let ended = tokio::time::timeout(longest, &mut call).await;
        drop(turn);
        match ended.map(outcome) {
            Ok(Ok(was_called)) => {
                let daemon = &self.shared.config.name;
                match was_called {
                    true => info!(%daemon, service = self.id, what, "brought to rest"),
                    false => info!(%daemon, service = self.id, what,
                        "not called: there is no instance that could be brought to rest"),
                }
                None
            }
            Ok(Err(trouble)) => {
                self.trouble(what, &trouble);
                None
            }
            Err(_) => {
                let trouble = format!(
                    "has not returned within {} s, and nobody gets the lock before it has",
                    longest.as_secs_f64()
                );
                self.trouble(what, &trouble);
                Some((what.to_owned(), call))
            }
        }
    }

    fn trouble(&mut self, what: &str, trouble: &str) {
        warn!(daemon = %self.shared.config.name, service = self.id, what, trouble,
            "what brings it to rest has failed; the instrument may not be in a safe state");
        self.troubles.push(format!("on_disconnect: {what} {trouble}"));
        self.shared.locks.set_trouble(&self.id, self.troubles.join("; "));
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        if !self.is_done {
            self.troubles.push("on_disconnect: has been cut off".to_owned());
        }
        let trouble = (!self.troubles.is_empty()).then(|| self.troubles.join("; "));
        finish(&self.shared, &self.id, trouble);
    }
}

/// What is wrong with how a method has ended.
fn outcome(ended: Result<Result<bool, Exception>, JoinError>) -> Result<bool, String> {
    match ended {
        Ok(Ok(was_called)) => Ok(was_called),
        Ok(Err(exception)) => Err(format!("raised {exception}")),
        Err(_) => Err("has ended in a failure of the daemon's own".to_owned()),
    }
}

fn finish(shared: &Arc<Shared>, id: &str, trouble: Option<String>) {
    let tell = || {
        for session in shared.locks.take_ended(id) {
            session_end::say(shared, &session);
        }
    };
    tell();
    Locks::rested(shared, id, trouble);
    // An end that was deferred in between.
    tell();
}
