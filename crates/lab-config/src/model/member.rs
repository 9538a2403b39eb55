//! Facts about single members of a service, and about arguments of its methods.

use serde::{Deserialize, Serialize};

use crate::data::Data;

/// Facts about a member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its name; after the path of a part and a dot where it counts for that part only.
    pub name: String,
    /// A property's value, or a method's result and first argument.
    pub value: ValueFacts,
    /// A method's arguments, by their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<Argument>,
}

/// Facts about an argument of a method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: ValueFacts,
}

/// Facts about one value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValueFacts {
    /// Its type, as one of the words of the schema.
    #[serde(rename = "type")]
    pub type_word: Option<String>,
    /// The unit of its numbers.
    pub unit: Option<String>,
    /// The least number that clients may give.
    pub minimum: Option<f64>,
    /// The greatest number that clients may give.
    pub maximum: Option<f64>,
    /// The only values that clients may give.
    pub choices: Option<Vec<Data>>,
    /// The text that people read about it.
    pub doc: Option<String>,
}
