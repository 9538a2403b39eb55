//! Keys that Python's dicts cannot tell apart quickly.
//!
//! Python's hash of a number is the same on every machine, so a caller can send numbers, or tuples
//! of them, that all have one hash: a worker would be busy for minutes with making a dict of
//! 100,000 such keys, and hold every other call up meanwhile. Ours are hashed with a secret, so they
//! are counted here, before a worker sees them. Owns that count, and knows how Python hashes.

use std::collections::HashMap;

use remote::{Exception, MethodCall, Operation, Value};
use wire::value::Set;

/// Numbers that 64 bits hold have at most some forty others of the same hash.
const MOST: u32 = 64;
/// Python's numbers are hashed modulo this prime.
const MODULUS: u64 = (1 << 61) - 1;

/// Refuses what a worker would be busy with for too long.
pub(super) fn check_operation(operation: &Operation) -> Result<(), Exception> {
    let check_call = |call: &MethodCall| {
        call.args.iter().chain(call.kwargs.iter().map(|(_, value)| value)).try_for_each(check)
    };
    match operation {
        Operation::Call(call) => check_call(call),
        Operation::SetAttr(_, value) => check(value),
        Operation::Batch(calls) => calls.iter().try_for_each(check_call),
        Operation::Blob(blob) => check(&blob.info),
        Operation::GetAttr(_) => Ok(()),
    }
}

/// Refuses a value with a dict or set of which too many keys have one hash.
fn check(value: &Value) -> Result<(), Exception> {
    match value {
        Value::List(items) | Value::Tuple(items) => items.iter().try_for_each(check),
        Value::Dict(dict) => {
            count(dict.iter().map(|(key, _)| key), dict.len(), "dict")?;
            dict.iter().try_for_each(|(key, value)| check(key).and_then(|()| check(value)))
        }
        Value::Set(set) | Value::FrozenSet(set) => {
            count(set.iter(), set.len(), "set")?;
            set.iter().try_for_each(check)
        }
        _ => Ok(()),
    }
}

fn count<'v>(
    keys: impl Iterator<Item = &'v Value>,
    len: usize,
    kind: &str,
) -> Result<(), Exception> {
    if len <= MOST as usize {
        return Ok(());
    }
    let mut seen: HashMap<u64, u32> = HashMap::new();
    for hash in keys.filter_map(hash) {
        let count = seen.entry(hash).or_default();
        *count += 1;
        if *count > MOST {
            return Err(Exception::value_error(format!(
                "colliding keys: a {kind} with {len} keys of which more than {MOST} have the same \
                 hash in Python, which would take it very long to make"
            )));
        }
    }
    Ok(())
}

/// Python's hash; none where it is different in every process, and for floats with fractions, of
/// which too few are alike.
fn hash(value: &Value) -> Option<u64> {
    match value {
        Value::Bool(value) => Some(u64::from(*value)),
        Value::Int(value) => Some(signed(value.unsigned_abs() % MODULUS, *value < 0)),
        Value::BigInt(value) => {
            let negative = value.sign() == num_bigint::Sign::Minus;
            let magnitude = value.magnitude() % MODULUS;
            Some(signed(magnitude.iter_u64_digits().next().unwrap_or(0), negative))
        }
        Value::Float(value) => float(*value),
        Value::Complex { re, im } => {
            let sum = float(*re)?.wrapping_add(float(*im)?.wrapping_mul(1_000_003));
            Some(if sum == u64::MAX { u64::MAX - 1 } else { sum })
        }
        Value::Tuple(items) => tuple(items),
        Value::FrozenSet(set) => frozen_set(set),
        Value::None | Value::Str(_) | Value::Bytes(_) => None,
        Value::List(_) | Value::Set(_) | Value::Dict(_) => None,
    }
}

fn signed(magnitude: u64, negative: bool) -> u64 {
    match (magnitude, negative) {
        (magnitude, false) => magnitude,
        // -1 says that there is none.
        (1, true) => u64::MAX - 1,
        (magnitude, true) => magnitude.wrapping_neg(),
    }
}

fn float(value: f64) -> Option<u64> {
    // Up to here a float is an integer's equal and can be taken for one.
    let is_small = value.abs() < 9.2e18;
    (is_small && value.fract() == 0.0).then(|| signed((value.abs() as u64) % MODULUS, value < 0.0))
}

fn tuple(items: &[Value]) -> Option<u64> {
    const PRIMES: [u64; 3] =
        [11_400_714_785_074_694_791, 14_029_467_366_897_019_727, 2_870_177_450_012_600_261];
    let [one, two, five] = PRIMES;
    let mut sum = five;
    for item in items {
        sum = sum.wrapping_add(hash(item)?.wrapping_mul(two));
        sum = sum.rotate_left(31).wrapping_mul(one);
    }
    sum = sum.wrapping_add(items.len() as u64 ^ (five ^ 3_527_539));
    Some(if sum == u64::MAX { 1_546_275_796 } else { sum })
}

fn frozen_set(set: &Set) -> Option<u64> {
    let mut sum: u64 = 0;
    for item in set.iter() {
        let hash = hash(item)?;
        sum ^= ((hash ^ 89_869_747) ^ (hash << 16)).wrapping_mul(3_644_798_167);
    }
    // What follows in Python mixes bits, and keeps different sums different.
    Some(sum ^ (set.len() as u64 + 1).wrapping_mul(1_927_868_237))
}

#[cfg(test)]
mod tests {
    use super::*;
    use remote::Dict;

    #[test]
    fn hashes_are_pythons() {
        let pair = |a: i64, b: i64| Value::Tuple(vec![a.into(), b.into()]);
        let big: num_bigint::BigInt = num_bigint::BigInt::from(10).pow(30);
        // As CPython 3.11 says, modulo 2**64.
        let cases: [(Value, i64); 9] = [
            (5.into(), 5),
            ((-1).into(), -2),
            ((-7).into(), -7),
            (i64::MAX.into(), 3),
            (Value::int(big), 465_258_685_558_744_706),
            (Value::Float(3.0), 3),
            (Value::Bool(true), 1),
            (pair(1, 2), -3_550_055_125_485_641_917),
            (Value::Complex { re: 1.0, im: 2.0 }, 2_000_007),
        ];
        for (value, expected) in cases {
            assert_eq!(hash(&value), Some(expected as u64), "{value}");
        }
    }

    #[test]
    fn only_what_collides_is_refused() {
        let dict = |key: &dyn Fn(i64) -> Value| {
            Value::Dict((0..1000).map(|number| (key(number), Value::None)).collect::<Dict>())
        };
        let modulus = num_bigint::BigInt::from(MODULUS);
        let colliding = dict(&|number| Value::int(&modulus * num_bigint::BigInt::from(number)));
        let within = Value::List(vec![Value::Tuple(vec![colliding.clone()])]);
        for value in [&colliding, &within] {
            let refused = check(value).unwrap_err();
            assert!(refused.message().starts_with("colliding keys"), "{refused}");
        }
        for value in [
            dict(&Value::from),
            dict(&|number| Value::from(number.to_string())),
            dict(&|number| Value::Tuple(vec![number.into(), Value::from("x")])),
            dict(&|number| Value::Tuple(vec![number.into(), number.into()])),
            dict(&|number| Value::Float(number as f64 / 3.0)),
        ] {
            assert_eq!(check(&value), Ok(()));
        }
    }
}
