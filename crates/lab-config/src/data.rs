//! Plain data: the arguments of a driver, and every section before it becomes a typed value.
//!
//! Owns a JSON form that loses nothing: numbers keep their value and size, not-a-number survives,
//! keys keep their order. Must not know YAML or Pyro.

use std::fmt;

use num_bigint::BigInt;
use serde::de::value::{Error, MapAccessDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{self, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Serialize, Serializer};

/// Values of any driver's parameters.
#[derive(Clone, Debug)]
pub enum Data {
    /// Nothing; `None` to a driver.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number that does not fit an `i64`.
    BigInt(BigInt),
    /// Another number.
    Float(f64),
    /// A text.
    Text(String),
    /// A date, or a date with a time, in ISO 8601 as Python's `fromisoformat` reads it.
    Date(String),
    /// A list.
    List(Vec<Data>),
    /// A mapping in the order of the file; its keys are unique.
    Map(Vec<(String, Data)>),
}

impl Data {
    /// The entry of a mapping.
    #[cfg(test)]
    pub fn get(&self, key: &str) -> Option<&Data> {
        match self {
            Data::Map(entries) => {
                entries.iter().find(|(name, _)| name == key).map(|(_, data)| data)
            }
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl From<BigInt> for Data {
    fn from(value: BigInt) -> Data {
        i64::try_from(&value).map_or(Data::BigInt(value), Data::Int)
    }
}

impl From<&str> for Data {
    fn from(text: &str) -> Data {
        Data::Text(text.to_owned())
    }
}

/// Here NaN equals itself: otherwise a reload would take an unedited value for a changed one.
impl PartialEq for Data {
    fn eq(&self, other: &Data) -> bool {
        match (self, other) {
            (Data::Null, Data::Null) => true,
            (Data::Bool(one), Data::Bool(other)) => one == other,
            (Data::Int(one), Data::Int(other)) => one == other,
            (Data::BigInt(one), Data::BigInt(other)) => one == other,
            (Data::Float(one), Data::Float(other)) => one.to_bits() == other.to_bits(),
            (Data::Text(one), Data::Text(other)) => one == other,
            (Data::Date(one), Data::Date(other)) => one == other,
            (Data::List(one), Data::List(other)) => one == other,
            (Data::Map(one), Data::Map(other)) => one == other,
            _ => false,
        }
    }
}

const INT: &str = "$int";
const FLOAT: &str = "$float";
const DATE: &str = "$date";
const MAP: &str = "$map";

impl Serialize for Data {
    /// As the JSON that one expects, but for numbers that JSON would change, dates, and mappings
    /// that look like the marks of those: `{"$int": "…"}`, `{"$float": "nan"}`, `{"$date": "…"}`,
    /// `{"$map": {…}}`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let marked = |serializer: S, mark: &str, text: &str| {
            let mut map = serializer.serialize_map(Some(1))?;
            map.serialize_entry(mark, text)?;
            map.end()
        };
        match self {
            Data::Null => serializer.serialize_unit(),
            Data::Bool(value) => serializer.serialize_bool(*value),
            Data::Int(value) => serializer.serialize_i64(*value),
            Data::BigInt(value) => marked(serializer, INT, &value.to_string()),
            Data::Float(value) if survives(*value) => serializer.serialize_f64(*value),
            Data::Float(value) => marked(serializer, FLOAT, &format!("{value:?}")),
            Data::Text(text) => serializer.serialize_str(text),
            Data::Date(iso) => marked(serializer, DATE, iso),
            Data::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(item)?;
                }
                list.end()
            }
            Data::Map(entries) if is_marked(entries) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry(MAP, &Entries(entries))?;
                map.end()
            }
            Data::Map(entries) => Entries(entries).serialize(serializer),
        }
    }
}

/// Whether a mapping would be taken for a mark, or for a mapping in one.
fn is_marked(entries: &[(String, Data)]) -> bool {
    matches!(entries, [(key, _), ..] if key.starts_with('$'))
}

struct Entries<'a>(&'a [(String, Data)]);

impl Serialize for Entries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// Whether a reader of JSON gets the very same number back; serde_json's own fast one sometimes
/// misses the last bit.
fn survives(value: f64) -> bool {
    value.is_finite()
        && serde_json::from_str::<f64>(&format!("{value:?}"))
            .is_ok_and(|read| read.to_bits() == value.to_bits())
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Data, D::Error> {
        deserializer.deserialize_any(DataVisitor)
    }
}

struct DataVisitor;

