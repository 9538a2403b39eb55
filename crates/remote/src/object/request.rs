//! One decoded request: a method call, a property, a batch, or a call that stays serialized.
//!
//! Also Pyro5's rule for private names. Knows neither sockets nor the bytes of frames.

use wire::Limits;
use wire::exception::Exception;
use wire::serializer::{CallRef, Serializer};
use wire::value::Value;

use crate::card::ValueLimits;
use crate::object::context::Context;

/// One request, decoded.
#[derive(Clone, Debug)]
pub struct Request {
    /// The operation.
    pub operation: Operation,
    /// Serializer, annotations and the like.
    pub context: Context,
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
                    let args = blob.deserialized(&Limits::default())?;
                    limits.check_call(&blob.method, args.as_list().unwrap_or_default(), &[])?;
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
