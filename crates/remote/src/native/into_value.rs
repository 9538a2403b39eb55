//! Conversion of a native method's result into the value for its caller.
//!
//! The error of a `Result` becomes an exception ([`IntoException`]).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use wire::exception::Exception;
use wire::uri::Uri;
use wire::value::{Array, Dict, Set, Value};

use crate::card::Type;
use crate::native::IntoException;
use crate::object::{CallResult, Reply};

/// Type of a remote method's result, or of a stream's item.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be returned by a remote method",
    label = "has no form in Python",
    note = "results are `()`, numbers, `bool`, strings, `Vec`, `Option`, tuples, maps, sets, \
            `remote::Array`, `remote::Value`, a type of yours that implements `remote::IntoValue`, or a `Result` of \
            one of them"
)]
pub trait IntoValue: Sized {
    /// The value for the caller.
    fn into_value(self) -> Value;

    /// The type in Python's terms, for the service card.
    fn python_type() -> Type {
        Type::Any
    }

    /// The type of a list of values. Only a list of `u8` has another one: `bytes`.
    #[doc(hidden)]
    fn sequence_type() -> Type {
        Type::List(Box::new(Self::python_type()))
    }

    /// Converts a list of values. Only a list of `u8` has another form: `bytes`.
    #[doc(hidden)]
    fn sequence_into_value(items: Vec<Self>) -> Value {
        Value::List(items.into_iter().map(IntoValue::into_value).collect())
    }
}

/// Outcome of a remote method: a value, a [`Reply`] with annotations, or a `Result` of either.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be returned by a remote method",
    label = "has no form in Python"
)]
pub trait IntoResult {
    /// The answer to the call.
    ///
    /// # Errors
    /// The exception of the method.
    fn into_result(self) -> CallResult;

    /// The type of the result in Python's terms, for the service card.
    fn python_type() -> Type {
        Type::Any
    }
}

impl<T: IntoValue> IntoResult for T {
    fn python_type() -> Type {
        <T as IntoValue>::python_type()
    }

    fn into_result(self) -> CallResult {
        Ok(Reply::from(self.into_value()))
    }
}

impl IntoResult for Reply {
    fn into_result(self) -> CallResult {
        Ok(self)
    }
}

impl<T: IntoResult, E: IntoException> IntoResult for Result<T, E> {
    fn python_type() -> Type {
        T::python_type()
    }

    fn into_result(self) -> CallResult {
        match self {
            Ok(result) => result.into_result(),
            Err(error) => Err(error.into_exception()),
        }
    }
}

macro_rules! by_value_from {
    ($($type:ty = $kind:expr;)*) => {$(
        impl IntoValue for $type {
            fn python_type() -> Type {
                $kind
            }

            fn into_value(self) -> Value {
                Value::from(self)
            }

            // Not the trait's: that one is compiled in the crate of the service, which may be
            // compiled for its size.
            fn sequence_into_value(items: Vec<Self>) -> Value {
                Value::List(items.into_iter().map(Value::from).collect())
            }
        }
    )*};
}

by_value_from! {
    () = Type::None;
    bool = Type::Bool;
    f64 = Type::Float;
    Array = Type::Any;
    i8 = Type::Int;
    i16 = Type::Int;
    i32 = Type::Int;
    i64 = Type::Int;
    u16 = Type::Int;
    u32 = Type::Int;
    u64 = Type::Int;
    usize = Type::Int;
    String = Type::Str;
    &str = Type::Str;
    Dict = Type::Dict(Box::default());
}

impl IntoValue for Value {
    fn into_value(self) -> Value {
        self
    }
}

impl IntoValue for u8 {
    fn python_type() -> Type {
        Type::Int
    }

    fn sequence_type() -> Type {
        Type::Bytes
    }

    fn into_value(self) -> Value {
        Value::from(self)
    }

    fn sequence_into_value(items: Vec<Self>) -> Value {
        Value::Bytes(items)
    }
}

impl IntoValue for isize {
    fn python_type() -> Type {
        Type::Int
    }

    fn into_value(self) -> Value {
        Value::Int(self as i64)
    }
}

impl IntoValue for f32 {
    fn python_type() -> Type {
        Type::Float
    }

    fn into_value(self) -> Value {
        Value::Float(f64::from(self))
    }
}

impl IntoValue for char {
    fn python_type() -> Type {
        Type::Str
    }

    fn into_value(self) -> Value {
        Value::Str(self.into())
    }
}

impl IntoValue for Cow<'_, str> {
    fn python_type() -> Type {
        Type::Str
    }

    fn into_value(self) -> Value {
        Value::Str(self.into_owned())
    }
}

