//! Memory of large requests and answers, as objects keep and reserve it.
//!
//! How much there may be in all is the daemon's matter: [`AnswerBudget`] is its side.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wire::exception::Exception;

/// A boxed future that lives as long as it needs to.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// Memory of a large request, released when the last clone of this is dropped.
#[derive(Clone)]
pub struct RequestMemory(#[expect(dead_code, reason = "it is held")] Arc<dyn Any + Send + Sync>);

impl RequestMemory {
    pub(crate) fn new(permit: impl Any + Send + Sync) -> Self {
        RequestMemory(Arc::new(permit))
    }
}

impl fmt::Debug for RequestMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestMemory")
    }
}

/// Where memory for answers is reserved. Each answer has its own number.
pub(crate) trait AnswerBudget: fmt::Debug + Send + Sync {
    fn next_number(&self) -> u64;
    /// Reserves `bytes` in all for `number`, if it has some already or others leave as many.
    fn try_reserve(&self, number: u64, bytes: usize) -> bool;
    /// As `try_reserve`, waiting in order.
    fn reserve(self: Arc<Self>, number: u64, bytes: usize) -> BoxFuture<Result<(), Exception>>;
    fn is_reserved(&self, number: u64) -> bool;
    /// Releases all that `number` has, or its place in the queue.
    fn release(&self, number: u64);
}

/// Memory for one answer. None is reserved at first; what is reserved is released when the answer
/// is sent, or when the last clone of this is dropped.
#[derive(Clone, Debug)]
pub struct AnswerMemory(Arc<Numbered>);

#[derive(Debug)]
struct Numbered {
    budget: Arc<dyn AnswerBudget>,
    number: u64,
    /// Whether the budget may have counted something for it. Most answers are small and never ask:
    /// their ends do not take the budget's lock, which all calls of a daemon share.
    is_counted: AtomicBool,
}

impl AnswerMemory {
    pub(crate) fn of(budget: Arc<dyn AnswerBudget>) -> Self {
        let number = budget.next_number();
        AnswerMemory(Arc::new(Numbered { budget, number, is_counted: AtomicBool::new(false) }))
    }

    /// The number under which the budget counts it from now on.
    pub(crate) fn number(&self) -> u64 {
        self.0.is_counted.store(true, Ordering::Release);
        self.0.number
    }

    /// Reserves `bytes` in all, if some are reserved already or others leave as many. True if they
    /// are reserved then.
    pub fn try_reserve(&self, bytes: usize) -> bool {
        self.0.budget.try_reserve(self.number(), bytes)
    }

    /// As [`try_reserve`](Self::try_reserve), waiting in a queue where others leave less.
    ///
    /// # Errors
    /// Others do not release any in time, though their clients do read.
    pub async fn reserve(&self, bytes: usize) -> Result<(), Exception> {
        if self.try_reserve(bytes) {
            return Ok(());
        }
        Arc::clone(&self.0.budget).reserve(self.0.number, bytes).await
    }

    /// Whether any is reserved.
    pub fn is_reserved(&self) -> bool {
        self.0.is_counted.load(Ordering::Acquire) && self.0.budget.is_reserved(self.0.number)
    }
}

impl Drop for Numbered {
    fn drop(&mut self) {
        if *self.is_counted.get_mut() {
            self.budget.release(self.number);
        }
    }
}
