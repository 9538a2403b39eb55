//! The daemon under its own name, as PyroLab's daemons have it.
//!
//! PyroLab registers a daemon under its name, besides `Pyro.Daemon`. The `ping` of this object
//! returns True, where Pyro5's returns None; its `release` breaks locks.

use std::sync::Arc;

use remote::{
    Answer, Exception, LockBreaker, Metadata, MethodCall, Object, Operation, Request, Session,
    Signature, Value, batch_now,
};

/// The version of PyroLab whose interface this is.
const PYROLAB_VERSION: &str = "0.5.0";

/// A daemon's own object.
#[derive(Debug)]
pub(super) struct Face {
    /// Breaker of locks, if the daemon has locks.
    pub(super) locks: Option<LockBreaker>,
}

impl Face {
    fn call_method(&self, session: &Session, call: MethodCall) -> Result<Value, Exception> {
        const PING: Signature = Signature::empty("Daemon.ping");
        const VERSION: Signature = Signature::empty("Daemon.pyrolab_version");
        match call.method.as_str() {
            "ping" => PING.bind(call).map(|[]| Value::Bool(true)),
            "pyrolab_version" => VERSION.bind(call).map(|[]| Value::from(PYROLAB_VERSION)),
            "release" => match &self.locks {
                Some(locks) => locks.release(session, call),
                None => Err(Operation::Call(call).unexposed()),
            },
            _ => Err(Operation::Call(call).unexposed()),
        }
    }
}

impl Object for Face {
    fn metadata(&self) -> Result<Metadata, Exception> {
        let release = self.locks.is_some().then_some("release");
        Ok(Metadata::methods(["ping", "pyrolab_version"].into_iter().chain(release)))
    }

    fn checks_access(&self) -> bool {
        true
    }

    fn breaks_locks(&self, method: &str) -> bool {
        method == "release" && self.locks.is_some()
    }

    fn call(&self, session: &Arc<Session>, request: Request) -> Answer {
        match request.operation {
            Operation::Call(call) => Answer::from(self.call_method(session, call)),
            Operation::Batch(calls) => batch_now(calls, |call| match call.method.as_str() {
                // The audit has a line for each, which a batch as a whole does not have.
                "release" => Err(LockBreaker::not_in_batch()),
                _ => self.call_method(session, call),
            }),
            other => Answer::exception(other.unexposed()),
        }
    }
}
