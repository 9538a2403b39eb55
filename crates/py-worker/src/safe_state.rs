//! Safe state of a service in a worker.
//!
//! Owns what becomes of it where there is nothing to call a method on: mostly nothing has been
//! driven then, but an instance may have gone with a process that has died, and what it had driven
//! is as it was left.

use std::sync::Arc;

use remote::{Exception, LockOrigin, Session, Value};

use crate::channel::ExchangeError;
use crate::frames::{self, Answered};
use crate::run::Run;
use crate::service::ServiceState;

/// Calls a method of the safe state on the instance that the session drives; returns whether it was
/// called. Where the single instance died with its process, another is made for the call; so it is
/// where the owner got the lock in an earlier process of the daemon. A session's own instance
/// cannot be made again: after a process that had not released it, the safe state was not reached.
pub(crate) async fn to_rest(
    service: Arc<ServiceState>,
    session: Arc<Session>,
    method: String,
    origin: LockOrigin,
) -> Result<bool, Exception> {
    let run = service.run().await?;
    let Some(without) = exchange(&service, &run, &session, &method, false).await? else {
        return Ok(true);
    };
    let Some(driven) = service.driven.get() else { return Ok(false) };
    let (is_earlier, is_lost) =
        (origin != LockOrigin::ThisProcess, origin == LockOrigin::LostProcess);
    match without.as_str() {
        Some("single") if is_earlier || driven.was_before(run.number) => {
            exchange(&service, &run, &session, &method, true).await.map(|without| without.is_none())
        }
        Some("session") if is_lost || driven.was_before_by(session.id, run.number) => {
            Err(Exception::daemon_error(format!(
                "service '{}': its process ended under the owner; the safe state was not reached",
                service.name
            )))
        }
        _ => Ok(false),
    }
}

/// Calls a method beside the running calls, on the instances of these sessions or of all; returns
/// whether there was one.
pub(crate) async fn abort(
    service: Arc<ServiceState>,
    method: String,
    sessions: Option<Vec<u64>>,
) -> Result<bool, Exception> {
    // Without a process nothing runs that could be aborted.
    let Some(run) = service.serving() else { return Ok(false) };
    let exchange = async {
        let mut channel = run.channel_beside()?;
        channel.queue(&frames::abort(&service.name, &method, sessions))?;
        channel.flush().await?;
        channel.answer(None, None).await
    };
    let outcome = tokio::select! {
        outcome = exchange => outcome,
        () = run.over.cancelled() => Err(ExchangeError::of_ended_worker()),
    };
    without_instance(&service, &run, &method, outcome).await.map(|mode| mode.is_none())
}

/// Ends a session: runs the safe state of the session's own instance if it `may_drive`.
pub(crate) async fn end_session(
    service: Arc<ServiceState>,
    session: Arc<Session>,
    may_drive: bool,
) -> Result<bool, Exception> {
    // An instance dies with its process.
    if let Some(run) = service.serving()
        && let Ok(mut lease) = service.worker.sessions.lease(&run, &session)
    {
        let _ = lease.exchange(frames::leave(&service.name, may_drive)).await;
    }
    Ok(may_drive)
}

/// Has a method called; the instance mode where there is no instance.
async fn exchange(
    service: &ServiceState,
    run: &Arc<Run>,
    session: &Arc<Session>,
    method: &str,
    makes_instance: bool,
) -> Result<Option<Value>, Exception> {
    let outcome = match service.worker.sessions.lease(run, session) {
        Ok(mut lease) => {
            lease.exchange(frames::to_rest(&service.name, method, makes_instance)).await
        }
        Err(error) => Err(error),
    };
    without_instance(service, run, method, outcome).await
}

/// The instance mode where the worker had no instance to call a method on.
async fn without_instance(
    service: &ServiceState,
    run: &Run,
    method: &str,
    outcome: Result<Answered, ExchangeError>,
) -> Result<Option<Value>, Exception> {
    match outcome {
        Ok(Answered::Raised(exception)) => Err(exception),
        Ok(Answered::Value(Value::None, _)) => Ok(None),
        Ok(Answered::Value(mode, _)) => Ok(Some(mode)),
        Ok(_) => Err(frames::unexpected_answer()),
        Err(error) => Err(service.failure(run, error, &format!("'{method}'")).await),
    }
}
