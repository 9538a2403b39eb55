//! Conversion of a caller's argument into the Rust type of a native method's parameter.
//!
//! It is strict, because a mistake would reach an instrument: a `bool` is not a number, and a
//! number out of a type's range is refused.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::time::Duration;

use wire::exception::Exception;
use wire::value::{Array, Dict, Value};

use crate::card::Type;

/// Type of a remote method's parameter.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a remote method",
    label = "cannot be made from a Python value",
    note = "arguments are numbers, `bool`, `String` or `&str`, `Vec`, `Option`, tuples, maps, sets, \
            `remote::Array`, `remote::Value`, or a type of yours that implements `remote::FromValue`"
)]
pub trait FromValue: Sized {
    /// Converts the value.
    ///
    /// # Errors
    /// The value has another type, or is out of this type's range.
    fn from_value(value: Value) -> Result<Self, Mismatch>;

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
    fn from_sequence(value: Value) -> Result<Vec<Self>, Mismatch> {
        match as_list(value) {
            Value::List(items) | Value::Tuple(items) => convert_items(items),
            other => Err(Mismatch::expected("a list", &other)),
        }
    }
}

/// Why a value cannot be converted: the expected type or range, and the given value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    class: &'static str,
    /// Path within the argument, such as `[3]['volts']`.
    path: String,
    text: String,
}

impl Mismatch {
    /// A `TypeError`: a value of another type. `expected` completes "must be {expected}".
    pub fn expected(expected: &str, found: &Value) -> Self {
        let found = match found {
            Value::SurrogateStr(_) => "a text with lone surrogates",
            other => other.type_name(),
        };
        let text = format!("must be {expected}, not {found}");
        Mismatch { class: "builtins.TypeError", path: String::new(), text }
    }

    /// A `ValueError`: a value that is not allowed. `text` is such as "must be 1 to 4, not 5".
    pub fn invalid(text: impl Into<String>) -> Self {
        Mismatch { class: "builtins.ValueError", path: String::new(), text: text.into() }
    }

    /// Prepends the key of a container to the path.
    #[must_use]
    pub fn within(mut self, key: impl std::fmt::Display) -> Self {
        self.path = format!("[{key}]{}", self.path);
        self
    }

    /// The exception for the caller; `subject` names the parameter.
    pub fn into_exception(self, subject: &str) -> Exception {
        Exception::new(self.class, format!("{subject}{} {}", self.path, self.text))
    }
}

impl FromValue for Value {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        Ok(value)
    }
}

impl FromValue for bool {
    fn python_type() -> Type {
        Type::Bool
    }

    fn from_value(value: Value) -> Result<Self, Mismatch> {
        value.as_bool().ok_or_else(|| Mismatch::expected("True or False", &value))
    }
}

macro_rules! ints {
    ($($int:ident)*) => {$(
        impl FromValue for $int {
            fn python_type() -> Type {
                Type::Int
            }

            fn from_value(value: Value) -> Result<Self, Mismatch> {
                convert_int(&value, &(<$int>::MIN, <$int>::MAX))
            }
        }
    )*};
}

ints!(i8 i16 i32 i64 isize u16 u32 u64 usize);

impl FromValue for u8 {
    fn python_type() -> Type {
        Type::Int
    }

    fn sequence_type() -> Type {
        Type::Bytes
    }

    fn from_value(value: Value) -> Result<Self, Mismatch> {
        convert_int(&value, &(u8::MIN, u8::MAX))
    }

    fn from_sequence(value: Value) -> Result<Vec<Self>, Mismatch> {
        match as_list(value) {
            Value::Bytes(bytes) => Ok(bytes),
            Value::List(items) | Value::Tuple(items) => convert_items(items),
            // Serpent writes bytes as a dict.
            other => {
                wire::serpent::to_bytes(&other).ok_or_else(|| Mismatch::expected("bytes", &other))
            }
        }
    }
}

