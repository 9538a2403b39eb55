//! One decoded request: its operation (a method call, a property, a batch, or a call that stays
//! serialized) and its context (Pyro5's `current_context`).
//!
//! Also Pyro5's rule for private names. Knows neither sockets nor the bytes of frames.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use tokio::sync::oneshot;
use wire::Limits;
use wire::exception::Exception;
use wire::message::{Annotations, Flags};
use wire::serializer::{CallRef, Serializer};
use wire::value::Value;

use crate::card::{Card, MemberKind, ValueLimits};
use crate::object::memory::{AnswerBudget, AnswerMemory, RequestMemory};
use crate::object::metadata::Metadata;

/// Bytes of memory for the values of a blob that is read for a check of limits: no budget has them,
/// unlike those of other requests.
pub(crate) const CHECKED_BLOB_BYTES: usize = 8 << 20;

/// One request, decoded.
#[derive(Clone, Debug)]
pub struct Request {
    /// The operation.
    pub operation: Operation,
    /// Serializer, annotations and the like.
    pub context: Context,
}

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
    /// The refusal of a call for which an instance would have to be made: a read beside another
    /// client's lock. Making an instance drives the instrument.
    pub no_instance: Option<Arc<Exception>>,
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
            no_instance: None,
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
        self.answer_budget.as_ref().map(|budget| AnswerMemory::of(Arc::clone(budget)))
    }

    /// The refusal of this call if it needs a new instance and must not have one.
    ///
    /// # Errors
    /// It must not.
    pub fn check_may_make_instance(&self) -> Result<(), Exception> {
        self.no_instance.as_ref().map_or(Ok(()), |refusal| Err(refusal.as_ref().clone()))
    }

    /// Whether the caller waits for no answer.
    pub fn is_oneway(&self) -> bool {
        self.flags.contains(Flags::ONEWAY)
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

/// The operation that a request asks for.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Call a method.
    Call(MethodCall),
    /// Read a property.
    GetAttr(String),
    /// Set a property.
    SetAttr(String, Value),
    /// Call several methods in order, stopping after the first that raises.
    ///
    /// The answer is a list with a result for each call made; an exception stands in its place
    /// as [`wire::exception::wrap_in_batch`] makes it.
    Batch(Vec<MethodCall>),
    /// Call a method with one argument that stays serialized (Pyro5's `SerializedBlob`).
    Blob(Blob),
}

impl Operation {
    /// The operation that reads a member: a property, or the call of a method without arguments.
    ///
    /// # Errors
    /// There is no such member, or it cannot be read so; in words for the person who has named it.
    pub fn reading(
        member: &str,
        metadata: &Metadata,
        card: Option<&Card>,
    ) -> Result<Self, Exception> {
        let is_in = |names: &[String]| names.iter().any(|name| name == member);
        let known = card.and_then(|card| card.member(member));
        if is_in(&metadata.attrs) {
            return match known {
                Some(known) if !known.readable => Err(Exception::type_error(format!(
                    "the property '{member}' can be set and not read"
                ))),
                _ => Ok(Operation::GetAttr(member.to_owned())),
            };
        }
        if !is_in(&metadata.methods) {
            return Err(Exception::new(
                "builtins.AttributeError",
                format!("there is no exposed member '{member}'"),
            ));
        }
        if known.is_some_and(|known| known.kind == MemberKind::Stream) {
            let text = format!("'{member}' returns a stream, which is no live value");
            return Err(Exception::type_error(text));
        }
        let parameters = known.and_then(|known| known.parameters.as_deref()).unwrap_or_default();
        let required = parameters.iter().filter(|one| one.required && one.is_single());
        let required: Vec<&str> = required.map(|one| one.name.as_str()).collect();
        if !required.is_empty() {
            let names = required.join(", ");
            let text = format!("'{member}' cannot be called without arguments: it needs {names}");
            return Err(Exception::type_error(text));
        }
        let (args, kwargs) = (Vec::new(), Vec::new());
        Ok(Operation::Call(MethodCall { method: member.to_owned(), args, kwargs }))
    }

