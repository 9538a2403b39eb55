//! The table of notifications.

use super::{Field, Rule, Section, ValueKind};

/// Notifications of faults.
pub(crate) static NOTIFY: Section = Section {
    key: "notify",
    one: "`notify`",
    doc: "Who hears when a daemon or a Python process dies, is given up or recovers, a service fails \
          or is unwell, a lock is broken, the disk is full, an alarm fires or clears. `ferrolab notify \
          test` tries it.",
    fields: &[
        Field {
            key: "url",
            kind: ValueKind::Text(Rule::Secret),
            default: "null",
            example: "\"https://ntfy.sh/my-lab\"",
            doc: "An `http` or `https` address to which each event is sent, as JSON in a POST \
                  request. The log never shows more of it than the host.",
        },
        Field {
            key: "headers",
            kind: ValueKind::Headers,
            default: "{}",
            example: "{Authorization: Bearer tk_123}",
            doc: "Header fields of the request. No log shows them.",
        },
        Field {
            key: "fields",
            kind: ValueKind::Parameters,
            default: "{}",
            example: "{topic: my-lab}",
            doc: "Further fields of the JSON object, which go before ours.",
        },
        Field {
            key: "command",
            kind: ValueKind::List(Rule::Any),
            default: "[]",
            example: "[/usr/local/bin/tell-us, --lab]",
            doc: "A program and its arguments, which is started for each event, with the JSON object \
                  on its standard input.",
        },
    ],
    renamed: &[("webhook", "url"), ("post", "url"), ("header", "headers"), ("run", "command")],
};
