//! The table of Python interpreters.

use super::{Field, Rule, Section, ValueKind};

/// An interpreter.
pub(crate) static PYTHON: Section = Section {
    key: "python",
    one: "`python`",
    doc: "The Python that drivers run in. The nearest setting counts: the service's, the daemon's, \
          the file's.",
    fields: &[
        Field {
            key: "executable",
            kind: ValueKind::Text(Rule::Path),
            default: "null",
            example: "/opt/lab/venv/bin/python",
            doc: "The interpreter: a path, or a name to be found in PATH. Without it `python3` in the \
                  folder of the program `ferrolab` (a virtual environment into which pip installed \
                  it), else in PATH.",
        },
        Field {
            key: "path",
            kind: ValueKind::List(Rule::Path),
            default: "[]",
            example: "[/opt/lab/drivers]",
            doc: "Directories to search for modules first.",
        },
        Field {
            key: "env",
            kind: ValueKind::Environment,
            default: "{}",
            example: "{SANTEC_LOG: debug}",
            doc: "Environment variables.",
        },
    ],
    renamed: &[
        ("interpreter", "executable"),
        ("paths", "path"),
        ("pythonpath", "path"),
        ("environment", "env"),
    ],
};
