//! Safe states of an instrument, when a session has lost its lock or ends.
//!
//! Three things drive an instrument after its session: `on_disconnect` methods, since the lock was
//! lost; the same for instances that are the session's own, since it ends; and the `finally` of
//! generators that nobody reads any longer. All of them count as running calls, so that nobody gets
//! the lock meanwhile; the last two are left out, or wait, while another client has it. Objects
//! hear of a session's end after all of this.
//!
//! Each method is called once, in order, whatever the one before it came to. One that takes too
//! long is logged and the next is called; but as long as it runs it may still drive the instrument.

use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Handle;
use tracing::{info, warn};
use wire::exception::Exception;

use crate::daemon::catch_panic::CallName;
use crate::daemon::locks::abort;
use crate::daemon::locks::step::{StepEnd, StepTask, run_step, step_result};
use crate::daemon::locks::table::{LockTable, Reactions};
use crate::daemon::streams::{self, EndedStream, Origin};
use crate::lock::policy::{LateWork, is_restored_session};
use crate::lock::types::LockSettings;
use crate::object::{LockOrigin, Object, SafeState};
use crate::session::Session;

/// The reactions of a lock table.
pub(crate) const REACTIONS: Reactions = Reactions {
    calls_left: abort::owner_has_gone,
    lock_lost: start,
    // No safe state because of the owner's first connection.
    owner_returned: end_deferred,
};

/// The connection of `session` has ended. Its objects hear of it now, or after the safe states that
/// follow from it: several objects may share one place for a session.
pub(crate) fn end_session(locks: &Arc<LockTable>, session: &Arc<Session>) {
    locks.streams.end_session(session.id, Instant::now());
    locks.forget(session.id);
    if !locks.defer_end(session) {
        tell_end(locks, session);
    }
}

/// The object of `id` has reached a safe state, or needs none: tells of the ends that waited for
/// it.
fn end_deferred(locks: &Arc<LockTable>, id: &str) {
    for session in locks.take_deferred(id) {
        tell_end(locks, &session);
    }
}

/// Tells every object of the end of `session`, after the safe states of instances that it owns.
fn tell_end(locks: &Arc<LockTable>, session: &Arc<Session>) {
    let has_safe_state = |(id, _): &(String, Arc<dyn Object>)| {
        locks.settings(id).is_some_and(|settings| !settings.on_disconnect.is_empty())
    };
    let objects: Vec<_> = match locks.any() {
        true => locks.registry.all().into_iter().filter(has_safe_state).collect(),
        false => Vec::new(),
    };
    match Handle::try_current() {
        Ok(runtime) if !objects.is_empty() => {
            let (tracker, session) = (locks.safe_states.clone(), Arc::clone(session));
            let locks = Arc::clone(locks);
            let ending = async move {
                for (id, object) in objects {
                    end_own_instance(&locks, &session, &id, &object).await;
                }
                tell_objects(&locks, &session);
            };
            tracker.spawn_on(ending, &runtime);
        }
        _ => tell_objects(locks, session),
    }
}

fn tell_objects(locks: &LockTable, session: &Session) {
    session.set_ended();
    // A oneway call may have read a stream meanwhile, which made it the session's again.
    locks.streams.end_session(session.id, Instant::now());
    locks.registry.end_session(session);
}

async fn end_own_instance(
    locks: &Arc<LockTable>,
    session: &Arc<Session>,
    id: &str,
    object: &Arc<dyn Object>,
) {
    let running = locks.start_late(id, session.id, LateWork::SafeState);
    let may_drive = running.is_some();
    let Some(ending) = object.safe_state(session, SafeState::SessionEnds { may_drive }) else {
        return;
    };
    let permit = if may_drive { locks.calls.take().await } else { None };
    // Failures are the object's to log.
    let _ = ending.await;
    drop((permit, running));
}

/// Ends a stream that nobody can read any longer: its generator's `finally` may drive the
/// instrument. Waits until no other client has the lock.
pub(crate) fn end_stream(locks: &Arc<LockTable>, ended: EndedStream) {
    let reads = |name: &String| *name == ended.origin.member;
    let drives = locks
        .settings(&ended.origin.object)
        .is_some_and(|settings| !settings.read_while_locked.iter().any(reads));
    match Handle::try_current() {
        Ok(runtime) if drives => {
            let locks = Arc::clone(locks);
            runtime.spawn(async move { end_driving_stream(&locks, ended).await });
        }
        // Dropped: that ends it, too.
        _ => {}
    }
}

