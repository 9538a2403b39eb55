//! The `Object` trait: what a daemon serves under an object id.
//!
//! A request arrives decoded, and an answer leaves as a value. Knows neither sockets, frames,
//! locks nor budgets.

mod answer;
mod memory;
mod metadata;
mod request;

use std::sync::Arc;

use wire::exception::Exception;
use wire::value::Value;

pub use answer::{Answer, CallResult, ItemStream, Reply, ReplyBody};
pub(crate) use memory::AnswerBudget;
pub use memory::{AnswerMemory, BoxFuture, RequestMemory};
pub use metadata::Metadata;
pub use request::{Blob, Context, MethodCall, Operation, Request, StartCheck};
pub(crate) use request::{CHECKED_BLOB_BYTES, unexposed_method};

use crate::card::Card;
use crate::session::Session;

/// Why an object is brought to a safe state, which has two phases: running calls are aborted, and
/// afterwards methods of the safe state run alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SafeState {
    /// Running calls are to end. The daemon names the methods one after the other; each is called
    /// beside the running calls.
    Abort {
        /// The method to be called.
        method: String,
        /// The sessions whose instances it is called on; `None` for all instances.
        sessions: Option<Vec<u64>>,
    },
    /// The session has lost the object's lock. The daemon names the methods one after the other.
    LockLost {
        /// The method to be called.
        method: String,
        /// The process of the daemon in which it got the lock.
        origin: LockOrigin,
    },
    /// The session ends, whether it had the lock or not: instances that are its own reach a safe
    /// state.
    SessionEnds {
        /// False where another client has the lock and drives the instrument: nothing may be called
        /// now, nor when the instances are dropped.
        may_drive: bool,
    },
}

/// The process of a daemon in which the owner of a lock got it. An instance that the owner drove in
/// an earlier process has gone with that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LockOrigin {
    /// This one.
    #[default]
    ThisProcess,
    /// An earlier one, which was stopped and had released its instances.
    StoppedProcess,
    /// An earlier one, which may have left an instrument as it was driven.
    LostProcess,
}

/// A health check of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// The method without arguments, or the property; without it only the constructor is tried.
    pub member: Option<String>,
    /// Whether the instance is first replaced by a new one.
    pub replaces_instance: bool,
}

/// The future of [`Object::safe_state`].
pub type SafeStateReached = BoxFuture<Result<bool, Exception>>;

