//! Oneway calls that run in a worker, and the notices of their ends.
//!
//! A oneway call has a thread for itself in the worker. Its channel is free for the next call when
//! it has begun, and its end comes over the control socket.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use remote::Exception;
use tokio::sync::oneshot;

/// The running oneway calls of a worker.
#[derive(Debug, Default)]
pub(crate) struct OnewayEnds {
    state: Mutex<RunningOneways>,
}

#[derive(Debug, Default)]
struct RunningOneways {
    last: i64,
    running: HashMap<i64, oneshot::Sender<OnewayOutcome>>,
}

/// Class and text of the exception that a oneway call raised, if any. Its worker has logged it.
type OnewayOutcome = Option<(String, String)>;

/// A oneway call that is to run in a worker.
#[derive(Debug)]
pub(crate) struct OnewayEnd<'a> {
    ends: &'a OnewayEnds,
    /// Its number in the worker, never 0.
    pub number: i64,
    ended: oneshot::Receiver<OnewayOutcome>,
}

impl OnewayEnds {
    /// A number for a oneway call, whose end can be waited for.
    pub(crate) fn expect(&self) -> OnewayEnd<'_> {
        let (sender, ended) = oneshot::channel();
        let mut state = self.lock();
        state.last += 1;
        let number = state.last;
        state.running.insert(number, sender);
        OnewayEnd { ends: self, number, ended }
    }

    /// The call of this number has ended.
    pub(crate) fn report(&self, number: i64, raised: OnewayOutcome) {
        if let Some(sender) = self.lock().running.remove(&number) {
            // Its waiter may be gone.
            let _ = sender.send(raised);
        }
    }

    fn lock(&self) -> MutexGuard<'_, RunningOneways> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OnewayEnd<'_> {
    /// Waits for the end of the call; then the exception that it raised, if any. Its traceback is
    /// in the log.
    pub(crate) async fn wait(&mut self) -> Option<Exception> {
        let raised = (&mut self.ended).await.ok().flatten();
        raised.map(|(class, text)| Exception::new(class, text).with_traceback(Vec::new()))
    }
}

impl Drop for OnewayEnd<'_> {
    fn drop(&mut self) {
        self.ends.lock().running.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_end_is_reported_to_its_call() {
        let ends = OnewayEnds::default();
        let (mut first, second) = (ends.expect(), ends.expect());
        assert!(first.number != 0 && second.number != first.number);
        ends.report(first.number, None);
        assert_eq!(first.wait().await, None);
        assert_eq!(ends.lock().running.len(), 1);
        ends.report(7, None);
        drop((first, second));
        assert!(ends.lock().running.is_empty());
    }
}
