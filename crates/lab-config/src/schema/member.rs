//! The tables of a service's members and of their arguments: one row for each key.
//!
//! Every feature that says something of one member adds its row to [`MEMBER`].

use super::{ALARM, Field, ROLES, Rule, Section, ValueKind};

/// A member of a service.
pub(crate) static MEMBER: Section = Section {
    key: "members",
    one: "a member",
    doc: "Facts about single members of a service, for drivers that do not say them themselves \
          ([the service card](card.md)). They are about a property's value or a method's result; \
          where a limit is among them, about a method's first argument. A name counts for the \
          service and for each of its parts, `ch_1.voltage` for that part only.",
    fields: &[
        TYPE,
        UNIT,
        MINIMUM,
        MAXIMUM,
        CHOICES,
        DOC,
        ARGUMENTS,
        POLL,
        KEEP,
        DEADBAND,
        CALL_TIMEOUT,
        PRIVATE,
        ROLE,
        ALARMS,
    ],
    renamed: RENAMED,
};

/// An argument of a method.
pub(crate) static ARGUMENT: Section = Section {
    key: "arguments",
    one: "an argument",
    doc: "Facts about single arguments of a method.",
    fields: &[TYPE, UNIT, MINIMUM, MAXIMUM, CHOICES, DOC],
    renamed: RENAMED,
};

/// The keys of [`MEMBER`] and [`ARGUMENT`] that describe one value.
pub(crate) const VALUE_KEYS: [&str; 6] = ["type", "unit", "minimum", "maximum", "choices", "doc"];

const RENAMED: &[(&str, &str)] = &[
    ("min", "minimum"),
    ("max", "maximum"),
    ("lower", "minimum"),
    ("upper", "maximum"),
    ("limits", "minimum"),
    ("range", "minimum"),
    ("units", "unit"),
    ("enum", "choices"),
    ("values", "choices"),
    ("description", "doc"),
    ("parameters", "arguments"),
    ("args", "arguments"),
    ("alarms", "alarm"),
    ("alert", "alarm"),
    ("poll_interval", "poll"),
    ("pollinterval", "poll"),
    ("interval", "poll"),
    ("history", "keep"),
    ("retention", "keep"),
];

const TYPE: Field = Field {
    key: "type",
    kind: ValueKind::Choice(&[
        "any", "bool", "int", "float", "complex", "str", "bytes", "list", "dict", "array",
    ]),
    default: "null",
    example: "float",
    doc: "Its type, where the driver does not say it.",
};

const UNIT: Field = Field {
    key: "unit",
    kind: ValueKind::Text(Rule::Any),
    default: "null",
    example: "mW",
    doc: "The unit of its numbers.",
};

const MINIMUM: Field = Field {
    key: "minimum",
    kind: ValueKind::Number,
    default: "null",
    example: "0",
    doc: "The least number that clients may set or pass.",
};

const MAXIMUM: Field = Field {
    key: "maximum",
    kind: ValueKind::Number,
    default: "null",
    example: "30.5",
    doc: "The greatest number that clients may set or pass.",
};

const CHOICES: Field = Field {
    key: "choices",
    kind: ValueKind::Choices,
    default: "null",
    example: "[1, 10, 100]",
    doc: "The only values that clients may set or pass.",
};

const DOC: Field = Field {
    key: "doc",
    kind: ValueKind::Text(Rule::Any),
    default: "null",
    example: "Output of the laser",
    doc: "What people read about it.",
};

const ARGUMENTS: Field = Field {
    key: "arguments",
    kind: ValueKind::Members(&ARGUMENT),
    default: "{}",
    example: "{x: {minimum: 0, maximum: 100}}",
    doc: "The arguments of a method, by their names.",
};

const POLL: Field = Field {
    key: "poll",
    kind: ValueKind::Seconds { zero: false },
    default: "null",
    example: "1s",
    doc: "The time between two readings by the daemon, of a property or a method without arguments \
          ([live values](values.md)).",
};

const KEEP: Field = Field {
    key: "keep",
    kind: ValueKind::Seconds { zero: false },
    default: "null",
    example: "30d",
    doc: "How long its values stay in the history; without it, those of a member with `poll` as long as \
          `history` says. Without `poll`, they are those that clients read.",
};

const DEADBAND: Field = Field {
    key: "deadband",
    kind: ValueKind::Deadband,
    default: "null",
    example: "0.05",
    doc: "The change of its number that makes a new sample, in its unit or in percent (`1%`). Without \
          it, each reading does; with it, one each minute does in any case.",
};

const CALL_TIMEOUT: Field = Field {
    key: "call_timeout",
    kind: ValueKind::Seconds { zero: true },
    default: "null",
    example: "20.0",
    doc: "The longest time of a call of it, and of the next item where it returns a stream; 0 for no \
          limit. Without it, the service's `call_timeout`.",
};

const ALARMS: Field = Field {
    key: "alarm",
    kind: ValueKind::OneOrMore(&ALARM),
    default: "[]",
    example: "{above: 320.5, for: 10s}",
    doc: "A condition on its value that people are told of, or a list of conditions.",
};

const PRIVATE: Field = Field {
    key: "private",
    kind: ValueKind::Flag,
    default: "false",
    example: "true",
    doc: "Whether its arguments are kept out of the call log.",
};

const ROLE: Field = Field {
    key: "role",
    kind: ROLES,
    default: "null",
    example: "view",
    doc: "The role that a client needs to call or set it, where the file has an `access` section: \
          `view` for a method that only reads, `admin` for a calibration.",
};
