//! Watches of a session: a timer that finds its connection idle, and a look for its client's end
//! while a request is carried out.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, Sleep};
use tracing::debug;

use crate::admission::call_permit::{ClientGone, PoolSlot};
use crate::daemon::Shared;
use crate::daemon::locks::abort;
use crate::net::ClientStream;
use crate::session::Session;

/// A connection without a request for this long, or for twice as long, keeps no buffers.
pub(crate) const IDLE: Duration = Duration::from_secs(1);

/// Finds connections that have been idle for a while. Its timer is not set anew for each request:
/// that costs more than everything else that is done for one.
pub(crate) struct IdleTimer<'a> {
    sleep: Pin<&'a mut Sleep>,
    activity: Activity,
}

#[derive(PartialEq, Eq)]
enum Activity {
    /// There was a request since the timer was set.
    Busy,
    /// There was no request since.
    Quiet,
    /// The timer has elapsed and is not set.
    Idle,
}

impl<'a> IdleTimer<'a> {
    /// With a timer that is set to [`IDLE`] from now.
    pub(crate) fn new(sleep: Pin<&'a mut Sleep>) -> Self {
        IdleTimer { sleep, activity: Activity::Busy }
    }

    /// Resolves when the connection has been idle for a while; once, until [`reset`](Self::reset).
    /// Cancel safe.
    pub(crate) async fn elapsed(&mut self) {
        loop {
            match self.activity {
                Activity::Idle => std::future::pending().await,
                Activity::Busy | Activity::Quiet => self.sleep.as_mut().await,
            }
            if self.activity == Activity::Quiet {
                self.activity = Activity::Idle;
                return;
            }
            self.activity = Activity::Quiet;
            self.sleep.as_mut().reset(Instant::now() + IDLE);
        }
    }

    /// A request has come, or has been answered.
    pub(crate) fn reset(&mut self) {
        if self.activity == Activity::Idle {
            self.sleep.as_mut().reset(Instant::now() + IDLE);
        }
        self.activity = Activity::Busy;
    }
}

/// Looks for the client's end while its request is carried out: nothing is read meanwhile.
pub(crate) struct ClientWatch<'a, S> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) session: &'a Arc<Session>,
    pub(crate) stream: &'a S,
    pub(crate) client: ClientGone,
    /// Whether its calls end with it: they only read.
    pub(crate) is_reader: bool,
}

impl<S: ClientStream> ClientWatch<'_, S> {
    /// Waits for what a request needs before it can be read; meanwhile a client that is gone loses
    /// its locks.
    pub(crate) async fn while_waiting<T>(self, waiting: impl Future<Output = T>) -> T {
        let ClientWatch { shared, session, stream, .. } = self;
        let mut waiting = pin!(waiting);
        if shared.locks.any() {
            tokio::select! {
                biased;
                done = &mut waiting => return done,
                () = stream.wait_closed() => shared.locks.disconnect(session.id),
                () = session.revoked() => shared.locks.revoke(session.id),
            }
        }
        waiting.await
    }

    /// Waits for an answer. In a daemon with locks or aborts the client's end is looked for from
    /// the beginning: neither waits for the end of a call. Elsewhere only the slot in the pool is
    /// at stake, and short calls are not to pay for it.
    ///
    /// A client that has only closed its own direction is as good as gone; it gets its answer, if
    /// it is there to take it. `None` where the call of a reader was given up with it.
    pub(crate) async fn while_answering<T>(
        self,
        mut answering: Pin<&mut impl Future<Output = T>>,
        idle: &mut IdleTimer<'_>,
        slot: &mut PoolSlot,
    ) -> Option<T> {
        let ClientWatch { shared, session, stream, client, is_reader } = self;
        if !shared.locks.any() && !shared.locks.aborts.any() {
            tokio::select! {
                biased;
                response = &mut answering => return Some(response),
                () = idle.elapsed() => {}
                () = session.revoked() => {}
            }
        }
        let response = tokio::select! {
            biased;
            response = &mut answering => Some(response),
            () = stream.wait_closed() => None,
            // A removed user is as good as gone.
            () = session.revoked() => None,
        };
        let response = match response {
            Some(response) => response,
            None if is_reader => return None,
            None => {
                debug!(daemon = %shared.config.name, session = session.id, peer = %session.peer,
                    "the client has gone during a call");
                match session.revocation() {
                    Some(_) => shared.locks.revoke(session.id),
                    None => shared.locks.disconnect(session.id),
                }
                abort::client_has_gone(&shared.locks, session);
                client.report();
                slot.orphan(&shared.admission.orphans, &session.object);
                // The call goes on, and its session with it.
                answering.await
            }
        };
        idle.reset();
        Some(response)
    }
}
