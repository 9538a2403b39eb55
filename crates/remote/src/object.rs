//! What a daemon serves: the `Object` trait and the words of one call.
//!
//! Owns the shape of a request and of its answer. Knows nothing of sockets, frames or serializers'
//! bytes: a request arrives here decoded, an answer leaves here as a value.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use wire::Limits;
use wire::exception::Exception;
use wire::message::{Annotations, Flags};
use wire::serializer::{CallRef, Serializer};
use wire::value::{Dict, Value};

use crate::admission::answer_budget::{AnswerRoom, Unread};
use crate::admission::request_budget::Held;
use crate::items::{Item, ItemStream};
use crate::serialized::Serialized;
use crate::session::Session;

/// A boxed future that lives as long as it needs to.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// What [`Object::bring_to_rest`] comes to.
pub type Rested = BoxFuture<Result<bool, Exception>>;

/// Something that a daemon serves under an object id.
///
/// The daemon calls `call` for one request of a connection at a time, and for several connections
/// concurrently (`thread`) or one after the other (`multiplex`).
pub trait Object: Send + Sync + 'static {
    /// The members that a proxy may use, told to it in the handshake.
    ///
    /// # Errors
    /// The reason why this object cannot be used now; the handshake is then refused with its text.
    fn metadata(&self) -> Result<Metadata, Exception>;

    /// Carries out one request of `session`.
    ///
    /// A private name, an unexposed member or an unknown one is the object's to refuse.
    fn call(&self, session: &Arc<Session>, request: Request) -> Answer;

    /// What carries out the entries of one batch, where that is something else: what makes an
    /// instance for each call makes one for a batch. It goes when the batch has ended.
    ///
    /// # Errors
    /// There can be none.
    fn for_batch(&self, _session: &Arc<Session>) -> Result<Option<Arc<dyn Object>>, Exception> {
        Ok(None)
    }

    /// Whether `method` is how a lock is broken. That must be possible when everything else hangs: it
    /// waits for no call, and in a daemon with locks a few further connections are let in for it.
    fn breaks_locks(&self, _method: &str) -> bool {
        false
    }

    /// Calls a method that brings the instrument to a safe state, because `session` has lost its
    /// lock: without regard to what is exposed. False where there is nothing to be brought there.
    fn bring_to_rest(&self, session: &Arc<Session>, method: &str) -> Rested {
        let call = MethodCall { method: method.to_owned(), args: Vec::new(), kwargs: Vec::new() };
        let context = Context::of_our_own();
        let answer = self.call(session, Request { operation: Operation::Call(call), context });
        Box::pin(async move { answer.wait().await.map(|_| true) })
    }

    /// Whether `session` may have something of its own here that comes to rest when it ends, whether
    /// it had the lock or not.
    fn rests_at_end(&self, _session: &Session) -> bool {
        false
    }

    /// Brings that to rest, since `session` is about to end; or sees to it that it is not, since
    /// another has the lock and drives the same instrument.
    fn leave(&self, _session: &Arc<Session>, _rests: bool) -> BoxFuture<()> {
        Box::pin(async {})
    }

    /// The connection of `session` has ended: instances, handles and streams it owned go now.
    fn session_ended(&self, _session: &Session) {}
}

/// Names of an object's remote members, as Pyro5's metadata has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Methods that can be called, the oneway ones included.
    pub methods: Vec<String>,
    /// Methods whose callers do not wait for an answer.
    pub oneway: Vec<String>,
    /// Properties that can be read or set.
    pub attrs: Vec<String>,
    /// The documentation of members, by their names. Pyro5's metadata has none: the handshake goes
    /// without, `Pyro.Daemon`'s `get_metadata` tells it to who asks.
    pub docs: Vec<(String, String)>,
}

