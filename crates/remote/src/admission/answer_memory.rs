//! Memory for large answers, as objects reserve it.

use std::sync::Arc;

use wire::exception::Exception;

use crate::admission::byte_budget::{ByteBudget, NoMemory};
use crate::object::{AnswerBudget, BoxFuture};

impl AnswerBudget for ByteBudget {
    fn next_number(&self) -> u64 {
        ByteBudget::next_number(self)
    }

    fn try_reserve(&self, number: u64, bytes: usize) -> bool {
        ByteBudget::try_reserve(self, number, bytes)
    }

    fn reserve(self: Arc<Self>, number: u64, bytes: usize) -> BoxFuture<Result<(), Exception>> {
        Box::pin(async move {
            // No `CommunicationError`: a stock client would give up its connection for that, and
            // the locks and instances that it has by it.
            ByteBudget::reserve(&self, number, bytes).await.map_err(|NoMemory { waited }| {
                Exception::daemon_error(format!(
                    "the daemon is busy with other large answers: no room in memory for this \
                         one within {} s; try again later, or ask for less",
                    waited.as_secs()
                ))
            })
        })
    }

    fn is_reserved(&self, number: u64) -> bool {
        ByteBudget::is_reserved(self, number)
    }

    fn release(&self, number: u64) {
        ByteBudget::release(self, number);
    }
}
