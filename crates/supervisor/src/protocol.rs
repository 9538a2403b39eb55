//! Protocol between a supervisor and its child, over the child's standard input and output.
//!
//! ```text
//! parent -> child   <assignment: any text in one line>      once, first
//!                   {"message":{...}}                       while the child runs
//!                   stop                                    at most once
//!                   end of file                             the parent is dead
//! child -> parent   {"event":"ready","detail":{...}}        once it serves
//!                   {"event":"status","detail":{...}}       whenever the detail changes
//!                   {"event":"failed","error":"..."}        before it exits by itself
//! ```
//!
//! Any other line of a child is output of its program, and is logged.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Line that asks a child to end.
pub(crate) const STOP: &str = "stop";

/// Longest report, in bytes. It bounds the memory for a child that prints without newlines.
pub(crate) const MAX_REPORT_BYTES: usize = 1024 * 1024;

/// Message of a supervisor to its child: one line of JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ParentMessage {
    pub(crate) message: Value,
}

impl ParentMessage {
    /// Parses a line; `None` if it is no message.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    /// The message as a line, with its newline.
    pub(crate) fn to_line(&self) -> String {
        // Plain data with text keys always has a JSON form.
        let mut line = serde_json::to_string(self).unwrap_or_default();
        line.push('\n');
        line
    }
}

/// Report of a child to its supervisor: one line of JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum Report {
    /// The child serves.
    Ready {
        /// The detail for `ps` and `status`.
        #[serde(default)]
        detail: Value,
    },
    /// The child's detail has changed.
    Status {
        /// Replaces the last detail.
        #[serde(default)]
        detail: Value,
    },
    /// The child is about to exit.
    Failed {
        /// The reason.
        error: String,
    },
}

impl Report {
    /// Parses a line; `None` if it is no report.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        line.starts_with('{').then(|| serde_json::from_str(line).ok()).flatten()
    }

    /// The report as a line, with its newline.
    pub(crate) fn to_line(&self) -> String {
        // Plain data with text keys always has a JSON form.
        let mut line = serde_json::to_string(self).unwrap_or_default();
        line.push('\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines() {
        let ready = |detail| Some(Report::Ready { detail });
        let failed = |error: &str| Some(Report::Failed { error: error.to_owned() });
        let cases = [
            (r#"{"event":"ready","detail":{"port":9090}}"#, ready(json!({"port": 9090}))),
            (r#"{"event":"ready"}"#, ready(Value::Null)),
            (r#"{"event":"status","detail":1}"#, Some(Report::Status { detail: json!(1) })),
            (r#"{"event":"failed","error":"port in use","fatal":true}"#, failed("port in use")),
            (r#"{"event":"failed"}"#, None),
            (r#"{"event":"dance"}"#, None),
            (r#"{"not":"ours"}"#, None),
            ("ready", None),
            ("", None),
        ];
        for (line, report) in cases {
            assert_eq!(Report::parse(line), report, "{line}");
            if let Some(report) = report {
                assert_eq!(Report::parse(report.to_line().trim_end()), Some(report), "{line}");
            }
        }
    }
}
