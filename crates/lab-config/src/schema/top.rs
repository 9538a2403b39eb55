//! The tables of the whole file and of `autolaunch`.

use super::{
    ACCESS, DAEMON, Field, HISTORY, LAB, NAMESERVER, NOTIFY, PORTABLE, PUSH, PYTHON, SERVICE,
    Section, ValueKind, WEB,
};

/// The whole file.
pub(crate) static TOP: Section = Section {
    key: "",
    one: "the top level of the file",
    doc: "What runs on this host.",
    fields: &[
        Field {
            key: "version",
            kind: ValueKind::Version,
            default: "\"1.0\"",
            example: "\"1.0\"",
            doc: "The version of this format.",
        },
        Field {
            key: "nameservers",
            kind: ValueKind::Entries(&NAMESERVER),
            default: "{}",
            example: "{local: {host: localhost}}",
            doc: "Nameservers by name: those that run here, and those elsewhere that services here \
                  register with.",
        },
        Field {
            key: "daemons",
            kind: ValueKind::Entries(&DAEMON),
            default: "{}",
            example: "{bench: {host: localhost}}",
            doc: "Daemons by name.",
        },
        Field {
            key: "services",
            kind: ValueKind::Entries(&SERVICE),
            default: "{}",
            example: "{lab.laser: {module: drivers.laser, classname: Laser, daemon: bench}}",
            doc: "Services by name; the name is what clients look up.",
        },
        Field {
            key: "autolaunch",
            kind: ValueKind::Group(&AUTOLAUNCH),
            default: "{}",
            example: "{nameservers: [local], daemons: [bench]}",
            doc: "What starts with the supervisor.",
        },
        Field {
            key: "python",
            kind: ValueKind::Group(&PYTHON),
            default: "{}",
            example: "{executable: /opt/lab/venv/bin/python}",
            doc: "The Python that drivers run in, unless their daemon or service says otherwise.",
        },
        Field {
            key: "audit",
            kind: ValueKind::Choice(&["optional", "required"]),
            default: "optional",
            example: "required",
            doc: "What happens while the audit cannot be written, as on a full disk: with `required`, \
                  calls of services with `audit: calls` are refused.",
        },
        Field {
            key: "notify",
            kind: ValueKind::Group(&NOTIFY),
            default: "{}",
            example: "{url: \"https://ntfy.sh/my-lab\"}",
            doc: "Who hears of faults, and how.",
        },
        Field {
            key: "access",
            kind: ValueKind::Group(&ACCESS),
            default: "null",
            example: "{network: view, grants: [{who: ada, what: \"lab.*\", role: operate}]}",
            doc: "Who may do what; without it, everybody may do everything.",
        },
        Field {
            key: "push",
            kind: ValueKind::OneOrMore(&PUSH),
            default: "[]",
            example: "{url: \"http://metrics.example.edu:8428/write\"}",
            doc: "Time series databases that values are sent to.",
        },
        Field {
            key: "web",
            kind: ValueKind::GroupOrFlag(&WEB),
            default: "null",
            example: "{host: localhost, port: 9092}",
            doc: "The lab in a browser; `true` for the defaults. Without it there is no page.",
        },
        Field {
            key: "history",
            kind: ValueKind::GroupOrFlag(&HISTORY),
            default: "null",
            example: "{keep: 90d, size: 10GiB}",
            doc: "The history of live values; `true` for the defaults. Without it none is stored.",
        },
        Field {
            key: "labs",
            kind: ValueKind::Entries(&LAB),
            default: "{}",
            example: "{optics: {host: opticspc, port: 9090}}",
            doc: "Other labs by name, which are shown beside this one.",
        },
        Field {
            key: "portable",
            kind: ValueKind::Group(&PORTABLE),
            default: "null",
            example: "{host: opticspc, left_out: [push.token]}",
            doc: "What the export for another host says about this file.",
        },
    ],
    renamed: &[
        ("nameserver", "nameservers"),
        ("daemon", "daemons"),
        ("servers", "daemons"),
        ("server", "daemons"),
        ("service", "services"),
        ("autostart", "autolaunch"),
        ("page", "web"),
        ("lab", "labs"),
        ("federation", "labs"),
    ],
};

/// Entries that start with the supervisor.
pub(crate) static AUTOLAUNCH: Section = Section {
    key: "autolaunch",
    one: "`autolaunch`",
    doc: "What starts with the supervisor.",
    fields: &[
        Field {
            key: "nameservers",
            kind: ValueKind::Names,
            default: "[]",
            example: "[local]",
            doc: "Nameservers to start.",
        },
        Field {
            key: "daemons",
            kind: ValueKind::Names,
            default: "[]",
            example: "[bench]",
            doc: "Daemons to start.",
        },
    ],
    renamed: &[("nameserver", "nameservers"), ("daemon", "daemons")],
};
