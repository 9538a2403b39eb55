//! The tables of the whole file, of what starts by itself, and of Python.

use super::{DAEMON, Field, Kind, NAMESERVER, Rule, SERVICE, Section};

/// The whole file.
pub(crate) static TOP: Section = Section {
    key: "",
    one: "the top level of the file",
    doc: "What runs on this host.",
    fields: &[
        Field {
            key: "version",
            kind: Kind::Version,
            default: "\"1.0\"",
            example: "\"1.0\"",
            doc: "The version of this format.",
        },
        Field {
            key: "nameservers",
            kind: Kind::Entries(&NAMESERVER),
            default: "{}",
            example: "{local: {host: localhost}}",
            doc: "Nameservers by name: those that run here, and those elsewhere that services here \
                  register with.",
        },
        Field {
            key: "daemons",
            kind: Kind::Entries(&DAEMON),
            default: "{}",
            example: "{bench: {host: localhost}}",
            doc: "Daemons by name.",
        },
        Field {
            key: "services",
            kind: Kind::Entries(&SERVICE),
            default: "{}",
            example: "{lab.laser: {module: drivers.laser, classname: Laser, daemon: bench}}",
            doc: "Services by name; the name is what clients look up.",
        },
        Field {
            key: "autolaunch",
            kind: Kind::Group(&AUTOLAUNCH),
            default: "{}",
            example: "{nameservers: [local], daemons: [bench]}",
            doc: "What starts with the supervisor.",
        },
        Field {
            key: "python",
            kind: Kind::Group(&PYTHON),
            default: "{}",
            example: "{executable: /opt/lab/venv/bin/python}",
            doc: "The Python that drivers run in, unless their daemon or service says otherwise.",
        },
    ],
    renamed: &[
        ("nameserver", "nameservers"),
        ("daemon", "daemons"),
        ("servers", "daemons"),
        ("server", "daemons"),
        ("service", "services"),
        ("autostart", "autolaunch"),
    ],
};

/// What starts by itself.
pub(crate) static AUTOLAUNCH: Section = Section {
    key: "autolaunch",
    one: "`autolaunch`",
    doc: "What starts with the supervisor.",
    fields: &[
        Field {
            key: "nameservers",
            kind: Kind::Names,
            default: "[]",
            example: "[local]",
            doc: "Nameservers to start.",
        },
        Field {
            key: "daemons",
            kind: Kind::Names,
            default: "[]",
            example: "[bench]",
            doc: "Daemons to start.",
        },
    ],
    renamed: &[("nameserver", "nameservers"), ("daemon", "daemons")],
};

/// An interpreter.
pub(crate) static PYTHON: Section = Section {
    key: "python",
    one: "`python`",
    doc: "The Python that drivers run in. The nearest setting counts: the service's, the daemon's, \
          the file's.",
    fields: &[
        Field {
            key: "executable",
            kind: Kind::Text(Rule::Path),
            default: "null",
            example: "/opt/lab/venv/bin/python",
            doc: "The interpreter: a path, or a name to be found in PATH.",
        },
        Field {
            key: "path",
            kind: Kind::List(Rule::Path),
            default: "[]",
            example: "[/opt/lab/drivers]",
            doc: "Directories to search for modules first.",
        },
        Field {
            key: "env",
            kind: Kind::Environment,
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
