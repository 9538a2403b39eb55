//! A plain Rust struct as a remote object, by a table of its members.
//!
//! Owns the way from a request to the function that a table names for it.

use std::sync::Arc;

use remote::{
    Answer, Exception, Metadata, MethodCall, Object, Operation, Request, Session, Signature, Value,
    batch_now,
};

/// A method's function: the arguments as [`Signature::bind`] leaves them.
pub(crate) type MethodFn<T> = fn(&T, MethodCall) -> Result<Value, Exception>;

/// What of `T` can be used remotely.
pub(crate) struct Members<T: 'static> {
    pub(crate) methods: &'static [(&'static str, MethodFn<T>)],
    pub(crate) properties: &'static [Property<T>],
}

/// A property: how it is read, and how it is set where that is possible.
pub(crate) struct Property<T: 'static> {
    pub(crate) name: &'static str,
    pub(crate) get: fn(&T) -> Value,
    pub(crate) set: Option<fn(&T, Value) -> Result<(), Exception>>,
}

/// A `T` served by its table; one instance for everybody.
pub(crate) struct Native<T: 'static> {
    pub(crate) state: T,
    pub(crate) members: Members<T>,
}

impl<T: Send + Sync> Native<T> {
    fn property(&self, operation: &Operation, name: &str) -> Result<&Property<T>, Exception> {
        self.members
            .properties
            .iter()
            .find(|property| property.name == name)
            .ok_or_else(|| operation.unexposed())
    }

    fn call_method(&self, call: MethodCall) -> Result<Value, Exception> {
        match self.members.methods.iter().find(|(name, _)| *name == call.method) {
            Some((_, method)) => method(&self.state, call),
            None => Err(Operation::Call(call).unexposed()),
        }
    }

    fn set(&self, operation: &Operation, name: &str, value: Value) -> Result<Value, Exception> {
        let property = self.property(operation, name)?;
        let set = property.set.ok_or_else(|| operation.unexposed())?;
        set(&self.state, value)?;
        Ok(Value::None)
    }
}

impl<T: Send + Sync> Object for Native<T> {
    fn metadata(&self) -> Result<Metadata, Exception> {
        Ok(Metadata {
            methods: self.members.methods.iter().map(|(name, _)| (*name).to_owned()).collect(),
            oneway: Vec::new(),
            attrs: self.members.properties.iter().map(|member| member.name.to_owned()).collect(),
        })
    }

    fn call(&self, _session: &Arc<Session>, request: Request) -> Answer {
        match request.operation {
            Operation::Call(call) => Answer::from(self.call_method(call)),
            Operation::Batch(calls) => batch_now(calls, |call| self.call_method(call)),
            ref operation @ Operation::GetAttr(ref name) => Answer::from(
                self.property(operation, name).map(|property| (property.get)(&self.state)),
            ),
            ref operation @ Operation::SetAttr(ref name, ref value) => {
                Answer::from(self.set(operation, name, value.clone()))
            }
        }
    }
}

/// Refuses arguments, for a method without any, and returns what `value` gives.
pub(crate) fn plain(
    signature: Signature,
    call: MethodCall,
    value: impl FnOnce() -> Value,
) -> Result<Value, Exception> {
    let [] = signature.bind(call)?;
    Ok(value())
}

/// A finite number, for a property or an argument in `unit`.
pub(crate) fn number(value: &Value, what: &str, unit: &str) -> Result<f64, Exception> {
    let number = match value {
        Value::Bool(_) => None,
        other => other.as_f64(),
    };
    match number {
        Some(number) if number.is_finite() => Ok(number),
        Some(number) => Err(Exception::value_error(format!(
            "{what} must be a finite number of {unit}, not {number}"
        ))),
        None => Err(Exception::type_error(format!(
            "{what} must be a number of {unit}, not {}",
            value.type_name()
        ))),
    }
}