async fn end_driving_stream(locks: &Arc<LockTable>, ended: EndedStream) {
    let Origin { object, member, .. } = &ended.origin;
    let Some(slots) = locks.stream_ends(object) else { return };
    let start = || locks.start_late(object, ended.session, LateWork::StreamEnd);
    // An owner's stream ends before the next owner gets the lock. Others count as running only
    // when they end: a thousand of them must not keep the lock from a client that asks for it.
    let mut running = if locks.is_owner(object, ended.session) { start() } else { None };
    let mut changes = locks.changes();
    let slot = loop {
        changes.borrow_and_update();
        let slot = Arc::clone(&slots).take().await;
        running = running.or_else(start);
        if running.is_some() {
            break slot;
        }
        drop(slot);
        if changes.changed().await.is_err() {
            return;
        }
    };
    let permit = locks.calls.take().await;
    streams::end(CallName { object, member }, ended.stream).await;
    drop((permit, running, slot));
}

/// Brings the object of `id` to a safe state, since `session` has lost its lock, and reports to the
/// lock when that is done.
fn start(locks: &Arc<LockTable>, id: &str, session: Arc<Session>) {
    if let Ok(runtime) = Handle::try_current() {
        let (tracker, id) = (locks.safe_states.clone(), id.to_owned());
        let locks = Arc::clone(locks);
        tracker.spawn_on(async move { lock_lost(&locks, &id, &session).await }, &runtime);
    } else {
        let trouble = "the daemon was ending, and on_disconnect was not called";
        finish(locks, id, Some(trouble.to_owned()));
    }
}

async fn lock_lost(locks: &Arc<LockTable>, id: &str, session: &Arc<Session>) {
    let mut steps =
        Steps { locks: Arc::clone(locks), id: id.to_owned(), troubles: Vec::new(), is_done: false };
    if let (Some(settings), Some(object)) = (locks.settings(id), locks.registry.get(id)) {
        let mut late = Vec::new();
        for ended in locks.take_lost_streams(id) {
            let name = format!("the end of the stream of {}()", ended.origin.member);
            let mut stream = ended.stream;
            let close = async move {
                stream.close().await;
                Ok(true)
            };
            late.extend(steps.run(&name, close).await);
        }
        let origin = locks.origin(id);
        for method in &settings.on_disconnect {
            let (object, session) = (Arc::clone(&object), Arc::clone(session));
            let reason = SafeState::LockLost { method: method.clone(), origin };
            let call = async move {
                match object.safe_state(&session, reason) {
                    Some(call) => call.await,
                    None => Ok(false),
                }
            };
            late.extend(steps.run(&format!("{method}()"), call).await);
        }
        for (name, call) in late {
            let ended = call.await;
            info!(daemon = %locks.daemon, service = id, what = name, "is over after all");
            if let Err(trouble) = step_result(ended) {
                steps.add_trouble(&name, &trouble);
            }
        }
    }
    if is_restored_session(session.id) {
        // No connection's end comes that would tell the objects.
        tell_objects(locks, session);
    }
    steps.is_done = true;
}

/// The daemon ends: brings the objects to a safe state whose locks outlive it. Their owners may not
/// come back, and the next process makes other objects. Returns whether one waits for its calls
/// before, for the time of a safe state at most.
pub(crate) fn end_kept(locks: &Arc<LockTable>) -> bool {
    let Ok(runtime) = Handle::try_current() else { return false };
    let mut waits = false;
    for (id, session) in locks.kept_owners() {
        let (Some(settings), Some(object)) = (locks.settings(&id), locks.registry.get(&id)) else {
            continue;
        };
        if settings.on_disconnect.is_empty() || object.ends_in_safe_state() || !locks.freeze(&id) {
            continue;
        }
        waits |= locks.has_calls(&id);
        let kept = Arc::clone(locks);
        let ending = async move { end_kept_object(&kept, &id, &session, &settings, &object).await };
        locks.safe_states.spawn_on(ending, &runtime);
    }
    waits
}

