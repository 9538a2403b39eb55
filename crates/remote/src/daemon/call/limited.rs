//! A call with a time limit: its client gets a `TimeoutError`, and the call goes on without it.
//!
//! A call cannot be ended from outside. It keeps what it has (the turn of a `multiplex` daemon, its
//! part in the lock) until it ends, and is shown as overdue.

use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};
use wire::exception::Exception;

use crate::admission::call_permit::{CallPermit, ClientGone};
use crate::daemon::Shared;
use crate::daemon::call_limits::CallLimit;
use crate::object::{BoxFuture, CallResult, Object};
use crate::session::Session;

/// A call that may take this long.
pub(super) struct LimitedCall<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) session: &'a Session,
    pub(super) limit: CallLimit,
    /// The object's id.
    pub(super) id: &'a str,
    pub(super) member: &'a str,
}

impl LimitedCall<'_> {
    /// Waits for the call's turn, no longer than the call may take.
    ///
    /// # Errors
    /// Its client has gone, or its turn has not come in time.
    pub(super) async fn take_permit(&self, client: &ClientGone) -> Result<CallPermit, Exception> {
        let taking = self.shared.admission.calls.take_for(client);
        let taken = tokio::time::timeout(self.limit.timeout, taking).await;
        taken.unwrap_or_else(|_| {
            Err(self.exception("has not begun: another call of its daemon still runs after"))
        })
    }

    /// Waits for the end of the call, or for its limit.
    pub(super) async fn wait(
        &self,
        mut call: BoxFuture<CallResult>,
        object: &Arc<dyn Object>,
    ) -> CallResult {
        let timeout = self.limit.timeout;
        if let Ok(result) = tokio::time::timeout(timeout, &mut call).await {
            return result;
        }
        let (service, method) = (self.id.to_owned(), self.member.to_owned());
        let seconds = timeout.as_secs_f64();
        let restarts = self.limit.restarts;
        warn!(service, method, caller = %self.session.peer, seconds, restarts,
            "a call takes longer than its `call_timeout`");
        let shown = self.shared.calls.begin_overdue(self.session);
        tokio::spawn(async move {
            let _shown = shown;
            let result = call.await;
            let outcome = result.err().map_or_else(|| "returned".to_owned(), |it| it.to_string());
            info!(service, method, outcome, "an overdue call has ended");
        });
        if restarts {
            object.restart(format!(
                "was killed, since '{}' took longer than its `call_timeout` of {seconds} s",
                self.member
            ));
            return Err(self.exception("was ended by a restart of its process, after"));
        }
        Err(self.exception("goes on; it has not returned within"))
    }

    fn exception(&self, what: &str) -> Exception {
        let LimitedCall { id, member, limit, .. } = self;
        Exception::new(
            "builtins.TimeoutError",
            format!(
                "'{member}' of service '{id}' {what} {} s (`call_timeout`)",
                limit.timeout.as_secs_f64()
            ),
        )
    }
}

/// The longest time of a batch: as many times the limit as it has calls.
pub(super) fn limit_of_batch(limit: CallLimit, calls: usize) -> CallLimit {
    let calls = u32::try_from(calls.max(1)).unwrap_or(u32::MAX);
    CallLimit { timeout: limit.timeout.checked_mul(calls).unwrap_or(Duration::MAX), ..limit }
}
