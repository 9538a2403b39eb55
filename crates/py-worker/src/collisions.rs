//! Check for colliding keys: dicts and sets whose keys have one hash in Python.
//!
//! Python's hash of a number is the same on every machine, so a caller can send numbers, or tuples
//! of them, that all have one hash. A worker would be busy for a minute with a dict of 100,000 such
//! keys, and delay every other call. Our own tables hash with a secret, so the keys are counted
//! here, before a worker sees them. Python's hash is rebuilt to the bit where a caller can compute
//! it; for text only equality counts.
//!
//! A cap on keys that are not short text would be less code, but does not serve. Measured with
//! CPython 3.11: 2,000 colliding tuples (52 KiB) take 24 ms and 10,000 take 600 ms, while an honest
//! map of 200 x 200 points (1.2 MiB, tuples for keys) takes 10 ms. A cap that bounds the cost by
//! the message's size is a hundred keys, which such maps exceed.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use remote::{Exception, MethodCall, Operation, Value};
use wire::value::Set;

/// Keys of one hash, at most. Among the numbers of 64 bits some forty have the same hash.
const MAX_SAME_HASH: u32 = 64;
/// Python's numbers are hashed modulo this prime.
const MODULUS: u64 = (1 << 61) - 1;

/// Refuses an operation whose arguments would keep a worker busy for too long.
pub(crate) fn check_operation(operation: &Operation) -> Result<(), Exception> {
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
    look(value, false).map(drop)
}

/// Looks at every part of a value once: refuses it as [`check`] does, and returns its hash in
/// Python where that is `wanted`.
fn look(value: &Value, wanted: bool) -> Result<u64, Exception> {
    match value {
        Value::List(items) => items.iter().try_for_each(check).map(|()| 0),
        Value::Tuple(items) => tuple(items, wanted),
        Value::Dict(dict) => {
            let mut keys = Keys::new("dict", dict.len());
            for (key, value) in dict {
                keys.look(key, false)?;
                check(value)?;
            }
            Ok(0)
        }
        Value::Set(set) | Value::FrozenSet(set) => members(set, wanted),
        atom if wanted => Ok(hash(atom)),
        _ => Ok(0),
    }
}

/// The keys of one dict or set.
struct Keys {
    kind: &'static str,
    len: usize,
    /// How many have each hash.
    seen: HashMap<u64, u32>,
}

impl Keys {
    fn new(kind: &'static str, len: usize) -> Self {
        Keys { kind, len, seen: HashMap::new() }
    }

    fn look(&mut self, key: &Value, wanted: bool) -> Result<u64, Exception> {
        // These hardly collide, and most keys are of these kinds.
        let is_plain =
            matches!(key, Value::None | Value::Str(_) | Value::SurrogateStr(_) | Value::Bytes(_));
        let is_counted = self.len > MAX_SAME_HASH as usize && !is_plain;
        let hash = look(key, wanted || is_counted)?;
        if !is_counted {
            return Ok(hash);
        }
        let count = self.seen.entry(hash).or_default();
        *count += 1;
        if *count > MAX_SAME_HASH {
            let Keys { kind, len, .. } = self;
            return Err(Exception::value_error(format!(
                "colliding keys: a {kind} with {len} keys of which more than {MAX_SAME_HASH} have \
                 the same hash in Python, which would take it very long to make"
            )));
        }
        Ok(hash)
    }
}

