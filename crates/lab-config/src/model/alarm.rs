//! Alarms on the values of members.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::seconds;
use crate::data::Data;

/// An alarm on a member's value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alarm {
    /// It fires when the value is greater.
    pub above: Option<f64>,
    /// It fires when the value is less.
    pub below: Option<f64>,
    /// It fires when the value is one of these.
    pub equals: Vec<Data>,
    /// It fires when the value is not among these; an empty list is no condition.
    pub not: Vec<Data>,
    /// How long the condition must hold.
    #[serde(rename = "for", with = "seconds")]
    pub hold: Option<Duration>,
    /// How far the value must come back before it clears.
    pub hysteresis: f64,
    /// Whether it stays until somebody acknowledges it.
    pub latch: bool,
    /// The time without a value after which that is an alarm.
    #[serde(with = "seconds")]
    pub no_data: Option<Duration>,
    /// The part of a tuple or a dict that it is about; each part if absent.
    pub part: Option<String>,
    /// The text for people.
    pub message: Option<String>,
}

impl Alarm {
    /// The condition in words: `above 320 or below 2`. Alarms of one member differ in it.
    pub fn condition(&self) -> String {
        let list = |values: &[Data]| values.iter().map(word).collect::<Vec<_>>().join(" or ");
        let mut words = Vec::new();
        words.extend(self.above.map(|limit| format!("above {limit}")));
        words.extend(self.below.map(|limit| format!("below {limit}")));
        if !self.equals.is_empty() {
            words.push(format!("equals {}", list(&self.equals)));
        }
        if !self.not.is_empty() {
            words.push(format!("not {}", list(&self.not)));
        }
        if words.is_empty() {
            let seconds = self.no_data.unwrap_or_default().as_secs_f64();
            words.push(format!("no data for {seconds} s"));
        }
        words.join(" or ")
    }

    /// Whether it has a condition on values.
    pub fn has_condition(&self) -> bool {
        self.above.is_some()
            || self.below.is_some()
            || !self.equals.is_empty()
            || !self.not.is_empty()
    }
}

fn word(value: &Data) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None => serde_json::to_string(value).unwrap_or_default(),
    }
}
