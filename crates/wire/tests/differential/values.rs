//! Generators of values.

use num_bigint::{BigInt, Sign};
use proptest::collection::vec;
use proptest::prelude::*;
use wire::value::{Dict, Value};

/// Any value, with some dozens of parts.
pub fn any_value() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            3 => vec(inner.clone(), 0..6).prop_map(Value::List),
            2 => vec(inner.clone(), 0..4).prop_map(Value::Tuple),
            1 => vec(key(), 0..5).prop_map(|keys| Value::Set(keys.into_iter().collect())),
            1 => vec(key(), 0..5).prop_map(|keys| Value::FrozenSet(keys.into_iter().collect())),
            1 => vec((key(), inner.clone()), 0..6).prop_map(dict),
            2 => vec((text(), inner.clone()), 0..6).prop_map(dict),
            1 => vec((text(), inner), 0..3).prop_map(class_dict),
        ]
    })
}

/// A value that all serializers write and read unchanged.
pub fn simple_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::None),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        float().prop_map(Value::Float),
        text(),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::List),
            vec((text(), inner), 0..6).prop_map(dict),
        ]
    })
}

/// Text with every character that some format escapes.
pub fn text() -> impl Strategy<Value = Value> {
    let c = prop_oneof![
        8 => proptest::char::range(' ', '~'),
        2 => proptest::sample::select(vec!['\'', '"', '\\', '\n', '\r', '\t', '\0', '/', '\u{7f}']),
        1 => proptest::char::range('\0', '\u{ff}'),
        1 => any::<char>(),
    ];
    vec(c, 0..12).prop_map(|chars| Value::Str(chars.into_iter().collect()))
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        1 => Just(Value::None),
        1 => any::<bool>().prop_map(Value::Bool),
        3 => int(),
        3 => float().prop_map(Value::Float),
        1 => (float(), float()).prop_map(|(re, im)| Value::Complex { re, im }),
        3 => text(),
        1 => vec(any::<u8>(), 0..20).prop_map(Value::Bytes),
    ]
}

fn int() -> impl Strategy<Value = Value> {
    prop_oneof![
        2 => (-300i64..300).prop_map(Value::Int),
        // Around the powers of two, where the form of an int changes.
        2 => (0u32..66, -2i64..3, any::<bool>()).prop_map(|(bits, offset, minus)| {
            let int = (BigInt::from(1) << bits) + offset;
            Value::int(if minus { -int } else { int })
        }),
        1 => any::<i64>().prop_map(Value::Int),
        1 => (any::<bool>(), vec(any::<u32>(), 0..12)).prop_map(|(minus, digits)| {
            Value::int(BigInt::new(if minus { Sign::Minus } else { Sign::Plus }, digits))
        }),
    ]
}

fn float() -> impl Strategy<Value = f64> {
    prop_oneof![
        2 => any::<u64>().prop_map(f64::from_bits),
        2 => (-1000i32..1000).prop_map(|int| f64::from(int) / 8.0),
        1 => (any::<i32>(), -12i32..25).prop_map(|(int, power)| f64::from(int) * 10f64.powi(power)),
        1 => proptest::sample::select(vec![
            0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e16, 1e15, 1e-4, 1e-5, 1e22, 1e23,
            f64::MIN_POSITIVE, 5e-324, f64::MAX, 9_007_199_254_740_993.0,
        ]),
    ]
}

fn key() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![4 => text(), 2 => int(), 3 => leaf()];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            4 => vec(inner.clone(), 0..3).prop_map(Value::Tuple),
            1 => vec(inner, 0..3).prop_map(|keys| Value::FrozenSet(keys.into_iter().collect())),
        ]
    })
}

fn dict(entries: Vec<(Value, Value)>) -> Value {
    Value::Dict(entries.into_iter().collect())
}

fn class_dict(entries: Vec<(Value, Value)>) -> Value {
    let mut dict: Dict = [("__class__", "test.Class")].into_iter().collect();
    dict.extend(entries);
    Value::Dict(dict)
}