/// Python's hash of a value that is not a container, or its stand-in.
///
/// That of text is different in every process, but the same for the same text: inside of tuples
/// any number will do for it, if only the same text has the same one.
fn hash(value: &Value) -> u64 {
    match value {
        Value::Bool(value) => u64::from(*value),
        Value::Int(value) => signed(value.unsigned_abs() % MODULUS, *value < 0),
        Value::BigInt(value) => {
            let negative = value.sign() == num_bigint::Sign::Minus;
            let magnitude = value.magnitude() % MODULUS;
            signed(magnitude.iter_u64_digits().next().unwrap_or(0), negative)
        }
        Value::Float(value) => float(*value),
        Value::Complex { re, im } => {
            not_minus_one(float(*re).wrapping_add(float(*im).wrapping_mul(1_000_003)))
        }
        // Python's since 3.12; before, it is an address.
        Value::None => 0xfca8_6420,
        Value::Bytes(bytes) => buffer(bytes),
        Value::Str(text) => str_hash(text),
        // A process has its own hashes of text: any will do, if the same text has the same one.
        Value::SurrogateStr(text) => buffer(text.as_bytes()),
        Value::List(_)
        | Value::Tuple(_)
        | Value::Set(_)
        | Value::FrozenSet(_)
        | Value::Dict(_)
        | Value::Array(_) => 0,
    }
}

fn signed(magnitude: u64, negative: bool) -> u64 {
    not_minus_one(if negative { magnitude.wrapping_neg() } else { magnitude })
}

/// -1 says that there is no hash; Python has -2 in its place.
fn not_minus_one(hash: u64) -> u64 {
    if hash == u64::MAX { u64::MAX - 1 } else { hash }
}

/// The fraction that a float is, modulo the prime.
fn float(value: f64) -> u64 {
    const INFINITY: u64 = 314_159;
    if value.is_nan() {
        // An address since Python 3.10, and this before.
        return 0;
    }
    if value.is_infinite() {
        return signed(INFINITY, value < 0.0);
    }
    let bits = value.to_bits();
    let (exponent, fraction) = ((bits >> 52) & 0x7ff, bits & ((1 << 52) - 1));
    let (mantissa, exponent) =
        if exponent == 0 { (fraction, 1) } else { (fraction | 1 << 52, exponent) };
    // Times 2**(exponent - 1075); 2**61 is 1 here, so that powers of two only turn the bits round.
    let turn = (exponent + 61 * 18 - 1075) % 61;
    let turned = ((mantissa << turn) & MODULUS) | (mantissa >> (61 - turn));
    signed(turned % MODULUS, value < 0.0)
}

/// Python hashes text as the bytes that it keeps it in: as many for each character as the largest
/// one needs. Text and bytes may therefore have one hash.
fn str_hash(text: &str) -> u64 {
    if text.is_ascii() {
        return buffer(text.as_bytes());
    }
    let kept: Vec<u8> = match text.chars().max().map_or(0, u32::from) {
        0..=0xff => text.chars().map(|c| c as u8).collect(),
        0x100..=0xffff => text.chars().flat_map(|c| (c as u16).to_ne_bytes()).collect(),
        _ => text.chars().flat_map(|c| u32::from(c).to_ne_bytes()).collect(),
    };
    buffer(&kept)
}

fn buffer(bytes: &[u8]) -> u64 {
    static SECRET: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    // Nothing has the hash of zero in Python, too.
    if bytes.is_empty() { 0 } else { SECRET.hash_one(bytes) }
}

fn tuple(items: &[Value], wanted: bool) -> Result<u64, Exception> {
    const PRIMES: [u64; 3] =
        [11_400_714_785_074_694_791, 14_029_467_366_897_019_727, 2_870_177_450_012_600_261];
    let [one, two, five] = PRIMES;
    let mut sum = five;
    for item in items {
        sum = sum.wrapping_add(look(item, wanted)?.wrapping_mul(two));
        sum = sum.rotate_left(31).wrapping_mul(one);
    }
    sum = sum.wrapping_add(items.len() as u64 ^ (five ^ 3_527_539));
    Ok(if sum == u64::MAX { 1_546_275_796 } else { sum })
}

