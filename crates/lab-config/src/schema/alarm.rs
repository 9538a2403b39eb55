//! The table of alarms.

use super::{Field, Rule, Section, ValueKind};

/// An alarm on a member's value.
pub(crate) static ALARM: Section = Section {
    key: "alarm",
    one: "an alarm",
    doc: "A condition on the values of a member, which `status`, `alarms` and `notify` tell of when it \
          holds ([alarms](alarms.md)). A member may have a list of them.",
    fields: &[
        Field {
            key: "above",
            kind: ValueKind::Number,
            default: "null",
            example: "320.5",
            doc: "It fires when the value is greater.",
        },
        Field {
            key: "below",
            kind: ValueKind::Number,
            default: "null",
            example: "2.0",
            doc: "It fires when the value is less.",
        },
        Field {
            key: "equals",
            kind: ValueKind::Values,
            default: "[]",
            example: "[fault, interlock]",
            doc: "It fires when the value is this one, or one of these.",
        },
        Field {
            key: "not",
            kind: ValueKind::Values,
            default: "[]",
            example: "ready",
            doc: "It fires when the value is another one than this, or than all of these.",
        },
        Field {
            key: "for",
            kind: ValueKind::Seconds { zero: true },
            default: "0",
            example: "10s",
            doc: "How long the condition must hold before it fires; until then it is `pending`.",
        },
        Field {
            key: "hysteresis",
            kind: ValueKind::Number,
            default: "0",
            example: "0.5",
            doc: "How far the value must come back within `above` and `below` before it clears.",
        },
        Field {
            key: "latch",
            kind: ValueKind::Flag,
            default: "false",
            example: "true",
            doc: "Whether it stays `firing` when the condition is over, until somebody acknowledges it.",
        },
        Field {
            key: "no_data",
            kind: ValueKind::Seconds { zero: false },
            default: "null",
            example: "30s",
            doc: "The time without a value after which it says `no data`; without it, never.",
        },
        Field {
            key: "part",
            kind: ValueKind::Text(Rule::Any),
            default: "null",
            example: "x",
            doc: "The part of a tuple (`0`) or a dict (`x`) that it is about; without it, each part.",
        },
        Field {
            key: "message",
            kind: ValueKind::Text(Rule::Any),
            default: "null",
            example: "\"The cryostat warms up: call Ada\"",
            doc: "What people read beside the condition.",
        },
    ],
    renamed: &[
        ("max", "above"),
        ("maximum", "above"),
        ("high", "above"),
        ("min", "below"),
        ("minimum", "below"),
        ("low", "below"),
        ("equal", "equals"),
        ("is", "equals"),
        ("differs", "not"),
        ("deadband", "hysteresis"),
        ("latched", "latch"),
        ("latching", "latch"),
        ("delay", "for"),
        ("timeout", "no_data"),
        ("text", "message"),
    ],
};