async fn end_kept_object(
    locks: &LockTable,
    id: &str,
    session: &Arc<Session>,
    settings: &LockSettings,
    object: &Arc<dyn Object>,
) {
    let (daemon, timeout) = (&locks.daemon, locks.safe_state_timeout);
    // A oneway call outlasts its connection.
    if tokio::time::timeout(timeout, locks.calls_ended(id)).await.is_err() {
        warn!(%daemon, service = id,
            "a call still runs, and nothing was called that brings it to rest; the instrument may \
             not be in a safe state");
        return;
    }
    for method in &settings.on_disconnect {
        let (object, session) = (Arc::clone(object), Arc::clone(session));
        let origin = LockOrigin::ThisProcess;
        let reason = SafeState::LockLost { method: method.clone(), origin };
        let call = async move {
            match object.safe_state(&session, reason) {
                Some(call) => call.await,
                None => Ok(false),
            }
        };
        let permit = locks.calls.take().await;
        let ended = run_step(call, timeout).await;
        drop(permit);
        let trouble = match ended {
            StepEnd::Done { was_called } => {
                log_rest(daemon, id, method, was_called);
                continue;
            }
            StepEnd::Failed(trouble) => trouble,
            StepEnd::Late(_) => "has not returned in time".to_owned(),
        };
        warn!(%daemon, service = id, what = method, trouble,
            "what brings it to rest has failed; the instrument may not be in a safe state");
    }
}

fn log_rest(daemon: &str, service: &str, what: &str, was_called: bool) {
    match was_called {
        true => info!(%daemon, service, what, "brought to rest"),
        false => info!(%daemon, service, what,
            "not called: there is no instance that could be brought to rest"),
    }
}

/// The steps to a safe state. However this ends, the lock hears of it: or else nobody would ever
/// get the lock again.
struct Steps {
    locks: Arc<LockTable>,
    id: String,
    troubles: Vec<String>,
    is_done: bool,
}

impl Steps {
    /// Runs one step; the step is handed back if it takes too long.
    async fn run(
        &mut self,
        name: &str,
        work: impl Future<Output = Result<bool, Exception>> + Send + 'static,
    ) -> Option<(String, StepTask)> {
        let locks = Arc::clone(&self.locks);
        let timeout = locks.safe_state_timeout;
        let mut permit = std::pin::pin!(locks.calls.take());
        let permit = match tokio::time::timeout(timeout, &mut permit).await {
            Ok(permit) => permit,
            Err(_) => {
                // Nothing else runs in this daemon either, as long as that is so.
                self.add_trouble(name, "waits for a call of another service, which still runs");
                let permit = permit.await;
                self.troubles.pop();
                permit
            }
        };
        let ended = run_step(work, timeout).await;
        drop(permit);
        match ended {
            StepEnd::Done { was_called } => {
                log_rest(&locks.daemon, &self.id, name, was_called);
                None
            }
            StepEnd::Failed(trouble) => {
                self.add_trouble(name, &trouble);
                None
            }
            StepEnd::Late(call) => {
                let trouble = format!(
                    "has not returned within {} s, and nobody gets the lock before it has",
                    timeout.as_secs_f64()
                );
                self.add_trouble(name, &trouble);
                Some((name.to_owned(), call))
            }
        }
    }

    fn add_trouble(&mut self, name: &str, trouble: &str) {
        warn!(daemon = %self.locks.daemon, service = self.id, what = name, trouble,
            "what brings it to rest has failed; the instrument may not be in a safe state");
        self.troubles.push(format!("on_disconnect: {name} {trouble}"));
        self.locks.set_trouble(&self.id, self.troubles.join("; "));
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        if !self.is_done {
            self.troubles.push("on_disconnect: has been cut off".to_owned());
        }
        let trouble = (!self.troubles.is_empty()).then(|| self.troubles.join("; "));
        finish(&self.locks, &self.id, trouble);
    }
}

fn finish(locks: &Arc<LockTable>, id: &str, trouble: Option<String>) {
    end_deferred(locks, id);
    locks.safe_state_reached(id, trouble);
    // An end that was deferred in between.
    end_deferred(locks, id);
}
