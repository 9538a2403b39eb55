//! Reading of a member: the value that a driver returned, as values of series.
//!
//! A series holds numbers, booleans and short texts. A tuple or a dict makes one series for each of
//! its parts. `None` and numbers that are not finite are no data. Knows no clock.

use remote::Value;

use crate::host::feed::event::Quality;

/// Letters of a text in a series, at most: a text is a state, not a report.
const MAX_TEXT_CHARS: usize = 256;
/// Parts of one tuple or dict, at most.
const MAX_PARTS: usize = 64;
/// Bytes of a part's name, at most.
const MAX_NAME_BYTES: usize = 80;

/// The value of one series, or a quality with its reason.
pub(super) type PartReading = Result<Value, (Quality, String)>;

/// A reading of a member.
#[derive(Debug, PartialEq)]
pub(super) enum Reading {
    /// The member has one series.
    One(PartReading),
    /// It has a series for each of these parts, by name.
    Parts(Vec<(String, PartReading)>),
}

impl Reading {
    /// The reading of a returned value.
    pub(super) fn of(value: &Value) -> Self {
        let parts: Vec<(String, &Value)> = match value {
            Value::Tuple(items) => {
                items.iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect()
            }
            Value::Dict(dict) if dict.get("__class__").is_some() => {
                return Reading::One(Err(unfit("an object")));
            }
            Value::Dict(dict) => {
                let mut named = Vec::with_capacity(dict.len());
                for (key, item) in dict.iter() {
                    let name = match key {
                        Value::Str(name) => name.clone(),
                        Value::Int(number) => number.to_string(),
                        _ => return Reading::One(Err(unfit("a dict with keys that are no texts"))),
                    };
                    if name.is_empty() || name.len() > MAX_NAME_BYTES {
                        return Reading::One(Err(unfit("a dict with a key that is no name")));
                    }
                    named.push((name, item));
                }
                named
            }
            single => return Reading::One(part(single)),
        };
        if parts.is_empty() || parts.len() > MAX_PARTS {
            let text = format!("{} parts: a series each for 1 to {MAX_PARTS}", parts.len());
            return Reading::One(Err((Quality::Error, format!("it returned a value of {text}"))));
        }
        Reading::Parts(parts.into_iter().map(|(name, item)| (name, part(item))).collect())
    }
}

fn part(value: &Value) -> PartReading {
    match value {
        Value::Float(number) if number.is_finite() => Ok(value.clone()),
        Value::Float(number) => Err((Quality::NoData, format!("it returned {number}"))),
        Value::None => Err((Quality::NoData, "it returned None".to_owned())),
        Value::Bool(_) | Value::Int(_) => Ok(value.clone()),
        // No consumer has such numbers; as a float it is as good as any reading.
        Value::BigInt(_) => value.as_f64().filter(|number| number.is_finite()).map_or_else(
            || Err(unfit("an int too large for a float")),
            |number| Ok(Value::Float(number)),
        ),
        Value::Str(text) => match text.chars().nth(MAX_TEXT_CHARS) {
            None => Ok(value.clone()),
            Some(_) => Err(unfit(&format!("a text of more than {MAX_TEXT_CHARS} letters"))),
        },
        Value::Dict(dict) if dict.get("__class__").is_some() => Err(unfit("an object")),
        Value::List(_) => Err(unfit("a list or an array")),
        other => Err(unfit(&format!("a value of type {}", other.type_name()))),
    }
}

fn unfit(what: &str) -> (Quality, String) {
    let text = format!(
        "it returned {what}; a live value is a number, a boolean or a short text, or a tuple or dict \
         of some"
    );
    (Quality::Error, text)
}

#[cfg(test)]
mod tests {
    use remote::Dict;

    use super::*;

    fn dict(pairs: &[(&str, Value)]) -> Value {
        let pairs = pairs.iter().map(|(key, value)| (*key, value.clone()));
        Value::Dict(pairs.collect::<Dict>())
    }

    #[test]
    fn numbers_booleans_and_short_texts_are_values() {
        for value in [
            Value::Float(1.5),
            Value::Int(-3),
            Value::Bool(true),
            Value::from("ready"),
            Value::from("Ω".repeat(MAX_TEXT_CHARS)),
        ] {
            assert_eq!(Reading::of(&value), Reading::One(Ok(value)));
        }
        let large = Value::from(u64::MAX);
        assert_eq!(Reading::of(&large), Reading::One(Ok(Value::Float(u64::MAX as f64))));
    }

    #[test]
    fn everything_else_is_a_quality_with_its_reason() {
        let object = dict(&[("__class__", Value::from("m.Thing"))]);
        let long = Value::from("x".repeat(MAX_TEXT_CHARS + 1));
        for (value, quality, text) in [
            (Value::None, Quality::NoData, "None"),
            (Value::Float(f64::NAN), Quality::NoData, "NaN"),
            (Value::Float(f64::INFINITY), Quality::NoData, "inf"),
            (Value::List(vec![Value::from(1)]), Quality::Error, "a list or an array"),
            (Value::Bytes(vec![1]), Quality::Error, "of type bytes"),
            (object, Quality::Error, "an object"),
            (long, Quality::Error, "more than 256 letters"),
            (Value::Tuple(Vec::new()), Quality::Error, "0 parts"),
            (Value::Tuple(vec![Value::from(1); 65]), Quality::Error, "65 parts"),
            (dict(&[("", Value::from(1))]), Quality::Error, "a key that is no name"),
        ] {
            let Reading::One(Err((found, reason))) = Reading::of(&value) else {
                panic!("{value:?}")
            };
            assert!(found == quality && reason.contains(text), "{value:?}: {reason}");
        }
    }

    #[test]
    fn a_tuple_and_a_dict_have_parts() {
        let tuple = Value::Tuple(vec![Value::from(1), Value::None]);
        let Reading::Parts(parts) = Reading::of(&tuple) else { panic!() };
        assert_eq!(parts[0], ("0".to_owned(), Ok(Value::from(1))));
        assert!(matches!(&parts[1], (name, Err((Quality::NoData, _))) if name == "1"));
        let axes = dict(&[("x", Value::from(1)), ("y", Value::Tuple(Vec::new()))]);
        let Reading::Parts(parts) = Reading::of(&axes) else { panic!() };
        assert_eq!(parts[0], ("x".to_owned(), Ok(Value::from(1))));
        // One level is taken apart.
        assert!(matches!(&parts[1], (name, Err((Quality::Error, _))) if name == "y"));
    }
}
