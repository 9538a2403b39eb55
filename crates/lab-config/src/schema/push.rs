//! The table of databases that values are sent to.

use super::{Field, Rule, Section, ValueKind};

/// A database that values are sent to.
pub(crate) static PUSH: Section = Section {
    key: "push",
    one: "`push`",
    doc: "A time series database that the values of the history are sent to, as InfluxDB's line \
          protocol over HTTP ([metrics](metrics.md)): InfluxDB, VictoriaMetrics, QuestDB, Telegraf. \
          The history is the queue: what could not be sent is sent later. There may be a list.",
    fields: &[
        Field {
            key: "url",
            kind: ValueKind::Text(Rule::Any),
            default: "\"\"",
            example: "\"http://metrics.example.edu:8428/write\"",
            doc: "The `http` or `https` address that takes lines, with the database in it where the \
                  target wants one. The log never shows more of it than the host.",
        },
        Field {
            key: "token",
            kind: ValueKind::Text(Rule::Secret),
            default: "null",
            example: "my-token",
            doc: "A token of InfluxDB, sent as `Authorization: Token`. No log shows it.",
        },
        Field {
            key: "headers",
            kind: ValueKind::Headers,
            default: "{}",
            example: "{X-Scope: my-lab}",
            doc: "Further header fields of the request. No log shows them.",
        },
        Field {
            key: "every",
            kind: ValueKind::Seconds { zero: false },
            default: "10",
            example: "1m",
            doc: "The time between two requests.",
        },
        Field {
            key: "match",
            kind: ValueKind::List(Rule::Any),
            default: "[]",
            example: "[\"lab.cryo.*\"]",
            doc: "Which values, as `SERVICE.MEMBER` with `*` for any text; without it, all.",
        },
    ],
    renamed: &[
        ("target", "url"),
        ("address", "url"),
        ("interval", "every"),
        ("header", "headers"),
        ("series", "match"),
        ("filter", "match"),
    ],
};
