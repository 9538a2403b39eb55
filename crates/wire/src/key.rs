//! Python's equality and hash, for dict keys and set members.
//!
//! Owns the rule that `1 == 1.0 == True == (1+0j)`. The hash has a seed drawn once per process: with
//! a known one a client could send keys that all collide.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;

use num_bigint::BigInt;
use num_traits::FromPrimitive;

use crate::value::Value;

/// A key's hash, and whether the key contains a nan, which equals nothing, not even itself.
#[derive(Clone, Copy)]
pub(crate) struct Hash {
    pub(crate) bits: u64,
    pub(crate) nan: bool,
}

/// The hash of `key` under Python's equality.
pub(crate) fn hash(key: &Value) -> Hash {
    let mut state = State { hasher: seed().build_hasher(), nan: false };
    state.value(key);
    Hash { bits: state.hasher.finish(), nan: state.nan }
}

/// The hash of a `str` key, the same as [`hash`] gives.
pub(crate) fn hash_str(text: &str) -> Hash {
    let mut state = State { hasher: seed().build_hasher(), nan: false };
    state.text(text);
    Hash { bits: state.hasher.finish(), nan: false }
}

/// Whether Python takes `a` and `b` for the same key.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    use Value::{BigInt, Bool, Bytes, Complex, Dict, Float, FrozenSet, Int, List, Set, Str, Tuple};
    match (a, b) {
        (Str(a), Str(b)) => a == b,
        (Int(a), Int(b)) => a == b,
        (Value::None, Value::None) => true,
        (Bytes(a), Bytes(b)) => a == b,
        (BigInt(a), BigInt(b)) => a == b,
        (Tuple(a), Tuple(b)) | (List(a), List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (FrozenSet(a) | Set(a), FrozenSet(b) | Set(b)) => a == b,
        (Dict(a), Dict(b)) => a == b,
        (
            Bool(_) | Int(_) | BigInt(_) | Float(_) | Complex { .. },
            Bool(_) | Int(_) | BigInt(_) | Float(_) | Complex { .. },
        ) => match (number(a), number(b)) {
            (Number::Nan, _) | (_, Number::Nan) => false,
            (a, b) => a == b,
        },
        _ => false,
    }
}

/// Python's name of the first type inside `value` that makes it useless as a key.
pub(crate) fn unhashable(value: &Value) -> Option<&'static str> {
    match value {
        Value::List(_) | Value::Set(_) | Value::Dict(_) => Some(value.type_name()),
        Value::Tuple(items) => items.iter().find_map(unhashable),
        _ => None,
    }
}

fn seed() -> &'static RandomState {
    static SEED: OnceLock<RandomState> = OnceLock::new();
    SEED.get_or_init(RandomState::new)
}

/// A number in the one form that its equals share.
#[derive(PartialEq)]
enum Number {
    Small(i64),
    Big(Box<BigInt>),
    /// Bits of a float that is no whole number.
    Real(u64),
    Complex(u64, u64),
    Nan,
    /// Not a number at all.
    Other,
}

fn number(value: &Value) -> Number {
    match value {
        Value::Bool(bool) => Number::Small(i64::from(*bool)),
        Value::Int(int) => Number::Small(*int),
        Value::BigInt(int) => Number::Big(int.clone()),
        Value::Float(float) => real(*float),
        Value::Complex { re, im } if re.is_nan() || im.is_nan() => Number::Nan,
        Value::Complex { re, im } if *im == 0.0 => real(*re),
        // Adding 0.0 turns -0.0 into 0.0.
        Value::Complex { re, im } => Number::Complex((re + 0.0).to_bits(), (im + 0.0).to_bits()),
        _ => Number::Other,
    }
}

fn real(float: f64) -> Number {
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

struct State<H> {
    hasher: H,
    nan: bool,
}

impl<H: Hasher> State<H> {
    fn text(&mut self, text: &str) {
        self.hasher.write_u8(1);
        self.hasher.write(text.as_bytes());
        self.hasher.write_u8(0xff);
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Str(text) => self.text(text),
            Value::None => self.hasher.write_u8(2),
            Value::Bytes(bytes) => {
                self.hasher.write_u8(3);
                self.hasher.write_usize(bytes.len());
                self.hasher.write(bytes);
            }
            Value::Tuple(items) => {
                self.hasher.write_u8(4);
                self.items(items);
            }
            Value::List(items) => {
                self.hasher.write_u8(5);
                self.items(items);
            }
            Value::FrozenSet(set) | Value::Set(set) => {
                self.hasher.write_u8(6);
                let hash = set.hash();
                self.hasher.write_u64(hash.bits);
                self.nan |= hash.nan;
            }
            // No key of Python's; a program's mistake must still cost no more than a scan.
            Value::Dict(dict) => {
                self.hasher.write_u8(7);
                self.hasher.write_usize(dict.len());
            }
            Value::Bool(_)
            | Value::Int(_)
            | Value::BigInt(_)
            | Value::Float(_)
            | Value::Complex { .. } => self.number(&number(value)),
        }
    }

    fn items(&mut self, items: &[Value]) {
        self.hasher.write_usize(items.len());
        for item in items {
            self.value(item);
        }
    }

    fn number(&mut self, number: &Number) {
        match number {
            Number::Small(int) => {
                self.hasher.write_u8(8);
                self.hasher.write_i64(*int);
            }
            Number::Big(int) => {
                self.hasher.write_u8(9);
                for digit in int.iter_u64_digits() {
                    self.hasher.write_u64(digit);
                }
            }
            Number::Real(bits) => {
                self.hasher.write_u8(10);
                self.hasher.write_u64(*bits);
            }
            Number::Complex(re, im) => {
                self.hasher.write_u8(11);
                self.hasher.write_u64(*re);
                self.hasher.write_u64(*im);
            }
            Number::Nan => self.nan = true,
            Number::Other => {}
        }
    }
}