    /// The name of the member, for logs and errors.
    pub fn name(&self) -> &str {
        match self {
            Operation::Call(call) => &call.method,
            Operation::GetAttr(name) | Operation::SetAttr(name, _) => name,
            Operation::Batch(_) => "<batch>",
            Operation::Blob(blob) => &blob.method,
        }
    }

    /// The operation, if its values are within the limits. Of a batch only the calls before the
    /// first one that is not, with the exception for that one: a batch ends where a call raises.
    ///
    /// # Errors
    /// A value is out of its limit; for a batch, it cannot be read.
    pub fn within(self, limits: &ValueLimits) -> Result<(Operation, Option<Exception>), Exception> {
        match &self {
            Operation::Call(call) => call.check(limits)?,
            Operation::SetAttr(name, value) => limits.check_set(name, value)?,
            Operation::GetAttr(_) => {}
            Operation::Blob(blob) => {
                // The arguments of most blobs need not be read.
                if limits.has(&blob.method) {
                    let read = Limits { memory: CHECKED_BLOB_BYTES, ..Limits::default() };
                    // The method gets the blob as its first argument, whatever is in it.
                    let content = blob.deserialized(&read)?;
                    limits.check_call(&blob.method, std::slice::from_ref(&content), &[])?;
                }
            }
            Operation::Batch(calls) => {
                let refused = |(index, call): (usize, &MethodCall)| {
                    call.check(limits).err().map(|refused| (index, refused))
                };
                if let Some((index, refused)) = calls.iter().enumerate().find_map(refused) {
                    let Operation::Batch(mut calls) = self else { return Err(refused) };
                    calls.truncate(index);
                    return Ok((Operation::Batch(calls), Some(refused)));
                }
            }
        }
        Ok((self, None))
    }

    /// The `AttributeError` for a member that is private, not exposed or not there, in Pyro5's
    /// words.
    pub fn unexposed(&self) -> Exception {
        match self {
            Operation::Call(call) => unexposed_method(&call.method),
            Operation::GetAttr(name) | Operation::SetAttr(name, _) => Exception::attribute_error(
                format!("attempt to access unexposed or unknown remote attribute '{name}'"),
            ),
            Operation::Batch(_) => Exception::type_error("a batch cannot be called as one method"),
            Operation::Blob(blob) => Exception::type_error(format!(
                "{}() takes no SerializedBlob; call it with plain arguments",
                blob.method
            )),
        }
    }
}

/// The `AttributeError` for a method that cannot be called, in Pyro5's words.
pub(crate) fn unexposed_method(name: &str) -> Exception {
    let kind = if is_private(name) { "private" } else { "unexposed" };
    Exception::attribute_error(format!("attempt to access {kind} attribute '{name}'"))
}

/// Names of Python's data model that Pyro5 counts as private, without their underscores.
#[rustfmt::skip]
const PRIVATE_DUNDERS: [&str; 42] = [
    "bool", "call", "class", "cmp", "coerce", "copy", "deepcopy", "del", "delattr", "dir", "enter",
    "eq", "exit", "format", "ge", "getattr", "getattribute", "getinitargs", "getnewargs",
    "getstate", "gt", "hasattr", "hash", "init", "init_subclass", "instancecheck", "le", "lt",
    "module", "ne", "new", "nonzero", "reduce", "reduce_ex", "repr", "setattr", "setstate",
    "sizeof", "str", "subclasscheck", "subclasshook", "weakref",
];

/// Whether Pyro5 counts a name as private: it begins with an underscore and is not one of those
/// double-underscore names of Python's data model that may be called.
fn is_private(name: &str) -> bool {
    let dunder = name.strip_prefix("__").and_then(|rest| rest.strip_suffix("__"));
    match dunder.filter(|inner| !inner.is_empty()) {
        Some(inner) => PRIVATE_DUNDERS.binary_search(&inner).is_ok(),
        None => name.starts_with('_'),
    }
}

/// A method with its arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct MethodCall {
    /// The method's name.
    pub method: String,
    /// Positional arguments.
    pub args: Vec<Value>,
    /// Keyword arguments.
    pub kwargs: Vec<(String, Value)>,
}

impl MethodCall {
    fn check(&self, limits: &ValueLimits) -> Result<(), Exception> {
        limits.check_call(&self.method, &self.args, &self.kwargs)
    }
}

