//! What is seen of a connection beside its requests: that it is idle, that a call takes long, that its
//! client is gone.
//!
//! Owns the one timer that this takes, and when the client's end is looked for.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::admission::call_permit::ClientEnd;
use crate::admission::orphaned_calls::Place;
use crate::daemon::Shared;
use crate::daemon::call::decode::After;
use crate::daemon::locks::table::Locks;
use crate::net::ClientStream;
use crate::session::Session;

/// A connection that waits longer than this for its next request, or than twice this, waits without
/// buffers.
pub(crate) const IDLE: Duration = Duration::from_secs(1);

/// Finds connections that have been idle for a while, with a timer that is not set anew for each
/// request: it costs more than what else is done for one.
pub(crate) struct Idle<'a> {
    sleep: Pin<&'a mut Sleep>,
    phase: Phase,
}

#[derive(PartialEq, Eq)]
enum Phase {
    /// There was a request since the timer was set.
    Busy,
    /// There was none.
    Quiet,
    /// The buffers are given back, and the timer is not set.
    Resting,
}

impl<'a> Idle<'a> {
    /// With a timer that is set to [`IDLE`] from now.
    pub(crate) fn new(sleep: Pin<&'a mut Sleep>) -> Self {
        Idle { sleep, phase: Phase::Busy }
    }

    /// Resolves when the connection has been idle for so long that its buffers are to be given back;
    /// once, until [`over`](Self::over) is called. Cancel safe.
    pub(crate) async fn lasts(&mut self) {
        loop {
            match self.phase {
                Phase::Resting => std::future::pending().await,
                Phase::Busy | Phase::Quiet => self.sleep.as_mut().await,
            }
            if self.is_second() {
                return;
            }
        }
    }

    /// A request has come.
    pub(crate) fn over(&mut self) {
        if self.phase == Phase::Resting {
            self.sleep.as_mut().reset(Instant::now() + IDLE);
        }
        self.phase = Phase::Busy;
    }

    /// The time is up; whether it was before, with nothing in between.
    fn is_second(&mut self) -> bool {
        if self.phase == Phase::Busy {
            self.phase = Phase::Quiet;
            self.sleep.as_mut().reset(Instant::now() + IDLE);
            return false;
        }
        self.phase = Phase::Resting;
        true
    }
}

/// Looks for the client's end while its request is carried out: nothing is read meanwhile.
pub(crate) struct Watch<'a, S> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) session: &'a Arc<Session>,
    pub(crate) stream: &'a S,
    pub(crate) client: ClientEnd,
}

impl<S: ClientStream> Watch<'_, S> {
    /// Waits for what a request needs before it can be read; its client's lock does not wait along
    /// where the client is gone.
    pub(crate) async fn while_waiting<T>(self, waiting: impl Future<Output = T>) -> T {
        let Watch { shared, session, stream, .. } = self;
        let mut waiting = pin!(waiting);
        if shared.locks.any() {
            tokio::select! {
                biased;
                done = &mut waiting => return done,
                () = stream.ended() => Locks::disconnect(shared, session.id),
            }
        }
        waiting.await
    }

    /// Carries out a request. Where there are locks the client's end is looked for from the beginning:
    /// none must outlive its owner for as long as a call of it runs. Elsewhere only the place is at
    /// stake, and short calls are not to pay for it.
    ///
    /// A client that has only closed its own direction is as good as gone; it gets its answer, if it
    /// is there to take it.
    pub(crate) async fn while_answering(
        self,
        mut answering: Pin<&mut impl Future<Output = After>>,
        idle: &mut Idle<'_>,
        place: &mut Place,
    ) -> After {
        let Watch { shared, session, stream, client } = self;
        if !shared.locks.any() {
            tokio::select! {
                biased;
                after = &mut answering => return after,
                () = idle.lasts() => {}
            }
        }
        let after = tokio::select! {
            biased;
            after = &mut answering => Some(after),
            () = stream.ended() => None,
        };
        let after = match after {
            Some(after) => after,
            None => {
                Locks::disconnect(shared, session.id);
                client.seen();
                place.leave(shared, session);
                // What it has begun goes on, and its session with it.
                answering.await
            }
        };
        idle.over();
        after
    }
}
