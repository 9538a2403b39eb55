//! The context of a request (Pyro5's `current_context`), with the requests that its object may make
//! of the daemon.
//!
//! An object reserves memory through [`AnswerMemory`] and checks through [`StartCheck`] whether a
//! call may still start. How the daemon answers is not known here.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::oneshot;
use wire::exception::Exception;
use wire::message::{Annotations, Flags};
use wire::serializer::Serializer;

/// A boxed future that lives as long as it needs to.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// The context of a request (Pyro5's `current_context`).
#[derive(Clone, Debug)]
pub struct Context {
    /// The serializer of the request; its answer uses the same.
    pub serializer: Serializer,
    /// The request's flags.
    pub flags: Flags,
    /// The request's sequence number.
    pub seq: u16,
    /// The caller's correlation id, or one made for this request.
    pub correlation_id: [u8; 16],
    /// The request's annotations.
    pub annotations: Annotations,
    /// Whether the call may still start. An object that [reports the
    /// beginning](crate::Object::reports_begin) of oneway calls keeps it until the call has begun.
    pub may_start: StartCheck,
    /// Memory reserved for a large request, released when this is dropped with the arguments.
    pub(crate) request_memory: Option<RequestMemory>,
    /// Where memory for a large answer is reserved; `None` where no client waits for an answer.
    pub(crate) answer_budget: Option<Arc<dyn AnswerBudget>>,
}

impl Context {
    /// The context of a call that no client has made.
    pub fn internal() -> Self {
        Context {
            serializer: Serializer::Serpent,
            flags: Flags::default(),
            seq: 0,
            correlation_id: uuid::Uuid::new_v4().into_bytes(),
            annotations: Annotations::new(),
            may_start: StartCheck::default(),
            request_memory: None,
            answer_budget: None,
        }
    }

    /// The memory of a large request, for an object that hands its arguments on to another process
    /// and keeps this as long as they are there; `None` for a small request.
    pub fn request_memory(&self) -> Option<RequestMemory> {
        self.request_memory.clone()
    }

    /// Memory for a large answer, to be reserved before the answer is built and to be handed on as
    /// [`Reply::memory`](crate::Reply); `None` where nobody waits for an answer.
    pub fn answer_memory(&self) -> Option<AnswerMemory> {
        let budget = self.answer_budget.as_ref().filter(|_| !self.is_oneway());
        budget.map(|budget| AnswerMemory::of(Arc::clone(budget)))
    }

    /// Whether the caller waits for no answer.
    pub fn is_oneway(&self) -> bool {
        self.flags.contains(Flags::ONEWAY)
    }
}

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

/// The check whether a call may still start. An object that made a call wait asks after the wait:
/// the lock may have changed hands since the call came.
#[derive(Clone, Default)]
pub struct StartCheck {
    check: Option<Arc<dyn Fn() -> Result<(), Exception> + Send + Sync>>,
    /// Dropped with the last clone of this: the call has begun.
    begin: Option<Arc<oneshot::Sender<()>>>,
}

impl StartCheck {
    pub(crate) fn set_check(
        &mut self,
        check: impl Fn() -> Result<(), Exception> + Send + Sync + 'static,
    ) {
        self.check = Some(Arc::new(check));
    }

    /// Resolves when the object has dropped this and its clones.
    pub(crate) fn signal_begin(&mut self) -> impl Future<Output = ()> + Send + use<> {
        let (sender, begun) = oneshot::channel();
        self.begin = Some(Arc::new(sender));
        async move {
            // Nothing is sent: the sender is dropped.
            let _ = begun.await;
        }
    }

    /// Whether this is a oneway call that runs beside the next calls of its session. They wait
    /// until it has begun: until this and its clones are dropped.
    pub fn is_waited_for(&self) -> bool {
        self.begin.is_some()
    }

    /// Checks now.
    ///
    /// # Errors
    /// The call must not start any more.
    pub fn check(&self) -> Result<(), Exception> {
        self.check.as_ref().map_or(Ok(()), |check| check())
    }
}

impl fmt::Debug for StartCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StartCheck").field(&self.check.is_some()).finish()
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
}

impl AnswerMemory {
    pub(crate) fn of(budget: Arc<dyn AnswerBudget>) -> Self {
        let number = budget.next_number();
        AnswerMemory(Arc::new(Numbered { budget, number }))
    }

    pub(crate) fn number(&self) -> u64 {
        self.0.number
    }

    /// Reserves `bytes` in all, if some are reserved already or others leave as many. True if they
    /// are reserved then.
    pub fn try_reserve(&self, bytes: usize) -> bool {
        self.0.budget.try_reserve(self.0.number, bytes)
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
        self.0.budget.is_reserved(self.0.number)
    }
}

impl Drop for Numbered {
    fn drop(&mut self) {
        self.budget.release(self.number);
    }
}