impl Metadata {
    /// Metadata of an object that has methods only.
    pub fn methods<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        Metadata { methods: names.into_iter().map(Into::into).collect(), ..Metadata::default() }
    }

    /// What a daemon told of an object; unknown parts count as empty.
    pub fn from_value(value: &Value) -> Self {
        let names = |key: &str| -> Vec<String> {
            let text = |name: &Value| name.as_str().map(str::to_owned);
            match value.as_dict().and_then(|dict| dict.get(key)) {
                Some(Value::Set(names) | Value::FrozenSet(names)) => {
                    names.iter().filter_map(text).collect()
                }
                Some(names) => {
                    names.as_list().unwrap_or_default().iter().filter_map(text).collect()
                }
                None => Vec::new(),
            }
        };
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let docs = value.as_dict().and_then(|dict| dict.get("docs")).and_then(Value::as_dict);
        let docs = docs.into_iter().flat_map(Dict::iter);
        Metadata {
            methods: names("methods"),
            oneway: names("oneway"),
            attrs: names("attrs"),
            docs: docs.filter_map(|(name, doc)| Some((text(name)?, text(doc)?))).collect(),
        }
    }

    /// Whether nothing can be called or read.
    pub fn is_empty(&self) -> bool {
        self.methods.is_empty() && self.attrs.is_empty()
    }

    /// The dict that proxies read: sets of names, as Pyro5 sends them.
    pub fn to_value(&self) -> Value {
        let names = |names: &[String]| {
            Value::Set(names.iter().map(|name| Value::from(name.as_str())).collect())
        };
        let mut dict = Dict::with_capacity(3);
        dict.insert("methods", names(&self.methods));
        dict.insert("oneway", names(&self.oneway));
        dict.insert("attrs", names(&self.attrs));
        Value::Dict(dict)
    }

    /// The same dict, with the documentation under `docs` where there is some. Stock clients read
    /// the other entries and overlook this one.
    pub fn to_documented_value(&self) -> Value {
        let mut value = self.to_value();
        if let (Value::Dict(dict), false) = (&mut value, self.docs.is_empty()) {
            let docs = self.docs.iter().map(|(name, doc)| (name.as_str(), doc.as_str()));
            dict.insert("docs", docs.collect::<Dict>());
        }
        value
    }
}

/// One request, decoded.
#[derive(Clone, Debug)]
pub struct Request {
    /// What to do.
    pub operation: Operation,
    /// What came along with it.
    pub context: Context,
}

/// What a request asks for.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Call a method.
    Call(MethodCall),
    /// Read a property.
    GetAttr(String),
    /// Set a property.
    SetAttr(String, Value),
    /// Call several methods in order, stopping behind the first that raises.
    ///
    /// The answer is a list with a result for each call made; an exception stands in its place
    /// as [`wire::exception::wrap_in_batch`] makes it.
    Batch(Vec<MethodCall>),
    /// Call a method with one argument that stays serialized (Pyro5's `SerializedBlob`).
    Blob(Blob),
}

impl Operation {
    /// What the request is about, for logs and errors.
    pub fn name(&self) -> &str {
        match self {
            Operation::Call(call) => &call.method,
            Operation::GetAttr(name) | Operation::SetAttr(name, _) => name,
            Operation::Batch(_) => "<batch>",
            Operation::Blob(blob) => &blob.method,
        }
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

/// What of Python's data model Pyro5 counts as private, between its underscores.
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

/// A call whose argument stays as the caller serialized it, for objects that only pass it on.
#[derive(Clone, Debug, PartialEq)]
pub struct Blob {
    /// The method's name.
    pub method: String,
    /// What the caller says of the blob.
    pub info: Value,
    /// The serialized call, as it came.
    pub payload: Vec<u8>,
    /// What it is serialized with.
    pub serializer: Serializer,
}

impl Blob {
    /// A call of `method` with `args` that whoever passes it on need not deserialize.
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

    /// The arguments that the blob carries, as a list or tuple.
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

/// What accompanies a request (Pyro5's `current_context`).
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
    /// The room that the request takes, where it is large. Dropped when its arguments are.
    pub(crate) held: Option<Arc<Held>>,
    /// Where the answer gets room, where a client waits for it.
    pub(crate) unread: Option<Arc<Unread>>,
    /// Whether it may still begin.
    pub leave: Leave,
}

/// The word whether a call may still begin. An object that lets a call wait asks for it when its
/// wait is over: the lock may have changed hands since the call came.
#[derive(Clone, Default)]
pub struct Leave(Option<Arc<dyn Fn() -> Result<(), Exception> + Send + Sync>>);

impl Leave {
    pub(crate) fn by(ask: impl Fn() -> Result<(), Exception> + Send + Sync + 'static) -> Self {
        Leave(Some(Arc::new(ask)))
    }

    /// Asks.
    ///
    /// # Errors
    /// The call must not begin any more.
    pub fn ask(&self) -> Result<(), Exception> {
        self.0.as_ref().map_or(Ok(()), |ask| ask())
    }
}

impl std::fmt::Debug for Leave {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Leave").field(&self.0.is_some()).finish()
    }
}

impl Context {
    /// That of a call which no client has made.
    pub fn of_our_own() -> Self {
        Context {
            serializer: Serializer::Serpent,
            flags: Flags::default(),
            seq: 0,
            correlation_id: uuid::Uuid::new_v4().into_bytes(),
            annotations: Annotations::new(),
            held: None,
            unread: None,
            leave: Leave::default(),
        }
    }

