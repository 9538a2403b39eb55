//! Conversion of an argument to the type on the card, where JSON has another form for it.
//!
//! JSON has one list, and programs write `5.0` for 5. A value that does not fit is left as it is:
//! the driver says what it wants.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use remote::card::Type;
use remote::{Dict, Value};

/// Floats beyond this are not ints that somebody has written as floats.
const LARGEST_INT: f64 = 9_007_199_254_740_992.0;

/// The value as `kind` wants it.
pub(in crate::web) fn coerce(value: Value, kind: &Type) -> Value {
    let all = |items: Vec<Value>, item: &Type| {
        items.into_iter().map(|value| coerce(value, item)).collect::<Vec<_>>()
    };
    match (kind, value) {
        (Type::Float, Value::Int(int)) => Value::Float(int as f64),
        (Type::Int, Value::Float(float)) if float.fract() == 0.0 && float.abs() <= LARGEST_INT => {
            Value::Int(float as i64)
        }
        (Type::Bytes, Value::Str(text)) => match STANDARD.decode(&text) {
            Ok(bytes) => Value::Bytes(bytes),
            Err(_) => Value::Str(text),
        },
        (Type::List(item), Value::List(items)) => Value::List(all(items, item)),
        (Type::Set(item), Value::List(items)) => Value::Set(all(items, item).into_iter().collect()),
        (Type::TupleOf(item), Value::List(items) | Value::Tuple(items)) => {
            Value::Tuple(all(items, item))
        }
        (Type::Tuple(kinds), Value::List(items) | Value::Tuple(items))
            if kinds.len() == items.len() =>
        {
            let items = items.into_iter().zip(kinds);
            Value::Tuple(items.map(|(value, kind)| coerce(value, kind)).collect())
        }
        (Type::Dict(pair), Value::Dict(dict)) => {
            let (key, value) = (&pair.0, &pair.1);
            let entry = |(name, item)| (coerce_key(name, key), coerce(item, value));
            Value::Dict(dict.into_iter().map(entry).collect::<Dict>())
        }
        (Type::Union(kinds), value) => coerce_union(value, kinds),
        (_, value) => value,
    }
}

/// JSON's keys are texts.
fn coerce_key(key: Value, kind: &Type) -> Value {
    let number = match (kind, key.as_str()) {
        (Type::Int, Some(text)) => text.parse().ok().map(Value::Int),
        (Type::Float, Some(text)) => text.parse().ok().map(Value::Float),
        _ => None,
    };
    number.unwrap_or(key)
}

/// As the first of the types that has such values already, else as the first that takes it.
fn coerce_union(value: Value, kinds: &[Type]) -> Value {
    if kinds.iter().any(|kind| is_of(&value, kind)) {
        return value;
    }
    for kind in kinds {
        let coerced = coerce(value.clone(), kind);
        if coerced != value {
            return coerced;
        }
    }
    value
}

/// Whether a value is of a type as it is; items are not looked at.
fn is_of(value: &Value, kind: &Type) -> bool {
    match kind {
        Type::Any | Type::Enum(_) | Type::Union(_) => false,
        Type::None => value.is_none(),
        Type::Bool => matches!(value, Value::Bool(_)),
        Type::Int => matches!(value, Value::Int(_) | Value::BigInt(_)),
        Type::Float => matches!(value, Value::Float(_)),
        Type::Complex => matches!(value, Value::Complex { .. }),
        Type::Str => matches!(value, Value::Str(_) | Value::SurrogateStr(_)),
        Type::Bytes => matches!(value, Value::Bytes(_)),
        Type::Array => matches!(value, Value::List(_)),
        // Their items may be of other types than the card's.
        Type::List(_) | Type::Set(_) | Type::Tuple(_) | Type::TupleOf(_) | Type::Dict(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_becomes_what_the_card_says() {
        let list = |items: &[i64]| Value::List(items.iter().copied().map(Value::Int).collect());
        let floats = |items: &[f64]| items.iter().copied().map(Value::Float).collect::<Vec<_>>();
        let optional = Type::Union(vec![Type::Float, Type::None]);
        let keyed = Type::Dict(Box::new((Type::Int, Type::Float)));
        for (value, kind, expected) in [
            (Value::Int(5), Type::Float, Value::Float(5.0)),
            (Value::Float(5.0), Type::Int, Value::Int(5)),
            (Value::Float(5.5), Type::Int, Value::Float(5.5)),
            (Value::Float(1e30), Type::Int, Value::Float(1e30)),
            (Value::Int(5), Type::Any, Value::Int(5)),
            (Value::Bool(true), Type::Float, Value::Bool(true)),
            (Value::from("AAE="), Type::Bytes, Value::bytes(vec![0, 1])),
            (Value::from("?"), Type::Bytes, Value::from("?")),
            (
                list(&[1, 2]),
                Type::TupleOf(Box::new(Type::Float)),
                Value::Tuple(floats(&[1.0, 2.0])),
            ),
            (list(&[1, 2]), Type::List(Box::new(Type::Float)), Value::List(floats(&[1.0, 2.0]))),
            (
                list(&[1, 2]),
                Type::Tuple(vec![Type::Int, Type::Float]),
                Value::Tuple(vec![Value::Int(1), Value::Float(2.0)]),
            ),
            (
                list(&[1]),
                Type::Set(Box::new(Type::Int)),
                Value::Set([Value::Int(1)].into_iter().collect()),
            ),
            (Value::Int(5), optional.clone(), Value::Float(5.0)),
            (Value::None, optional, Value::None),
            (
                Value::Dict(Dict::from_iter([("1", 2)])),
                keyed,
                Value::Dict(Dict::from_iter([(Value::Int(1), Value::Float(2.0))])),
            ),
        ] {
            assert_eq!(coerce(value.clone(), &kind), expected, "{value} as {kind}");
        }
    }
}