/// An array as the list that stands for it; other values as they are.
fn as_list(value: Value) -> Value {
    match value {
        Value::Array(array) => array.to_list().unwrap_or(Value::Array(array)),
        other => other,
    }
}

impl FromValue for Arc<Array> {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        match value {
            Value::Array(array) => Ok(array),
            other => Err(Mismatch::expected("a numpy array", &other)),
        }
    }
}

impl FromValue for Array {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        Arc::from_value(value).map(Arc::unwrap_or_clone)
    }
}

fn convert_items<T: FromValue>(items: Vec<Value>) -> Result<Vec<T>, Mismatch> {
    let convert = |(index, item)| T::from_value(item).map_err(|mismatch| mismatch.within(index));
    items.into_iter().enumerate().map(convert).collect()
}

fn convert_int<T>(value: &Value, (least, most): &(T, T)) -> Result<T, Mismatch>
where
    T: TryFrom<i64> + TryFrom<u64> + std::fmt::Display,
{
    let fits = match value {
        Value::Int(int) => T::try_from(*int).ok(),
        Value::BigInt(int) => {
            u64::try_from(int.as_ref()).ok().and_then(|int| T::try_from(int).ok())
        }
        other => return Err(Mismatch::expected("an int", other)),
    };
    fits.ok_or_else(|| Mismatch::invalid(format!("must be {least} to {most}, not {value}")))
}

impl FromValue for f64 {
    fn python_type() -> Type {
        Type::Float
    }

    fn from_value(value: Value) -> Result<Self, Mismatch> {
        match &value {
            Value::Float(float) => Ok(*float),
            Value::Int(int) => Ok(*int as f64),
            Value::BigInt(_) => value
                .as_f64()
                .filter(|float| float.is_finite())
                .ok_or_else(|| Mismatch::invalid("is an int too large for a float")),
            other => Err(Mismatch::expected("a number", other)),
        }
    }
}

impl FromValue for f32 {
    fn python_type() -> Type {
        Type::Float
    }

    fn from_value(value: Value) -> Result<Self, Mismatch> {
        let wide = f64::from_value(value)?;
        let narrow = wide as f32;
        if narrow.is_infinite() && wide.is_finite() {
            return Err(Mismatch::invalid(format!("must fit 32 bits, which {wide:e} does not")));
        }
        Ok(narrow)
    }
}

impl FromValue for String {
    fn python_type() -> Type {
        Type::Str
    }

    fn from_value(value: Value) -> Result<Self, Mismatch> {
        match value {
            Value::Str(text) => Ok(text),
            other => Err(Mismatch::expected("a str", &other)),
        }
    }
}

impl FromValue for char {
    fn python_type() -> Type {
        Type::Str
    }

    fn from_value(value: Value) -> Result<Self, Mismatch> {
        let mut chars = value.as_str().unwrap_or_default().chars();
        match (chars.next(), chars.next()) {
            (Some(char), None) => Ok(char),
            _ => Err(match value {
                Value::Str(_) => Mismatch::invalid(format!("must be one character, not {value}")),
                other => Mismatch::expected("a str of one character", &other),
            }),
        }
    }
}

/// Seconds, as in Python's `time.sleep`.
impl FromValue for Duration {
    fn python_type() -> Type {
        Type::Float
    }

    fn from_value(value: Value) -> Result<Self, Mismatch> {
        let seconds = f64::from_value(value)?;
        Duration::try_from_secs_f64(seconds)
            .map_err(|_| Mismatch::invalid(format!("must be seconds, 0 or more, not {seconds}")))
    }
}

impl FromValue for Dict {
    fn python_type() -> Type {
        Type::Dict(Box::default())
    }

    fn from_value(value: Value) -> Result<Self, Mismatch> {
        match value {
            Value::Dict(dict) => Ok(dict),
            other => Err(Mismatch::expected("a dict", &other)),
        }
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn python_type() -> Type {
        T::python_type().or_none()
    }

    fn from_value(value: Value) -> Result<Self, Mismatch> {
        match value {
            Value::None => Ok(None),
            value => T::from_value(value).map(Some),
        }
    }
}

impl<T: FromValue> FromValue for Vec<T> {
    fn python_type() -> Type {
        T::sequence_type()
    }

