//! Types of values on a card, in Python's terms.
//!
//! A type that nobody has declared is [`Type::Any`]: none is ever guessed.

use std::fmt;

use wire::value::Value;

/// Levels of nesting that a type may have; the rest is [`Type::Any`].
const MAX_DEPTH: usize = 8;

/// A type in Python's terms.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Type {
    /// Anything: nobody has declared it.
    #[default]
    Any,
    /// `None`, the result of a method that returns nothing.
    None,
    /// True or false.
    Bool,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// A complex number.
    Complex,
    /// A text.
    Str,
    /// Bytes.
    Bytes,
    /// A numpy array; a list for stock clients.
    Array,
    /// A list.
    List(Box<Type>),
    /// A set.
    Set(Box<Type>),
    /// A tuple with an item of each type.
    Tuple(Vec<Type>),
    /// A tuple of any length.
    TupleOf(Box<Type>),
    /// A dict: its keys and its values.
    Dict(Box<(Type, Type)>),
    /// One of a few values.
    Enum(Vec<Value>),
    /// One of several types.
    Union(Vec<Type>),
}

impl Type {
    /// The type that one word of the configuration names.
    pub fn from_word(word: &str) -> Type {
        match word {
            "none" => Type::None,
            "bool" => Type::Bool,
            "int" => Type::Int,
            "float" => Type::Float,
            "complex" => Type::Complex,
            "str" => Type::Str,
            "bytes" => Type::Bytes,
            "array" => Type::Array,
            "list" => Type::List(Box::default()),
            "dict" => Type::Dict(Box::default()),
            _ => Type::Any,
        }
    }

    /// An optional value of this type.
    #[must_use]
    pub fn or_none(self) -> Type {
        match self {
            Type::Any | Type::None => self,
            Type::Union(mut types) => {
                if !types.contains(&Type::None) {
                    types.push(Type::None);
                }
                Type::Union(types)
            }
            one => Type::Union(vec![one, Type::None]),
        }
    }

    /// Whether `None` is one of its values.
    pub fn allows_none(&self) -> bool {
        match self {
            Type::None => true,
            Type::Union(types) => types.iter().any(Type::allows_none),
            Type::Enum(values) => values.contains(&Value::None),
            _ => false,
        }
    }

    pub(super) fn to_value(&self) -> Value {
        let nested = |head: &str, items: Vec<Value>| {
            Value::List(std::iter::once(Value::from(head)).chain(items).collect())
        };
        let all = |types: &[Type]| types.iter().map(Type::to_value).collect();
        match self {
            Type::Any => "any".into(),
            Type::None => "none".into(),
            Type::Bool => "bool".into(),
            Type::Int => "int".into(),
            Type::Float => "float".into(),
            Type::Complex => "complex".into(),
            Type::Str => "str".into(),
            Type::Bytes => "bytes".into(),
            Type::Array => "array".into(),
            Type::List(item) => nested("list", vec![item.to_value()]),
            Type::Set(item) => nested("set", vec![item.to_value()]),
            Type::Tuple(items) => nested("tuple", all(items)),
            Type::TupleOf(item) => nested("tuple_of", vec![item.to_value()]),
            Type::Dict(pair) => nested("dict", vec![pair.0.to_value(), pair.1.to_value()]),
            Type::Enum(values) => nested("enum", values.clone()),
            Type::Union(types) => nested("union", all(types)),
        }
    }

    /// Reads a type; what cannot be read is `Any`.
    pub(super) fn from_value(value: &Value) -> Type {
        Type::read(value, MAX_DEPTH)
    }

    fn read(value: &Value, depth: usize) -> Type {
        if let Some(word) = value.as_str() {
            return Type::from_word(word);
        }
        let Some(depth) = depth.checked_sub(1) else { return Type::Any };
        let Some([Value::Str(head), rest @ ..]) = value.as_list() else { return Type::Any };
        let item = || Box::new(rest.first().map_or(Type::Any, |item| Type::read(item, depth)));
        let all = || rest.iter().map(|item| Type::read(item, depth)).collect();
        match head.as_str() {
            "list" => Type::List(item()),
            "set" => Type::Set(item()),
            "tuple" => Type::Tuple(all()),
            "tuple_of" => Type::TupleOf(item()),
            "dict" => Type::Dict(Box::new((
                *item(),
                rest.get(1).map_or(Type::Any, |item| Type::read(item, depth)),
            ))),
            "enum" => Type::Enum(rest.to_vec()),
            "union" => Type::Union(all()),
            _ => Type::Any,
        }
    }
}

/// As Python writes it: `list[float] | None`.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |types: &[Type], between: &str| {
            types.iter().map(ToString::to_string).collect::<Vec<_>>().join(between)
        };
        match self {
            Type::Any => f.write_str("Any"),
            Type::None => f.write_str("None"),
            Type::Bool => f.write_str("bool"),
            Type::Int => f.write_str("int"),
            Type::Float => f.write_str("float"),
            Type::Complex => f.write_str("complex"),
            Type::Str => f.write_str("str"),
            Type::Bytes => f.write_str("bytes"),
            Type::Array => f.write_str("array"),
            Type::List(item) => write!(f, "list[{item}]"),
            Type::Set(item) => write!(f, "set[{item}]"),
            Type::Tuple(items) if items.is_empty() => f.write_str("tuple[()]"),
            Type::Tuple(items) => write!(f, "tuple[{}]", joined(items, ", ")),
            Type::TupleOf(item) => write!(f, "tuple[{item}, ...]"),
            Type::Dict(pair) => write!(f, "dict[{}, {}]", pair.0, pair.1),
            Type::Enum(values) => {
                let values: Vec<String> = values.iter().map(ToString::to_string).collect();
                write!(f, "Literal[{}]", values.join(", "))
            }
            Type::Union(types) => f.write_str(&joined(types, " | ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_survive_the_wire_and_look_like_pythons() {
        let list = |item| Type::List(Box::new(item));
        let cases = [
            (Type::Any, "Any"),
            (list(Type::Float).or_none(), "list[float] | None"),
            (Type::Tuple(vec![Type::Int, Type::Str]), "tuple[int, str]"),
            (Type::TupleOf(Box::new(Type::Bytes)), "tuple[bytes, ...]"),
            (Type::Dict(Box::new((Type::Str, list(Type::Array)))), "dict[str, list[array]]"),
            (Type::Enum(vec!["a".into(), 1.into(), Value::None]), "Literal['a', 1, None]"),
        ];
        for (kind, text) in cases {
            assert_eq!(kind.to_string(), text);
            assert_eq!(Type::from_value(&kind.to_value()), kind, "{text}");
        }
        let mut deep = Value::from("int");
        for _ in 0..100 {
            deep = Value::List(vec!["list".into(), deep]);
        }
        assert!(Type::from_value(&deep).to_string().ends_with("list[Any]]]]]]]]"));
        assert_eq!(Type::from_value(&Value::from(1)), Type::Any);
    }
}
