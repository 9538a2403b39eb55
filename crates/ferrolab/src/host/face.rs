//! The daemon under its own name, as PyroLab's daemons have it.
//!
//! PyroLab registers a daemon itself, under an id of its own, beside `Pyro.Daemon`: its `ping`
//! says True where Pyro5's says nothing.

use std::sync::Arc;

use remote::{
    Answer, Exception, Metadata, MethodCall, Object, Operation, Request, Session, Signature, Value,
    batch_now,
};

/// The version of PyroLab whose interface this is.
const PYROLAB_VERSION: &str = "0.5.0";

/// A daemon's own object.
#[derive(Debug)]
pub(super) struct Face;

impl Face {
    fn call_method(call: MethodCall) -> Result<Value, Exception> {
        const PING: Signature = Signature::none("Daemon.ping");
        const VERSION: Signature = Signature::none("Daemon.pyrolab_version");
        match call.method.as_str() {
            "ping" => PING.bind(call).map(|[]| Value::Bool(true)),
            "pyrolab_version" => VERSION.bind(call).map(|[]| Value::from(PYROLAB_VERSION)),
            _ => Err(Operation::Call(call).unexposed()),
        }
    }
}

impl Object for Face {
    fn metadata(&self) -> Result<Metadata, Exception> {
        Ok(Metadata::methods(["ping", "pyrolab_version"]))
    }

    fn call(&self, _session: &Arc<Session>, request: Request) -> Answer {
        match request.operation {
            Operation::Call(call) => Answer::from(Face::call_method(call)),
            Operation::Batch(calls) => batch_now(calls, Face::call_method),
            other => Answer::exception(other.unexposed()),
        }
    }
}