    fn from_value(value: Value) -> Result<Self, Mismatch> {
        T::from_sequence(value)
    }
}

impl<T: FromValue, const N: usize> FromValue for [T; N] {
    fn python_type() -> Type {
        T::sequence_type()
    }

    fn from_value(value: Value) -> Result<Self, Mismatch> {
        let items = T::from_sequence(value)?;
        items.try_into().map_err(|items: Vec<T>| {
            Mismatch::invalid(format!("must have {N} items, not {}", items.len()))
        })
    }
}

fn entries<K: FromValue, V: FromValue, M: FromIterator<(K, V)>>(
    value: Value,
) -> Result<M, Mismatch> {
    let entry = |(key, value): (Value, Value)| {
        let name = key.to_string();
        let value = V::from_value(value).map_err(|mismatch| mismatch.within(&name))?;
        let key = K::from_value(key).map_err(|mismatch| mismatch.within(format!("key {name}")))?;
        Ok((key, value))
    };
    Dict::from_value(value)?.into_iter().map(entry).collect()
}

impl<K: FromValue + Eq + Hash, V: FromValue, S: BuildHasher + Default> FromValue
    for HashMap<K, V, S>
{
    fn python_type() -> Type {
        Type::Dict(Box::new((K::python_type(), V::python_type())))
    }

    fn from_value(value: Value) -> Result<Self, Mismatch> {
        entries(value)
    }
}

impl<K: FromValue + Ord, V: FromValue> FromValue for BTreeMap<K, V> {
    fn python_type() -> Type {
        Type::Dict(Box::new((K::python_type(), V::python_type())))
    }

    fn from_value(value: Value) -> Result<Self, Mismatch> {
        entries(value)
    }
}

/// Converts the members of a set, a list or a tuple: not every serializer has sets.
fn members<T: FromValue, C: FromIterator<T>>(value: Value) -> Result<C, Mismatch> {
    let members = match value {
        Value::Set(set) | Value::FrozenSet(set) => set.into_vec(),
        Value::List(items) | Value::Tuple(items) => items,
        other => return Err(Mismatch::expected("a set", &other)),
    };
    let member = |member: Value| {
        let name = member.to_string();
        T::from_value(member).map_err(|mismatch| mismatch.within(name))
    };
    members.into_iter().map(member).collect()
}

impl<T: FromValue + Eq + Hash, S: BuildHasher + Default> FromValue for HashSet<T, S> {
    fn python_type() -> Type {
        Type::Set(Box::new(T::python_type()))
    }

    fn from_value(value: Value) -> Result<Self, Mismatch> {
        members(value)
    }
}

impl<T: FromValue + Ord> FromValue for BTreeSet<T> {
    fn python_type() -> Type {
        Type::Set(Box::new(T::python_type()))
    }

    fn from_value(value: Value) -> Result<Self, Mismatch> {
        members(value)
    }
}

macro_rules! tuples {
    ($(($($name:ident $index:literal),+) $count:literal)*) => {$(
        impl<$($name: FromValue),+> FromValue for ($($name,)+) {
            fn python_type() -> Type {
                Type::Tuple(vec![$($name::python_type()),+])
            }

            fn from_value(value: Value) -> Result<Self, Mismatch> {
                let (Value::Tuple(items) | Value::List(items)) = value else {
                    return Err(Mismatch::expected(concat!("a tuple of ", $count), &value));
                };
                if items.len() != $count {
                    return Err(Mismatch::invalid(format!(
                        concat!("must have ", $count, " items, not {}"),
                        items.len()
                    )));
                }
                let mut items = items.into_iter();
                Ok(($(
                    $name::from_value(items.next().unwrap_or(Value::None))
                        .map_err(|mismatch| mismatch.within($index))?,
                )+))
            }
        }
    )*};
}

tuples! {
    (A 0) 1
    (A 0, B 1) 2
    (A 0, B 1, C 2) 3
    (A 0, B 1, C 2, D 3) 4
    (A 0, B 1, C 2, D 3, E 4) 5
    (A 0, B 1, C 2, D 3, E 4, F 5) 6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        wire::serializer::Serializer::Serpent
            .decode(text.as_bytes(), &wire::Limits::default())
            .unwrap()
    }

