//! Value model of Python's plain data, shared by all serializers.

use std::sync::Arc;

use num_bigint::BigInt;
use num_traits::ToPrimitive;

pub use crate::array::Array;
pub use crate::dict::Dict;
pub use crate::set::Set;
pub use crate::surrogate_text::SurrogateText;

/// A value of Python's plain data.
///
/// `==` compares the structure: `Int(1) != Float(1.0)`. Dicts and sets compare without regard to
/// order. The keys of a [`Dict`] and the members of a [`Set`] are unique under Python's own `==`.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `None`
    None,
    /// `True` or `False`
    Bool(bool),
    /// An `int` of 64 bits.
    Int(i64),
    /// An `int` beyond 64 bits. Use [`Value::int`], which chooses the variant that fits.
    BigInt(Box<BigInt>),
    /// A `float`, nan and the infinities included.
    Float(f64),
    /// A `complex`.
    Complex {
        /// The real part.
        re: f64,
        /// The imaginary part.
        im: f64,
    },
    /// A `str` without lone surrogates.
    Str(String),
    /// A `str` with lone surrogates.
    SurrogateStr(SurrogateText),
    /// A `bytes`.
    Bytes(Vec<u8>),
    /// A `list`.
    List(Vec<Value>),
    /// A `tuple`.
    Tuple(Vec<Value>),
    /// A `set`.
    Set(Set),
    /// A `frozenset`.
    FrozenSet(Set),
    /// A `dict`; an instance of a class travels as one with a `"__class__"` entry.
    Dict(Dict),
    /// A numpy array; a list of lists for those who know no arrays.
    Array(Arc<Array>),
}

impl Value {
    /// Bytes of memory that the value and all it holds take, roughly.
    pub fn memory(&self) -> usize {
        let sum = |items: &[Value]| items.iter().map(Value::memory).sum();
        size_of::<Value>()
            + match self {
                Value::Str(text) => text.len(),
                Value::SurrogateStr(text) => text.len(),
                Value::Bytes(bytes) => bytes.len(),
                Value::List(items) | Value::Tuple(items) => sum(items),
                Value::Set(set) | Value::FrozenSet(set) => set.iter().map(Value::memory).sum(),
                Value::Dict(dict) => {
                    let pairs = dict.iter().map(|(key, value)| key.memory() + value.memory());
                    pairs.sum()
                }
                Value::Array(array) => array.memory(),
                _ => 0,
            }
    }

    /// Drops the value: lists of numbers at once, also those in lists and dicts. A plain drop would
    /// look at each number whether there is memory to free, which takes longer than to write it.
    pub fn discard(self) {
        let items = match self {
            Value::List(items) | Value::Tuple(items) => items,
            Value::Dict(dict) => return dict.into_iter().for_each(|(_, value)| value.discard()),
            _ => return,
        };
        let owns_nothing = |item: &Value| {
            use Value::{Bool, Complex, Float, Int};
            matches!(item, Value::None | Bool(_) | Int(_) | Float(_) | Complex { .. })
        };
        if items.iter().all(owns_nothing) {
            items.into_iter().for_each(std::mem::forget);
        } else {
            items.into_iter().for_each(Value::discard);
        }
    }