/// Seconds.
impl IntoValue for Duration {
    fn python_type() -> Type {
        Type::Float
    }

    fn into_value(self) -> Value {
        Value::Float(self.as_secs_f64())
    }
}

impl IntoValue for Uri {
    fn into_value(self) -> Value {
        self.to_value()
    }
}

/// Exception that is returned instead of raised.
impl IntoValue for Exception {
    fn into_value(self) -> Value {
        self.to_value()
    }
}

impl<T: IntoValue + Clone> IntoValue for &T {
    fn python_type() -> Type {
        T::python_type()
    }

    fn into_value(self) -> Value {
        self.clone().into_value()
    }
}

impl<T: IntoValue> IntoValue for Box<T> {
    fn python_type() -> Type {
        T::python_type()
    }

    fn into_value(self) -> Value {
        (*self).into_value()
    }
}

impl<T: IntoValue> IntoValue for Option<T> {
    fn python_type() -> Type {
        T::python_type().or_none()
    }

    fn into_value(self) -> Value {
        self.map_or(Value::None, IntoValue::into_value)
    }
}

impl<T: IntoValue> IntoValue for Vec<T> {
    fn python_type() -> Type {
        T::sequence_type()
    }

    fn into_value(self) -> Value {
        T::sequence_into_value(self)
    }
}

impl<T: IntoValue + Clone> IntoValue for &[T] {
    fn python_type() -> Type {
        T::sequence_type()
    }

    fn into_value(self) -> Value {
        T::sequence_into_value(self.to_vec())
    }
}

impl<T: IntoValue, const N: usize> IntoValue for [T; N] {
    fn python_type() -> Type {
        T::sequence_type()
    }

    fn into_value(self) -> Value {
        T::sequence_into_value(self.into())
    }
}

fn dict<K: IntoValue, V: IntoValue>(entries: impl IntoIterator<Item = (K, V)>) -> Value {
    let entries = entries.into_iter();
    Value::Dict(entries.map(|(key, value)| (key.into_value(), value.into_value())).collect())
}

fn set<T: IntoValue>(members: impl IntoIterator<Item = T>) -> Value {
    Value::Set(members.into_iter().map(IntoValue::into_value).collect::<Set>())
}

impl<K: IntoValue, V: IntoValue, S> IntoValue for HashMap<K, V, S> {
    fn python_type() -> Type {
        Type::Dict(Box::new((K::python_type(), V::python_type())))
    }

    fn into_value(self) -> Value {
        dict(self)
    }
}

impl<K: IntoValue, V: IntoValue> IntoValue for BTreeMap<K, V> {
    fn python_type() -> Type {
        Type::Dict(Box::new((K::python_type(), V::python_type())))
    }

    fn into_value(self) -> Value {
        dict(self)
    }
}

impl<T: IntoValue, S> IntoValue for HashSet<T, S> {
    fn python_type() -> Type {
        Type::Set(Box::new(T::python_type()))
    }

    fn into_value(self) -> Value {
        set(self)
    }
}

impl<T: IntoValue> IntoValue for BTreeSet<T> {
    fn python_type() -> Type {
        Type::Set(Box::new(T::python_type()))
    }

    fn into_value(self) -> Value {
        set(self)
    }
}

macro_rules! tuples {
    ($(($($name:ident),+))*) => {$(
        impl<$($name: IntoValue),+> IntoValue for ($($name,)+) {
            fn python_type() -> Type {
                Type::Tuple(vec![$($name::python_type()),+])
            }

            fn into_value(self) -> Value {
                #[expect(non_snake_case, reason = "a value of each type, under its name")]
                let ($($name,)+) = self;
                Value::Tuple(vec![$($name.into_value()),+])
            }
        }
    )*};
}

tuples! { (A) (A, B) (A, B, C) (A, B, C, D) (A, B, C, D, E) (A, B, C, D, E, F) }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_look_as_python_prints_them() {
        let cases = [
            (().into_value(), "None"),
            ((1_u8, 2.5_f32, "x").into_value(), "(1, 2.5, 'x')"),
            (vec![1_u8, 2].into_value(), "b'\\x01\\x02'"),
            (vec![1_i32, 2].into_value(), "[1, 2]"),
            ([Some(1.0), None].into_value(), "[1.0, None]"),
            (BTreeMap::from([("a", vec!['x'])]).into_value(), "{'a': ['x']}"),
            (BTreeSet::from([1, 2]).into_value(), "{1, 2}"),
            (Duration::from_millis(1500).into_value(), "1.5"),
            (u64::MAX.into_value(), "18446744073709551615"),
        ];
        for (value, expected) in cases {
            assert_eq!(value.to_string(), expected);
        }
    }
}