impl<'de> Visitor<'de> for DataVisitor {
    type Value = Data;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("plain data")
    }

    fn visit_unit<E>(self) -> Result<Data, E> {
        Ok(Data::Null)
    }

    fn visit_none<E>(self) -> Result<Data, E> {
        Ok(Data::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Data, E> {
        Ok(Data::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Data, E> {
        Ok(Data::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Data, E> {
        Ok(BigInt::from(value).into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Data, E> {
        Ok(Data::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Data, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Data, E> {
        Ok(Data::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Data, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Data::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Data, A::Error> {
        let mut entries: Vec<(String, Data)> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == MAP && entries.is_empty() {
                return Ok(Data::Map(map.next_value::<Unmarked>()?.0));
            }
            entries.push((key, map.next_value()?));
        }
        let data = match entries.as_slice() {
            [(mark, Data::Text(text))] if mark == INT => {
                text.parse::<BigInt>().ok().map(Data::from)
            }
            [(mark, Data::Text(text))] if mark == FLOAT => text.parse().ok().map(Data::Float),
            [(mark, Data::Text(iso))] if mark == DATE => Some(Data::Date(iso.clone())),
            [(mark, _)] if mark.starts_with('$') => None,
            _ => Some(Data::Map(entries)),
        };
        data.ok_or_else(|| de::Error::custom("a mark that is none of plain data's"))
    }
}

/// A mapping in which no key is a mark, whatever it looks like.
struct Unmarked(Vec<(String, Data)>);

impl<'de> Deserialize<'de> for Unmarked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Unmarked, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Unmarked;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unmarked, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Unmarked(entries))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

impl<'de> Deserializer<'de> for Unmarked {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(MapDeserializer::new(self.0.into_iter()))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
        option enum
    }
}

impl IntoDeserializer<'_, Error> for Unmarked {
    type Deserializer = Unmarked;

    fn into_deserializer(self) -> Unmarked {
        self
    }
}

/// Read as if it were JSON, to give the checked sections their types.
impl<'de> Deserializer<'de> for Data {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Data::Null => visitor.visit_unit(),
            Data::Bool(value) => visitor.visit_bool(value),
            Data::Int(value) => visitor.visit_i64(value),
            Data::BigInt(value) => {
                let entry = (INT.to_owned(), Data::Text(value.to_string()));
                visitor.visit_map(MapDeserializer::new(std::iter::once(entry)))
            }
            Data::Date(iso) => {
                let entry = (DATE.to_owned(), Data::Text(iso));
                visitor.visit_map(MapDeserializer::new(std::iter::once(entry)))
            }
            Data::Float(value) => visitor.visit_f64(value),
            Data::Text(text) => visitor.visit_string(text),
            Data::List(items) => visitor.visit_seq(SeqDeserializer::new(items.into_iter())),
            Data::Map(entries) if is_marked(&entries) => {
                let entry = (MAP.to_owned(), Unmarked(entries));
                visitor.visit_map(MapDeserializer::new(std::iter::once(entry)))
            }
            Data::Map(entries) => visitor.visit_map(MapDeserializer::new(entries.into_iter())),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Data::Null => visitor.visit_none(),
            data => visitor.visit_some(data),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self {
            Data::Text(name) => visitor.visit_enum(name.into_deserializer()),
            Data::Map(entries) => {
                let map = MapDeserializer::new(entries.into_iter());
                visitor.visit_enum(MapAccessDeserializer::new(map))
            }
            _ => Err(de::Error::custom("a variant's name is missing")),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl IntoDeserializer<'_, Error> for Data {
    type Deserializer = Data;

    fn into_deserializer(self) -> Data {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_through_json_or_through_serde() {
        let text = |text: &str| Data::Text(text.into());
        let map = |key: &str, value| Data::Map(vec![(key.to_owned(), value)]);
        let cases = [
            Data::Null,
            Data::Bool(true),
            Data::Int(i64::MIN),
            Data::from(BigInt::from(u64::MAX)),
            Data::from(BigInt::from(10).pow(40)),
            Data::Float(f64::NAN),
            Data::Float(f64::NEG_INFINITY),
            Data::Float(-0.0),
            Data::Float(1.0),
            Data::Float(1.55e-6),
            Data::Float(122.416_294_033_786_58),
            Data::Float(5e-324),
            text("$int"),
            Data::List(vec![Data::Null, Data::List(vec![])]),
            Data::Map(vec![]),
            Data::Map(vec![("z".into(), Data::Int(1)), ("a".into(), Data::Int(2))]),
            map("$int", text("5")),
            map("$int", Data::Null),
            map("$map", map("$map", map("a", Data::Null))),
            map("$float", text("nan")),
            Data::Map(vec![("$map".into(), Data::Int(1)), ("b".into(), Data::Null)]),
        ];
        for data in cases {
            let json = serde_json::to_string(&data).unwrap();
            assert_eq!(serde_json::from_str::<Data>(&json).unwrap(), data, "{json}");
            assert_eq!(Data::deserialize(data.clone()).unwrap(), data, "{json}");
        }
        assert_eq!(serde_json::to_string(&Data::Float(1.5)).unwrap(), "1.5");
        assert!(serde_json::from_str::<Data>("{\"$int\": \"x\"}").is_err());
    }
}
