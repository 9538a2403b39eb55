//! The table of stand-ins.

use super::{Field, PYTHON, Rule, Section, ValueKind};

/// A stand-in for a service's instrument.
pub(crate) static SIMULATE: Section = Section {
    key: "simulate",
    one: "`simulate`",
    doc: "What a service is made of when it is simulated, key by key in the place of its own: another \
          class, or the same one with other arguments. With `native` none of the service's own \
          `module`, `classname`, `parameters` and `arguments` count.",
    fields: &[
        Field {
            key: "module",
            kind: ValueKind::Text(Rule::Module),
            default: "null",
            example: "simulators",
            doc: "The Python module of the stand-in.",
        },
        Field {
            key: "classname",
            kind: ValueKind::Text(Rule::Identifier),
            default: "null",
            example: "FakeStage",
            doc: "Its class, object or function.",
        },
        Field {
            key: "native",
            kind: ValueKind::Text(Rule::Any),
            default: "null",
            example: "simulated.power_supply",
            doc: "A built-in service as the stand-in.",
        },
        Field {
            key: "parameters",
            kind: ValueKind::Parameters,
            default: "{}",
            example: "{address: SIM}",
            doc: "What the stand-in is connected with.",
        },
        Field {
            key: "arguments",
            kind: ValueKind::Arguments,
            default: "[]",
            example: "{adapter: fake}",
            doc: "What the stand-in is made with.",
        },
        Field {
            key: "python",
            kind: ValueKind::Group(&PYTHON),
            default: "{}",
            example: "{path: [simulators]}",
            doc: "The Python that the stand-in runs in.",
        },
    ],
    renamed: &[
        ("class", "classname"),
        ("params", "parameters"),
        ("args", "arguments"),
        ("kwargs", "arguments"),
        ("module_name", "module"),
    ],
};