    /// A `bytes` value.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Value {
        Value::Bytes(bytes.into())
    }

    /// An `int` of any size, in the variant that fits it.
    pub fn int(int: BigInt) -> Value {
        match int.to_i64() {
            Some(small) => Value::Int(small),
            None => Value::BigInt(Box::new(int)),
        }
    }

    /// The text of a `str` without lone surrogates.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The number of an `int` that fits 64 bits; a `bool` is an `int`, as in Python.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::Int(int) => Some(*int),
            Value::Bool(bool) => Some(i64::from(*bool)),
            _ => None,
        }
    }

    /// The number of a `float` or an `int`. An `int` beyond the range of a float gives an infinity.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Float(float) => Some(*float),
            Value::Int(int) => Some(*int as f64),
            Value::Bool(bool) => Some(f64::from(u8::from(*bool))),
            Value::BigInt(int) => int.to_f64(),
            _ => None,
        }
    }

    /// The truth of a `bool`.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(bool) => Some(*bool),
            _ => None,
        }
    }

    /// The content of a `bytes`.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The items of a `list` or a `tuple`.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Value::List(items) | Value::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// The entries of a `dict`.
    pub fn as_dict(&self) -> Option<&Dict> {
        match self {
            Value::Dict(dict) => Some(dict),
            _ => None,
        }
    }

    /// Whether this is `None`.
    pub fn is_none(&self) -> bool {
        matches!(self, Value::None)
    }

    /// Python's name of the type: `int`, `NoneType`, `frozenset` ...
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::None => "NoneType",
            Value::Bool(_) => "bool",
            Value::Int(_) | Value::BigInt(_) => "int",
            Value::Float(_) => "float",
            Value::Complex { .. } => "complex",
            Value::Str(_) | Value::SurrogateStr(_) => "str",
            Value::Bytes(_) => "bytes",
            Value::List(_) => "list",
            Value::Tuple(_) => "tuple",
            Value::Set(_) => "set",
            Value::FrozenSet(_) => "frozenset",
            Value::Dict(_) => "dict",
            Value::Array(_) => "ndarray",
        }
    }
}

macro_rules! conversions {
    ($($type:ty, $from:ident => $value:expr;)*) => {$(
        impl From<$type> for Value {
            fn from($from: $type) -> Self {
                $value
            }
        }
    )*};
}

conversions! {
    bool, bool => Value::Bool(bool);
    i8, int => Value::Int(int.into());
    i16, int => Value::Int(int.into());
    i32, int => Value::Int(int.into());
    i64, int => Value::Int(int);
    u8, int => Value::Int(int.into());
    u16, int => Value::Int(int.into());
    u32, int => Value::Int(int.into());
    u64, int => i64::try_from(int).map_or_else(|_| Value::BigInt(Box::new(int.into())), Value::Int);
    usize, int => Value::from(int as u64);
    BigInt, int => Value::int(int);
    f64, float => Value::Float(float);
    &str, text => Value::Str(text.to_owned());
    &String, text => Value::Str(text.clone());
    String, text => Value::Str(text);
    Vec<Value>, items => Value::List(items);
    Dict, dict => Value::Dict(dict);
    (), _unit => Value::None;
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(option: Option<T>) -> Self {
        option.map_or(Value::None, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_takes_four_words() {
        assert_eq!(size_of::<Value>(), 32);
    }

    #[test]
    fn a_discarded_value_frees_its_memory() {
        let array = Arc::new(Array::from_values(&[1], &[1.5]).unwrap());
        let held = || Value::Array(Arc::clone(&array));
        let inner = Value::Tuple(vec![held(), 2.into()]);
        for value in [
            held(),
            Value::List(vec![1.into(), 1.5.into(), held()]),
            Value::List(vec![inner, Value::List(vec![1.into(), 2.into()]), Value::None]),
            Value::List(vec![Value::Dict([("a", held())].into_iter().collect()), true.into()]),
            Value::Dict([("a", Value::List(vec![1.into()])), ("b", held())].into_iter().collect()),
        ] {
            let holders = Arc::strong_count(&array);
            value.discard();
            assert_eq!(Arc::strong_count(&array), holders - 1);
        }
    }

    #[test]
    fn ints_take_the_form_that_fits() {
        assert_eq!(Value::int(BigInt::from(-5)), Value::Int(-5));
        assert_eq!(Value::from(u64::MAX), Value::BigInt(Box::new(BigInt::from(u64::MAX))));
        assert_eq!(Value::from(i64::MAX as u64), Value::Int(i64::MAX));
    }

    #[test]
    fn numbers_read_as_python_sees_them() {
        assert_eq!(Value::Bool(true).as_i64(), Some(1));
        assert_eq!(Value::Int(3).as_f64(), Some(3.0));
        assert_eq!(Value::from("3").as_f64(), None);
        assert_eq!(Value::from(Option::<i32>::None), Value::None);
    }
}