/// A call whose argument stays as the caller serialized it, for objects that only pass it on.
#[derive(Clone, Debug, PartialEq)]
pub struct Blob {
    /// The method's name.
    pub method: String,
    /// The caller's description of the blob.
    pub info: Value,
    /// The serialized call, as it came.
    pub payload: Vec<u8>,
    /// The serializer of the payload.
    pub serializer: Serializer,
}

impl Blob {
    /// A call of `method` with `args` that a gateway can pass on without deserializing it.
    ///
    /// # Errors
    /// The arguments cannot be serialized.
    pub fn new(
        method: &str,
        info: Value,
        args: &[Value],
        serializer: Serializer,
    ) -> Result<Self, Exception> {
        let mut payload = Vec::new();
        let call = CallRef { object: "", method, args, kwargs: &[] };
        serializer
            .encode_call(call, &mut payload)
            .map_err(|error| Exception::new(error.class(), error.to_string()))?;
        Ok(Blob { method: method.to_owned(), info, payload, serializer })
    }

    /// The content of the blob: of one that [`new`](Self::new) has made, a list or tuple.
    ///
    /// # Errors
    /// The payload cannot be read, or is no call.
    pub fn deserialized(&self, limits: &Limits) -> Result<Value, Exception> {
        let not_one = || Exception::serialize_error("the blob carries no call");
        let mut content = self
            .serializer
            .decode(&self.payload, limits)
            .map_err(|error| Exception::serialize_error(format!("cannot read a blob: {error}")))?;
        match &mut content {
            Value::List(parts) | Value::Tuple(parts) if parts.len() == 4 => Ok(parts.remove(2)),
            Value::Dict(call) => call.remove("params").ok_or_else(not_one),
            _ => Err(not_one()),
        }
    }
}

#[cfg(test)]
mod tests {
    use wire::value::Dict;

    use super::*;
    use crate::card::{Card, MemberFacts, ValueInfo};

    #[test]
    fn limits_hold_for_the_content_of_a_blob() {
        let value = ValueInfo { maximum: Some(5.0), ..ValueInfo::default() };
        let facts = MemberFacts { name: "m".into(), value, ..MemberFacts::default() };
        let limits = ValueLimits::of("lab.s", &Card::default(), &[facts]).unwrap();
        let check = |method: &str, content: Value| {
            let dict = Value::Dict(Dict::new());
            let call = Value::Tuple(vec!["lab.s".into(), method.into(), content, dict]);
            let mut payload = Vec::new();
            Serializer::Serpent.encode(&call, &mut payload).unwrap();
            let (info, serializer) = (Value::None, Serializer::Serpent);
            let blob = Blob { method: method.to_owned(), info, payload, serializer };
            Operation::Blob(blob).within(&limits).map(drop).map_err(|refused| refused.message())
        };
        let dict: Dict = [("x", Value::from(9))].into_iter().collect();
        let large = Value::List(vec![Value::from(1); CHECKED_BLOB_BYTES / size_of::<Value>() + 1]);
        for (content, text) in [
            (Value::from(9), "must be at most 5, not 9"),
            (Value::List(vec![1.into(), 9.into()]), "must be at most 5, not 9"),
            (Value::Dict(dict), "must be a number, at most 5, not {'x': 9}"),
            (large.clone(), "cannot read a blob"),
        ] {
            let refused = check("m", content).unwrap_err();
            assert!(refused.contains(text), "{refused}");
        }
        assert_eq!(check("m", Value::List(vec![1.into(), 5.into()])), Ok(()));
        assert_eq!(check("other", large), Ok(()));
    }

    #[test]
    fn private_names_are_told_from_unexposed_ones_as_by_pyro5() {
        assert!(PRIVATE_DUNDERS.is_sorted());
        for (name, kind) in [
            ("reset", "unexposed"),
            ("__len__", "unexposed"),
            ("_reset", "private"),
            ("__reset", "private"),
            ("____", "private"),
            ("__init__", "private"),
            ("__weakref__", "private"),
        ] {
            let told = format!("attempt to access {kind} attribute '{name}'");
            assert_eq!(unexposed_method(name).message(), told);
        }
    }
}
