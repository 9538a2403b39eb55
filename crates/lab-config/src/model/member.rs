//! Facts about single members of a service, and about arguments of its methods.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::access::AccessRole;
use super::alarm::Alarm;
use crate::data::Data;

/// Facts about a member.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its name; after the path of a part and a dot where it counts for that part only.
    pub name: String,
    /// A property's value, or a method's result and first argument.
    pub value: ValueFacts,
    /// A method's arguments, by their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<Argument>,
    /// The time between two readings by its daemon; it is not read if absent.
    #[serde(default, with = "limit", skip_serializing_if = "Option::is_none")]
    pub poll: Option<Duration>,
    /// How long its values stay in the history; they are not kept if absent.
    #[serde(default, with = "limit", skip_serializing_if = "Option::is_none")]
    pub keep: Option<Duration>,
    /// The change that makes a new sample; each reading makes one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadband: Option<Deadband>,
    /// The longest time of its calls; the service's if absent, no limit if zero.
    #[serde(default, with = "limit", skip_serializing_if = "Option::is_none")]
    pub call_timeout: Option<Duration>,
    /// Whether its arguments are kept out of the call log.
    #[serde(default, skip_serializing_if = "is_false")]
    pub private: bool,
    /// The role that a client needs to call or set it; the usual one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<AccessRole>,
    /// Conditions on its value.
    #[serde(default, rename = "alarm", skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<Alarm>,
}

impl Member {
    /// A member without any facts.
    pub fn named(name: &str) -> Self {
        Member { name: name.to_owned(), ..Member::default() }
    }

    /// Whether its values are published and kept: it is read by its daemon, or when clients read
    /// it.
    pub fn has_series(&self) -> bool {
        self.poll.is_some() || self.keep.is_some()
    }
}

/// The least change of a number that makes a new sample.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Deadband {
    /// In the number's unit.
    Absolute(f64),
    /// In percent of the last sample.
    Percent(f64),
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// Serde form of a duration as a number of seconds, in which zero is a value like any other.
mod limit {
    use super::*;

    pub(super) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        duration.map(|duration| duration.as_secs_f64()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let seconds = Option::<f64>::deserialize(deserializer)?;
        seconds.map(Duration::try_from_secs_f64).transpose().map_err(D::Error::custom)
    }
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