    fn read<T: FromValue + std::fmt::Debug>(text: &str) -> String {
        match T::from_value(value(text)) {
            Ok(taken) => format!("{taken:?}"),
            Err(mismatch) => mismatch.into_exception("it").to_string(),
        }
    }

    #[test]
    fn what_fits_is_taken_and_what_does_not_is_told() {
        type Read = fn(&str) -> String;
        let cases: &[(Read, &str, &str)] = &[
            (read::<u8>, "255", "255"),
            (read::<u8>, "256", "ValueError: it must be 0 to 255, not 256"),
            (read::<i8>, "-129", "ValueError: it must be -128 to 127, not -129"),
            (read::<u64>, "18446744073709551615", "18446744073709551615"),
            (
                read::<i64>,
                "18446744073709551615",
                "ValueError: it must be -9223372036854775808 to 9223372036854775807, \
                 not 18446744073709551615",
            ),
            (read::<u32>, "1.0", "TypeError: it must be an int, not float"),
            (read::<u32>, "True", "TypeError: it must be an int, not bool"),
            (read::<f64>, "3", "3.0"),
            (read::<f64>, "True", "TypeError: it must be a number, not bool"),
            (read::<f32>, "1e300", "ValueError: it must fit 32 bits, which 1e300 does not"),
            (read::<bool>, "1", "TypeError: it must be True or False, not int"),
            (read::<String>, "'a'", "\"a\""),
            (read::<char>, "'ab'", "ValueError: it must be one character, not 'ab'"),
            (read::<Option<u8>>, "None", "None"),
            (read::<Option<u8>>, "1", "Some(1)"),
            (read::<Vec<f64>>, "(1, 2.5)", "[1.0, 2.5]"),
            (read::<Vec<f64>>, "[1, 'x']", "TypeError: it[1] must be a number, not str"),
            (read::<Vec<u8>>, "[1, 2]", "[1, 2]"),
            (read::<Vec<u8>>, "{'data': 'AQI=', 'encoding': 'base64'}", "[1, 2]"),
            (read::<Vec<u8>>, "'text'", "TypeError: it must be bytes, not str"),
            (read::<[u8; 2]>, "[1, 2, 3]", "ValueError: it must have 2 items, not 3"),
            (read::<(u8, String)>, "(1, 'x')", "(1, \"x\")"),
            (read::<(u8, String)>, "(1, 2)", "TypeError: it[1] must be a str, not int"),
            (read::<(u8, u8)>, "(1,)", "ValueError: it must have 2 items, not 1"),
            (read::<BTreeMap<String, Vec<u16>>>, "{'a': [1]}", "{\"a\": [1]}"),
            (
                read::<BTreeMap<String, Vec<u16>>>,
                "{'a': [1, -1]}",
                "ValueError: it['a'][1] must be 0 to 65535, not -1",
            ),
            (
                read::<BTreeMap<u8, u8>>,
                "{'a': 1}",
                "TypeError: it[key 'a'] must be an int, not str",
            ),
            (read::<BTreeSet<u8>>, "{2, 1}", "{1, 2}"),
            (read::<Duration>, "1.5", "1.5s"),
            (read::<Duration>, "-1", "ValueError: it must be seconds, 0 or more, not -1"),
        ];
        for (read, text, expected) in cases {
            assert_eq!(read(text), *expected, "{text}");
        }
    }
}