/// Something that a daemon serves under an object id.
///
/// The daemon calls `call` for one request of a connection at a time, and for several connections
/// concurrently (`thread`) or one after the other (`multiplex`).
pub trait Object: Send + Sync + 'static {
    /// The members that a proxy may use; the handshake tells them.
    ///
    /// # Errors
    /// The reason why this object cannot be used now; the handshake is then refused with its text.
    fn metadata(&self) -> Result<Metadata, Exception>;

    /// Whether it has a method of this name that a proxy may call.
    ///
    /// # Errors
    /// As [`metadata`](Self::metadata).
    fn has_method(&self, method: &str) -> Result<bool, Exception> {
        Ok(self.metadata()?.methods.iter().any(|known| known == method))
    }

    /// The typed description of the members, for clients that ask for it.
    fn card(&self) -> Option<Arc<Card>> {
        None
    }

    /// Carries out one request of `session`.
    ///
    /// A private name, an unexposed member or an unknown one is the object's to refuse.
    fn call(&self, session: &Arc<Session>, request: Request) -> Answer;

    /// Another object for the entries of one batch: an object that makes an instance for each call
    /// makes one for a batch. It is dropped when the batch has ended.
    ///
    /// # Errors
    /// It cannot be made.
    fn for_batch(&self, _session: &Arc<Session>) -> Result<Option<Arc<dyn Object>>, Exception> {
        Ok(None)
    }

    /// Whether the object for one batch cannot carry out its last entry or a further one: its
    /// instance could not be made, or its process has ended.
    fn is_lost(&self) -> bool {
        false
    }

    /// Whether `method` breaks locks, or aborts calls. That must be possible when everything else
    /// hangs: it waits for no call, and a daemon lets in some further connections for it.
    fn breaks_locks(&self, _method: &str) -> bool {
        false
    }

    /// Whether it is about the daemon itself, as its feed of events: it is not among the objects
    /// that the daemon lists, its calls need no permit of a `multiplex` daemon, and connections
    /// that name it have slots beside the pool's.
    fn is_internal(&self) -> bool {
        false
    }

    /// Whether the object itself checks the rights of its callers, because its methods are about
    /// other objects. For all others the daemon asks the rules of access.
    fn checks_access(&self) -> bool {
        false
    }

    /// Whether it serves clients also without the certificate that the port requires: it is where
    /// they get one. Such a client reaches nothing else. Counts for internal objects only.
    fn serves_uncertified(&self) -> bool {
        false
    }

    /// Whether a oneway call begins some time after `call` has returned and its answer was polled
    /// once, as in another process. The object then keeps [`Context::may_start`] until the call has
    /// begun, since no later call of its session may overtake it.
    fn reports_begin(&self) -> bool {
        false
    }

    /// Restarts the process in which the object lives, for the `reason` given: a predicate such as
    /// "was killed". Calls that run in it end.
    fn restart(&self, _reason: String) {}

    /// Checks whether the instrument answers: false or an exception where it does not. An object
    /// that is made later is made for that. Calls of clients do not wait for it.
    ///
    /// The member is one of the configuration, exposed or not.
    fn check_health(
        &self,
        session: &Arc<Session>,
        check: HealthCheck,
    ) -> BoxFuture<Result<bool, Exception>> {
        let Some(method) = check.member else { return Box::pin(async { Ok(true) }) };
        let call = MethodCall { method, args: Vec::new(), kwargs: Vec::new() };
        let context = Context::internal();
        let answer = self.call(session, Request { operation: Operation::Call(call), context });
        Box::pin(async move {
            let reply = answer.wait().await?;
            Ok(!matches!(reply.body, ReplyBody::Value(Value::Bool(false))))
        })
    }

    /// Reads a member for the daemon itself: a property, or the result of a method without
    /// arguments. No process is started for that.
    fn poll(
        &self,
        session: &Arc<Session>,
        member: &str,
        context: Context,
    ) -> BoxFuture<Result<Value, Exception>> {
        let operation = self
            .metadata()
            .and_then(|metadata| Operation::reading(member, &metadata, self.card().as_deref()));
        let answer = match operation {
            Ok(operation) => self.call(session, Request { operation, context }),
            Err(exception) => Answer::exception(exception),
        };
        Box::pin(async move { answer.wait().await?.into_polled() })
    }

    /// Brings the instrument to a safe state, for the `reason` given; `None` where there is nothing
    /// to do. The result is whether a method was called: there may be no instance.
    ///
    /// The methods are those of the configuration, exposed or not.
    fn safe_state(&self, session: &Arc<Session>, reason: SafeState) -> Option<SafeStateReached> {
        let (SafeState::LockLost { method, .. } | SafeState::Abort { method, .. }) = reason else {
            return None;
        };
        let call = MethodCall { method, args: Vec::new(), kwargs: Vec::new() };
        let context = Context::internal();
        let answer = self.call(session, Request { operation: Operation::Call(call), context });
        Some(Box::pin(async move { answer.wait().await.map(|_| true) }))
    }

    /// Whether the object's own end, after that of its daemon, brings the instrument to a safe
    /// state.
    fn ends_in_safe_state(&self) -> bool {
        false
    }

    /// The connection of `session` has ended: its instances, handles and streams are to be dropped.
    fn session_ended(&self, _session: &Session) {}
}

/// The methods of [`Object`] that a wrapper passes on to the object in its field `object`: all but
/// those that it is there for.
macro_rules! pass_on_to_object {
    () => {
        fn metadata(&self) -> Result<$crate::object::Metadata, wire::exception::Exception> {
            self.object.metadata()
        }

        fn has_method(&self, method: &str) -> Result<bool, wire::exception::Exception> {
            self.object.has_method(method)
        }

        fn is_lost(&self) -> bool {
            self.object.is_lost()
        }

        fn breaks_locks(&self, method: &str) -> bool {
            self.object.breaks_locks(method)
        }

        fn is_internal(&self) -> bool {
            self.object.is_internal()
        }

        fn checks_access(&self) -> bool {
            self.object.checks_access()
        }

        fn serves_uncertified(&self) -> bool {
            self.object.serves_uncertified()
        }

        fn reports_begin(&self) -> bool {
            self.object.reports_begin()
        }

        fn restart(&self, reason: String) {
            self.object.restart(reason);
        }

        fn check_health(
            &self,
            session: &Arc<$crate::session::Session>,
            check: $crate::object::HealthCheck,
        ) -> $crate::object::BoxFuture<Result<bool, wire::exception::Exception>> {
            self.object.check_health(session, check)
        }

        fn poll(
            &self,
            session: &Arc<$crate::session::Session>,
            member: &str,
            context: $crate::object::Context,
        ) -> $crate::object::BoxFuture<Result<wire::value::Value, wire::exception::Exception>> {
            self.object.poll(session, member, context)
        }

        fn safe_state(
            &self,
            session: &Arc<$crate::session::Session>,
            reason: $crate::object::SafeState,
        ) -> Option<$crate::object::SafeStateReached> {
            self.object.safe_state(session, reason)
        }

        fn ends_in_safe_state(&self) -> bool {
            self.object.ends_in_safe_state()
        }

        fn session_ended(&self, session: &$crate::session::Session) {
            self.object.session_ended(session);
        }
    };
}
pub(crate) use pass_on_to_object;