fn members(set: &Set, wanted: bool) -> Result<u64, Exception> {
    let mut keys = Keys::new("set", set.len());
    let mut sum: u64 = 0;
    for item in set.iter() {
        let hash = keys.look(item, wanted)?;
        sum ^= ((hash ^ 89_869_747) ^ (hash << 16)).wrapping_mul(3_644_798_167);
    }
    // Python's next step mixes bits, and keeps different sums different.
    Ok(sum ^ (set.len() as u64 + 1).wrapping_mul(1_927_868_237))
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
        let cases: [(Value, i64); 21] = [
            (5.into(), 5),
            ((-1).into(), -2),
            ((-7).into(), -7),
            (i64::MAX.into(), 3),
            (Value::int(big), 465_258_685_558_744_706),
            (Value::Float(3.0), 3),
            (Value::Bool(true), 1),
            (pair(1, 2), -3_550_055_125_485_641_917),
            (Value::Complex { re: 1.0, im: 2.0 }, 2_000_007),
            (Value::Complex { re: 1.0, im: 0.5 }, 3_458_764_513_820_540_929),
            (0.0.into(), 0),
            (0.5.into(), 1_152_921_504_606_846_976),
            (0.1.into(), 230_584_300_921_369_408),
            ((-2.5).into(), -1_152_921_504_606_846_978),
            (1e19.into(), 776_627_963_145_224_196),
            ((-1e25).into(), -1_590_897_979_269_721_256),
            (1e300.into(), 1_224_995_262_755_759_164),
            (5e-324.into(), 16_777_216),
            (f64::NEG_INFINITY.into(), -314_159),
            (Value::Tuple(vec![0.1.into()]), -7_683_599_147_182_787_137),
            ("".into(), 0),
        ];
        for (value, expected) in cases {
            assert_eq!(look(&value, true), Ok(expected as u64), "{value}");
        }
    }

    #[test]
    fn only_what_collides_is_refused() {
        let dict = |key: &dyn Fn(i64) -> Value| {
            Value::Dict((0..1000).map(|number| (key(number), Value::None)).collect::<Dict>())
        };
        let modulus = num_bigint::BigInt::from(MODULUS);
        let multiple = |number: i64| Value::int(&modulus * num_bigint::BigInt::from(number));
        let beside =
            |atom: Value| dict(&move |number| Value::Tuple(vec![multiple(number), atom.clone()]));
        let colliding = dict(&multiple);
        let frozen =
            |number| Value::FrozenSet([multiple(number), "a".into()].into_iter().collect());
        // Each item is one of two that have one hash.
        let one_of_two = |no: Value, yes: Value| {
            dict(&move |number| {
                let item = |bit| if number >> bit & 1 == 0 { no.clone() } else { yes.clone() };
                Value::Tuple((0i64..10).map(item).collect())
            })
        };
        for value in [
            Value::List(vec![Value::Tuple(vec![colliding.clone()])]),
            colliding,
            beside("a".into()),
            beside(Value::bytes(*b"a")),
            beside(Value::None),
            beside(0.5.into()),
            beside(1e30.into()),
            beside(f64::INFINITY.into()),
            beside(Value::Tuple(vec!["\u{e9}".into()])),
            dict(&frozen),
            one_of_two("a".into(), Value::bytes(*b"a")),
            one_of_two("\u{e9}".into(), Value::bytes([0xe9])),
            one_of_two("".into(), 0.into()),
            one_of_two(3.0.into(), (3.0 * 2f64.powi(61)).into()),
            one_of_two(0.5.into(), (1i64 << 60).into()),
        ] {
            let refused = check(&value).unwrap_err();
            assert!(refused.message().starts_with("colliding keys"), "{refused}");
        }
        for value in [
            dict(&Value::from),
            dict(&|number| Value::from(number.to_string())),
            dict(&|number| Value::Tuple(vec![number.into(), Value::from("x")])),
            dict(&|number| Value::Tuple(vec![number.into(), number.into()])),
            dict(&|number| Value::Float(number as f64 / 3.0)),
            dict(&|number| Value::Tuple(vec![number.to_string().into(), Value::None])),
            dict(&|number| Value::Tuple(vec![(number as f64).into(), f64::NAN.into()])),
            dict(&|number| {
                Value::FrozenSet([number.into(), Value::from("x")].into_iter().collect())
            }),
        ] {
            assert_eq!(check(&value), Ok(()));
        }
    }
}
