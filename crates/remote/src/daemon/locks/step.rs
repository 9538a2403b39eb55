//! One step to a safe state: a call that may fail, and may take long.
//!
//! A separate task, which goes on when the step takes too long, and may panic alone.

use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};
use wire::exception::Exception;

use crate::value_text::beginning;

/// Bytes of an exception that are kept: a driver may raise megabytes of text, and a failure is in
/// each of the daemon's reports.
const MAX_RAISED_BYTES: usize = 512;

/// The task of a step; its result is whether a method was called.
pub(super) type StepTask = JoinHandle<Result<bool, Exception>>;

/// The end of a step, or of the wait for it.
pub(super) enum StepEnd {
    /// A method was called, and has returned; or there was no instance to call it on.
    Done { was_called: bool },
    /// The failure, as a predicate.
    Failed(String),
    /// It still runs.
    Late(StepTask),
}

/// Runs a step, and waits for its end no longer than `timeout`.
pub(super) async fn run_step(
    work: impl Future<Output = Result<bool, Exception>> + Send + 'static,
    timeout: Duration,
) -> StepEnd {
    let mut task = tokio::spawn(work);
    match tokio::time::timeout(timeout, &mut task).await.map(step_result) {
        Ok(Ok(was_called)) => StepEnd::Done { was_called },
        Ok(Err(trouble)) => StepEnd::Failed(trouble),
        Err(_) => StepEnd::Late(task),
    }
}

/// Whether a step has called a method, or its failure as a predicate.
pub(super) fn step_result(
    ended: Result<Result<bool, Exception>, JoinError>,
) -> Result<bool, String> {
    match ended {
        Ok(Ok(was_called)) => Ok(was_called),
        Ok(Err(exception)) => {
            let text = exception.to_string();
            Err(format!("raised {}", beginning(&text, MAX_RAISED_BYTES)))
        }
        Err(_) => Err("has ended in a failure of the daemon's own".to_owned()),
    }
}
