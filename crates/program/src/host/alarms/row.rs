//! Row of an alarm, as the report has it, and `alarms` and `status` show it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An alarm that is not `ok`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct AlarmRow {
    pub(crate) service: String,
    /// The series: a member, with its part after a dot.
    pub(crate) member: String,
    /// `above 320`, as the configuration has it. Alarms of one series differ in it.
    pub(crate) condition: String,
    pub(crate) message: Option<String>,
    /// `pending`, `firing`, `acknowledged` or `no data`.
    pub(crate) state: String,
    /// RFC 3339.
    pub(crate) since: String,
    /// The value that brought it into its state.
    pub(crate) value: Value,
    pub(crate) unit: Option<String>,
    /// Whether the condition is over, and the alarm waits to be acknowledged (`latch`).
    pub(crate) is_over: bool,
    pub(crate) acknowledged: Option<Acknowledgement>,
    /// The supervisor fills it in.
    pub(crate) daemon: String,
}

/// The person who looks after an alarm.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Acknowledgement {
    pub(crate) by: String,
    /// RFC 3339.
    pub(crate) time: String,
    pub(crate) reason: String,
}

impl AlarmRow {
    /// `lab.cryo.temperature`.
    pub(crate) fn title(&self) -> String {
        format!("{}.{}", self.service, self.member)
    }

    /// Whether it waits for somebody.
    pub(crate) fn needs_somebody(&self) -> bool {
        match self.state.as_str() {
            "firing" => true,
            "no data" => self.acknowledged.is_none(),
            _ => false,
        }
    }

    /// The value with its unit: `321.4 K`; empty without one.
    pub(crate) fn shown_value(&self) -> String {
        let value = match &self.value {
            Value::Null => return String::new(),
            Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        match &self.unit {
            Some(unit) => format!("{value} {unit}"),
            None => value,
        }
    }

    /// The state in a sentence: `it fires (above 320), with 321.4 K: call Ada`.
    pub(crate) fn sentence(&self) -> String {
        let Self { condition, .. } = self;
        let with = match self.shown_value() {
            value if value.is_empty() => String::new(),
            value => format!(", with {value}"),
        };
        let message =
            self.message.as_ref().map_or_else(String::new, |message| format!(": {message}"));
        match self.state.as_str() {
            "firing" if self.is_over => format!(
                "it has fired ({condition}){message}; that is over, and nobody has acknowledged it"
            ),
            "firing" => format!("it fires ({condition}){with}{message}"),
            "no data" => format!("it has no data ({condition}){message}"),
            state => format!("it is {state} ({condition}){with}{message}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_says_what_is_the_matter() {
        let row = AlarmRow {
            service: "lab.cryo".to_owned(),
            member: "temperature".to_owned(),
            condition: "above 320".to_owned(),
            state: "firing".to_owned(),
            value: 321.4.into(),
            unit: Some("K".to_owned()),
            message: Some("call Ada".to_owned()),
            ..AlarmRow::default()
        };
        let over = AlarmRow { is_over: true, message: None, ..row.clone() };
        let silent = AlarmRow { state: "no data".to_owned(), message: None, ..row.clone() };
        for (row, expected) in [
            (row, "it fires (above 320), with 321.4 K: call Ada"),
            (over, "it has fired (above 320); that is over, and nobody has acknowledged it"),
            (silent, "it has no data (above 320)"),
        ] {
            assert_eq!(
                (row.title().as_str(), row.sentence().as_str()),
                ("lab.cryo.temperature", expected)
            );
        }
    }
}
