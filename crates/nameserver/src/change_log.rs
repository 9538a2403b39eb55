//! Changes of clients: each is made under the client's address, by which its share is counted, and
//! logged where it removes or overwrites names.
//!
//! Anybody who reaches a nameserver can do both, so people must be able to find out who did.

use std::sync::Arc;
use std::time::Instant;

use remote::{LogLimiter, Peer};
use tracing::info;

use crate::owner::NameClient;
use crate::store::{Change, Lost};

/// Names in a line of the log, at most.
const MAX_NAMES_LOGGED: usize = 5;

/// The log of one nameserver's changes. Clones share its limit.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChangeLog {
    limiter: Arc<LogLimiter>,
}

impl ChangeLog {
    /// The change, which also logs the names that it removes or overwrites.
    pub(crate) fn watch(&self, change: Change, by: impl Into<NameClient>) -> Change {
        let log = self.clone();
        let by = by.into();
        Box::new(move |names| {
            let first = names.steps();
            names.set_writer(by.peer.address(), by.rights());
            let count = change(names)?;
            let mut lost = names.lost_since(first).peekable();
            if lost.peek().is_some() {
                log.write(lost, &by.peer);
            }
            Ok(count)
        })
    }

    fn write<'a>(&self, lost: impl Iterator<Item = Lost<'a>>, by: &Peer) {
        let now = Instant::now();
        if let Some(count) = self.limiter.take_suppressed(now) {
            info!(count, "more changes removed or overwrote names");
        }
        if !self.limiter.allow(now) {
            return;
        }
        let (mut shown, mut count) = (Vec::new(), 0_usize);
        for Lost { name, uri, replaced_by } in lost {
            count += 1;
            if shown.len() < MAX_NAMES_LOGGED {
                shown.push(match replaced_by {
                    Some(new) => format!("{name} ({uri}, now {new})"),
                    None => format!("{name} ({uri})"),
                });
            }
        }
        info!(%by, count, names = shown.join(", "), "names were removed or overwritten");
    }
}
