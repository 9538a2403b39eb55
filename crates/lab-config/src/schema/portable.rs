//! The tables of what a portable file says about itself.

use super::{Field, Rule, Section, ValueKind};

/// Facts about a file that was exported for another host.
pub(crate) static PORTABLE: Section = Section {
    key: "portable",
    one: "`portable`",
    doc: "What `ferrolab config export --portable` writes about a file: where it comes from, and what \
          the lab needs on another host. `ferrolab config import` checks it there; a running lab makes \
          no use of it. See [Deployment](deployment.md#move-to-another-host).",
    fields: &[
        Field {
            key: "host",
            kind: ValueKind::Text(Rule::Any),
            default: "null",
            example: "opticspc",
            doc: "The host that it comes from.",
        },
        Field {
            key: "folder",
            kind: ValueKind::Text(Rule::Any),
            default: "null",
            example: "/home/ada/optics",
            doc: "The folder there in which the relative paths of the file began.",
        },
        Field {
            key: "release",
            kind: ValueKind::Text(Rule::Any),
            default: "null",
            example: "\"0.1.0\"",
            doc: "The release of Ferrolab that has written it.",
        },
        Field {
            key: "left_out",
            kind: ValueKind::List(Rule::Any),
            default: "[]",
            example: "[push.token]",
            doc: "Secrets that are not in the file: keys that are to be filled in.",
        },
        Field {
            key: "shortened",
            kind: ValueKind::List(Rule::Any),
            default: "[]",
            example: "[push.url]",
            doc: "Addresses without the user, the password or the query that they had.",
        },
        Field {
            key: "packages",
            kind: ValueKind::Records(&PACKAGES),
            default: "[]",
            example: "[{python: /opt/lab/venv/bin/python, services: [lab.laser], needs: [pyserial==3.5]}]",
            doc: "Python packages that drivers need.",
        },
    ],
    renamed: &[],
};

/// Packages that the drivers of some services need.
pub(crate) static PACKAGES: Section = Section {
    key: "packages",
    one: "an entry of `packages`",
    doc: "Python packages that the drivers of some services need, as the interpreter has them that \
          these services had on the first host.",
    fields: &[
        Field {
            key: "python",
            kind: ValueKind::Text(Rule::Any),
            default: "null",
            example: "/opt/lab/venv/bin/python",
            doc: "The interpreter, on the first host.",
        },
        Field {
            key: "version",
            kind: ValueKind::Text(Rule::Any),
            default: "null",
            example: "\"3.11.2\"",
            doc: "Its version.",
        },
        Field {
            key: "services",
            kind: ValueKind::List(Rule::Any),
            default: "[]",
            example: "[lab.laser]",
            doc: "The services.",
        },
        Field {
            key: "needs",
            kind: ValueKind::List(Rule::Package),
            default: "[]",
            example: "[pyserial==3.5, numpy==1.26.4]",
            doc: "The packages with their versions.",
        },
    ],
    renamed: &[],
};