    /// Room in memory for a large answer, to be taken before that is made and to go along with it
    /// as [`Reply::room`]; `None` where nobody waits for one.
    pub fn answer_room(&self) -> Option<AnswerRoom> {
        self.unread.as_ref().filter(|_| !self.is_oneway()).map(Unread::room)
    }

    /// Whether the caller waits for no answer.
    pub fn is_oneway(&self) -> bool {
        self.flags.contains(Flags::ONEWAY)
    }
}

/// A successful answer.
pub struct Reply {
    /// What the caller gets.
    pub body: ReplyBody,
    /// Annotations to send along.
    pub annotations: Annotations,
    /// The room that the answer has taken, where it is large; given back when it is sent.
    pub room: Option<AnswerRoom>,
}

/// The content of a [`Reply`].
pub enum ReplyBody {
    /// A value.
    Value(Value),
    /// A large value as the request's serializer writes it.
    Serialized(Serialized),
    /// An iterator, whose items the caller fetches one by one.
    Stream(Box<dyn ItemStream>),
}

/// What a call comes to.
pub type CallResult = Result<Reply, Exception>;

/// The answer to a request: there at once, or later.
///
/// `Ready` spares the quick calls of native objects a boxed future each.
pub enum Answer {
    /// The call is done.
    Ready(CallResult),
    /// The call goes on; dropping the future does not undo what it has begun.
    Pending(BoxFuture<CallResult>),
}

impl Answer {
    /// A finished call that returned `value`.
    pub fn value(value: impl Into<Value>) -> Self {
        Answer::Ready(Ok(Reply::from(value.into())))
    }

    /// A finished call that raised `exception`.
    pub fn exception(exception: Exception) -> Self {
        Answer::Ready(Err(exception))
    }

    /// The same, with `room` taken until the call is done: its arguments are the object's now.
    pub(crate) fn keeping(self, room: Option<Arc<Held>>) -> Self {
        match (self, room) {
            (Answer::Pending(call), Some(room)) => Answer::Pending(Box::pin(async move {
                let _room = room;
                call.await
            })),
            (answer, _) => answer,
        }
    }

    /// The call's result, waited for where it is not there yet.
    pub async fn wait(self) -> CallResult {
        match self {
            Answer::Ready(result) => result,
            Answer::Pending(future) => future.await,
        }
    }
}

impl From<Value> for Reply {
    fn from(value: Value) -> Self {
        Reply { body: ReplyBody::Value(value), annotations: Annotations::new(), room: None }
    }
}

impl From<Item> for Reply {
    fn from(Item { value, annotations }: Item) -> Self {
        Reply { body: ReplyBody::Value(value), annotations, room: None }
    }
}

impl From<Result<Value, Exception>> for Answer {
    fn from(result: Result<Value, Exception>) -> Self {
        Answer::Ready(result.map(Reply::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
