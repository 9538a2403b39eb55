//! Python's equality and hash, for dict keys and set members.
//!
//! In Python `1 == 1.0 == True == (1+0j)`, and all four are one key. The hash has a random seed per
//! process: with a known seed a client could send keys that all collide.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;

use num_bigint::BigInt;
use num_traits::FromPrimitive;

use crate::value::Value;

/// The hash of a key.
#[derive(Clone, Copy)]
pub(crate) struct Hash {
    pub(crate) bits: u64,
    /// Whether the key is or contains a nan. A nan equals nothing, not even itself.
    pub(crate) nan: bool,
}

/// The hash of `key` under Python's equality.
pub(crate) fn hash(key: &Value) -> Hash {
    let mut hasher = KeyHasher { inner: hash_seed().build_hasher(), nan: false };
    hasher.write_value(key);
    Hash { bits: hasher.inner.finish(), nan: hasher.nan }
}

/// The hash of a `str` key, equal to that of [`hash`].
pub(crate) fn hash_str(text: &str) -> Hash {
    let mut hasher = KeyHasher { inner: hash_seed().build_hasher(), nan: false };
    hasher.write_str(text);
    Hash { bits: hasher.inner.finish(), nan: false }
}

/// Whether `a` and `b` are one key for Python.
pub(crate) fn are_equal(a: &Value, b: &Value) -> bool {
    use Value::{BigInt, Bool, Bytes, Complex, Dict, Float, FrozenSet, Int};
    use Value::{List, Set, Str, SurrogateStr, Tuple};
    match (a, b) {
        (Str(a), Str(b)) => a == b,
        (SurrogateStr(a), SurrogateStr(b)) => a == b,
        (Int(a), Int(b)) => a == b,
        (Value::None, Value::None) => true,
        (Bytes(a), Bytes(b)) => a == b,
        (BigInt(a), BigInt(b)) => a == b,
        (Tuple(a), Tuple(b)) | (List(a), List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| are_equal(a, b))
        }
        (FrozenSet(a) | Set(a), FrozenSet(b) | Set(b)) => a == b,
        (Dict(a), Dict(b)) => a == b,
        (Value::Array(a), Value::Array(b)) => a == b,
        (
            Bool(_) | Int(_) | BigInt(_) | Float(_) | Complex { .. },
            Bool(_) | Int(_) | BigInt(_) | Float(_) | Complex { .. },
        ) => match (normalize_number(a), normalize_number(b)) {
            (Number::Nan, _) | (_, Number::Nan) => false,
            (a, b) => a == b,
        },
        _ => false,
    }
}

/// Python's name of the first type in `value` that cannot be hashed, so that `value` can be no key.
pub(crate) fn unhashable_type(value: &Value) -> Option<&'static str> {
    match value {
        Value::List(_) | Value::Set(_) | Value::Dict(_) | Value::Array(_) => {
            Some(value.type_name())
        }
        Value::Tuple(items) => items.iter().find_map(unhashable_type),
        _ => None,
    }
}

fn hash_seed() -> &'static RandomState {
    static SEED: OnceLock<RandomState> = OnceLock::new();
    SEED.get_or_init(RandomState::new)
}

/// A number in the one form that all numbers equal to it share.
#[derive(PartialEq)]
enum Number {
    Small(i64),
    Big(Box<BigInt>),
    /// The bits of a float with a fraction, or of an infinity.
    Real(u64),
    /// The bits of both parts.
    Complex(u64, u64),
    Nan,
    /// No number.
    Other,
}

fn normalize_number(value: &Value) -> Number {
    match value {
        Value::Bool(bool) => Number::Small(i64::from(*bool)),
        Value::Int(int) => Number::Small(*int),
        Value::BigInt(int) => Number::Big(int.clone()),
        Value::Float(float) => normalize_float(*float),
        Value::Complex { re, im } if re.is_nan() || im.is_nan() => Number::Nan,
        Value::Complex { re, im } if *im == 0.0 => normalize_float(*re),
        // Adding 0.0 turns -0.0 into 0.0.
        Value::Complex { re, im } => Number::Complex((re + 0.0).to_bits(), (im + 0.0).to_bits()),
        _ => Number::Other,
    }
}

fn normalize_float(float: f64) -> Number {
    const I64_END: f64 = 9_223_372_036_854_775_808.0;
    if float.is_nan() {
        Number::Nan
    } else if float.is_infinite() || float.fract() != 0.0 {
        Number::Real(float.to_bits())
    } else if (-I64_END..I64_END).contains(&float) {
        Number::Small(float as i64)
    } else {
        BigInt::from_f64(float).map_or(Number::Other, |int| Number::Big(Box::new(int)))
    }
}

/// Hasher of values: a tag byte for the type, then the content.
struct KeyHasher<H> {
    inner: H,
    nan: bool,
}

impl<H: Hasher> KeyHasher<H> {
    fn write_str(&mut self, text: &str) {
        self.inner.write_u8(1);
        self.inner.write(text.as_bytes());
        self.inner.write_u8(0xff);
    }

    fn write_value(&mut self, value: &Value) {
        match value {
            Value::Str(text) => self.write_str(text),
            Value::SurrogateStr(text) => {
                self.inner.write_u8(10);
                self.inner.write(text.as_bytes());
                self.inner.write_u8(0xff);
            }
            Value::None => self.inner.write_u8(2),
            Value::Bytes(bytes) => {
                self.inner.write_u8(3);
                self.inner.write_usize(bytes.len());
                self.inner.write(bytes);
            }
            Value::Tuple(items) => {
                self.inner.write_u8(4);
                self.write_items(items);
            }
            Value::List(items) => {
                self.inner.write_u8(5);
                self.write_items(items);
            }
            Value::FrozenSet(set) | Value::Set(set) => {
                self.inner.write_u8(6);
                let hash = set.hash();
                self.inner.write_u64(hash.bits);
                self.nan |= hash.nan;
            }
            // A dict is no key in Python. If a program makes it one, its length will do: equal
            // dicts have equal hashes.
            Value::Dict(dict) => {
                self.inner.write_u8(7);
                self.inner.write_usize(dict.len());
            }
            // No key in Python either.
            Value::Array(array) => {
                self.inner.write_u8(12);
                self.inner.write_usize(array.data().len());
            }
            Value::Bool(_)
            | Value::Int(_)
            | Value::BigInt(_)
            | Value::Float(_)
            | Value::Complex { .. } => self.write_number(&normalize_number(value)),
        }
    }

    fn write_items(&mut self, items: &[Value]) {
        self.inner.write_usize(items.len());
        for item in items {
            self.write_value(item);
        }
    }

    fn write_number(&mut self, number: &Number) {
        match number {
            Number::Small(int) => {
                self.inner.write_u8(8);
                self.inner.write_i64(*int);
            }
            Number::Big(int) => {
                self.inner.write_u8(9);
                for digit in int.iter_u64_digits() {
                    self.inner.write_u64(digit);
                }
            }
            Number::Real(bits) => {
                self.inner.write_u8(10);
                self.inner.write_u64(*bits);
            }
            Number::Complex(re, im) => {
                self.inner.write_u8(11);
                self.inner.write_u64(*re);
                self.inner.write_u64(*im);
            }
            Number::Nan => self.nan = true,
            Number::Other => {}
        }
    }
}
