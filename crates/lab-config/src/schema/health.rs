//! The table of health checks.

use super::{Field, Rule, Section, ValueKind};

/// A health check of a service.
pub(crate) static HEALTH: Section = Section {
    key: "health",
    one: "`health`",
    doc: "How the daemon finds out whether the instrument still answers.",
    fields: &[
        Field {
            key: "method",
            kind: ValueKind::Text(Rule::Identifier),
            default: "null",
            example: "identify",
            doc: "A method without arguments, or a property, exposed or not. The check fails when it \
                  raises, returns `False`, or takes longer than 10 s (or `every`, where that is \
                  less).",
        },
        Field {
            key: "every",
            kind: ValueKind::Seconds { zero: false },
            default: "30",
            example: "5m",
            doc: "The time between two checks.",
        },
        Field {
            key: "replace",
            kind: ValueKind::Flag,
            default: "false",
            example: "true",
            doc: "Whether an instance whose check has raised or returned `False` is released and \
                  made anew.",
        },
    ],
    renamed: &[("interval", "every"), ("call", "method"), ("check", "method")],
};
