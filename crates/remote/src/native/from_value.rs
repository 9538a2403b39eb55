//! Arguments: from what a caller sent to what a Rust method takes.
//!
//! Owns the conversions and the words for what does not fit. They are strict where a mistake would
//! reach an instrument: a `bool` is no number here, and a number out of a type's range is refused.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, Hash};
use std::time::Duration;

use wire::exception::Exception;
use wire::value::{Dict, Value};

/// A type that a remote method can take as an argument.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a remote method",
    label = "cannot be made from a Python value",
    note = "arguments are numbers, `bool`, `String` or `&str`, `Vec`, `Option`, tuples, maps, sets, \
            `remote::Value`, or a type of yours that implements `remote::FromValue`"
)]
pub trait FromValue: Sized {
    /// Takes the value as this type.
    ///
    /// # Errors
    /// It is of another type, or out of this one's range.
    fn from_value(value: Value) -> Result<Self, Mismatch>;

    /// Takes a list of them; `bytes` are the one list that is not written as a list.
    #[doc(hidden)]
    fn from_sequence(value: Value) -> Result<Vec<Self>, Mismatch> {
        match value {
            Value::List(items) | Value::Tuple(items) => items
                .into_iter()
                .enumerate()
                .map(|(index, item)| {
                    Self::from_value(item).map_err(|mismatch| mismatch.within(index))
                })
                .collect(),
            other => Err(Mismatch::expected("a list", &other)),
        }
    }
}

/// Why a value does not fit; says what was expected and what was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    class: &'static str,
    /// `[3]['volts']`: where in the argument.
    place: String,
    text: String,
}

impl Mismatch {
    /// A value of another type, told as Python's `TypeError`; `what` reads as in "must be {what}".
    pub fn expected(what: &str, found: &Value) -> Self {
        let text = format!("must be {what}, not {}", found.type_name());
        Mismatch { class: "builtins.TypeError", place: String::new(), text }
    }

    /// A value that makes no sense, told as `ValueError`; `text` as in "must be 1 to 4, not 5".
    pub fn invalid(text: impl Into<String>) -> Self {
        Mismatch { class: "builtins.ValueError", place: String::new(), text: text.into() }
    }

    /// The same mismatch, found inside of a container.
    #[must_use]
    pub fn within(mut self, key: impl std::fmt::Display) -> Self {
        self.place = format!("[{key}]{}", self.place);
        self
    }

    /// The exception for the caller; `subject` is what the value was given for.
    pub fn into_exception(self, subject: &str) -> Exception {
        Exception::new(self.class, format!("{subject}{} {}", self.place, self.text))
    }
}

impl FromValue for Value {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        Ok(value)
    }
}

impl FromValue for bool {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        value.as_bool().ok_or_else(|| Mismatch::expected("True or False", &value))
    }
}

macro_rules! ints {
    ($($int:ident)*) => {$(
        impl FromValue for $int {
            fn from_value(value: Value) -> Result<Self, Mismatch> {
                int(&value, &(<$int>::MIN, <$int>::MAX))
            }
        }
    )*};
}

ints!(i8 i16 i32 i64 isize u16 u32 u64 usize);

impl FromValue for u8 {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        int(&value, &(u8::MIN, u8::MAX))
    }

    fn from_sequence(value: Value) -> Result<Vec<Self>, Mismatch> {
        match value {
            Value::Bytes(bytes) => Ok(bytes),
            Value::List(items) | Value::Tuple(items) => items
                .into_iter()
                .enumerate()
                .map(|(index, item)| u8::from_value(item).map_err(|wrong| wrong.within(index)))
                .collect(),
            // How serpent writes bytes.
            other => {
                wire::serpent::to_bytes(&other).ok_or_else(|| Mismatch::expected("bytes", &other))
            }
        }
    }
}

fn int<T>(value: &Value, (least, most): &(T, T)) -> Result<T, Mismatch>
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
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        match value {
            Value::Str(text) => Ok(text),
            other => Err(Mismatch::expected("a str", &other)),
        }
    }
}

impl FromValue for char {
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

/// Seconds, as Python's `time.sleep` takes them.
impl FromValue for Duration {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        let seconds = f64::from_value(value)?;
        Duration::try_from_secs_f64(seconds)
            .map_err(|_| Mismatch::invalid(format!("must be seconds, 0 or more, not {seconds}")))
    }
}

impl FromValue for Dict {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        match value {
            Value::Dict(dict) => Ok(dict),
            other => Err(Mismatch::expected("a dict", &other)),
        }
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        match value {
            Value::None => Ok(None),
            value => T::from_value(value).map(Some),
        }
    }
}

impl<T: FromValue> FromValue for Vec<T> {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        T::from_sequence(value)
    }
}

impl<T: FromValue, const N: usize> FromValue for [T; N] {
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
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        entries(value)
    }
}

impl<K: FromValue + Ord, V: FromValue> FromValue for BTreeMap<K, V> {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        entries(value)
    }
}

/// The members of a set; a list or a tuple will do, since not every serializer has sets.
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
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        members(value)
    }
}

impl<T: FromValue + Ord> FromValue for BTreeSet<T> {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        members(value)
    }
}

macro_rules! tuples {
    ($(($($name:ident $index:literal),+) $count:literal)*) => {$(
        impl<$($name: FromValue),+> FromValue for ($($name,)+) {
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
