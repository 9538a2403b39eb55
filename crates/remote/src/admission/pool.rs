//! A connection's slot in the pool, and calls whose clients are gone.
//!
//! Under Pyro5 a call that hangs keeps its client's slot after the client has given up, and each
//! new attempt takes another, until all are taken. Here the slot is free again and the call goes on
//! without one, since it cannot be ended from outside. The number of such orphaned calls of an
//! object is limited. They are counted in a `thread` daemon only: in a `multiplex` daemon one call
//! runs at a time, and those that wait for it are no sign of trouble.

use tracing::warn;
use wire::exception::Exception;

use crate::admission::Admission;
use crate::admission::slots::{KeyedSlot, Slot};
use crate::config::DAEMON_NAME;

/// A connection's slot among those that are served, where their number is limited.
#[derive(Debug, Default)]
pub(crate) struct PoolSlot {
    slot: Option<Slot>,
    /// Counts until the connection has ended.
    orphaned: Option<KeyedSlot<String>>,
}

impl PoolSlot {
    pub(crate) fn new(slot: Option<Slot>) -> Self {
        PoolSlot { slot, orphaned: None }
    }

    /// The client is gone while a call of `object` runs: its slot is free for another connection.
    pub(crate) fn orphan(&mut self, admission: &Admission, object: &str) {
        if self.orphaned.is_some() || admission.calls.is_multiplex() {
            return;
        }
        let without_slot = admission.orphans.taken();
        self.orphaned = Some(admission.orphans.count_for(object.to_owned()));
        let calls = admission.orphans.taken_by(object);
        if calls == admission.max_orphans && object != DAEMON_NAME {
            warn!(
                object,
                calls,
                "takes no further calls: the clients of as many are gone, and \
                they have not ended; what the service drives may hang"
            );
        }
        if without_slot < admission.max_orphans_without_slot {
            self.slot = None;
        }
    }
}

/// Whether a call of this object may begin.
///
/// # Errors
/// The object has too many calls whose clients are gone.
pub(crate) fn check_orphans(admission: &Admission, object: &str) -> Result<(), Exception> {
    // This is all that it costs as long as everything is as it should be.
    if admission.orphans.taken() < admission.max_orphans || object == DAEMON_NAME {
        return Ok(());
    }
    let calls = admission.orphans.taken_by(object);
    if calls == 0 || calls < admission.max_orphans {
        return Ok(());
    }
    Err(Exception::daemon_error(format!(
        "'{object}' takes no further calls: {calls} of clients that are gone have not ended \
         (at most {} may); what it drives may hang, and to restart its daemon ends them",
        admission.max_orphans
    )))
}
