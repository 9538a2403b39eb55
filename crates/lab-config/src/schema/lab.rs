//! The table of another lab, which this one shows beside itself.

use super::{Field, PORT, Rule, Section, ValueKind};

/// Another lab.
pub(crate) static LAB: Section = Section {
    key: "labs",
    one: "another lab",
    doc: "Another lab that commands and the Python client show beside this one: its service \
          `lab.laser` as `optics/lab.laser`. It is read at its nameserver's port and nothing else, and \
          is never changed from here. See [Many labs](many-labs.md).",
    fields: &[
        Field {
            key: "host",
            kind: ValueKind::Text(Rule::Host),
            default: "localhost",
            example: "opticspc",
            doc: "The host of its nameserver: a name or an address.",
        },
        Field {
            key: "port",
            kind: PORT,
            default: "9090",
            example: "9090",
            doc: "The port of its nameserver.",
        },
        Field {
            key: "ssl",
            kind: ValueKind::Flag,
            default: "false",
            example: "true",
            doc: "Whether it is read with TLS only. Without, a login of this user there \
                  (`ferrolab login`) decides, else the variables `PYRO_SSL*`.",
        },
        Field {
            key: "ssl_cacerts",
            kind: ValueKind::Text(Rule::Path),
            default: "null",
            example: "certs/optics-ca.pem",
            doc: "The authority that its certificate is trusted by, a PEM file; null for that of the \
                  login there, else those of the operating system.",
        },
        Field {
            key: "ssl_clientcert",
            kind: ValueKind::Text(Rule::Path),
            default: "null",
            example: "certs/me.pem",
            doc: "The certificate that is shown there, a PEM file; null for that of the login there.",
        },
        Field {
            key: "ssl_clientkey",
            kind: ValueKind::Text(Rule::Path),
            default: "null",
            example: "certs/me-key.pem",
            doc: "That certificate's private key, a PEM file; null if it is in the same file.",
        },
    ],
    renamed: &[
        ("ns_port", "port"),
        ("ns_host", "host"),
        ("address", "host"),
        ("ca", "ssl_cacerts"),
        ("tls", "ssl"),
    ],
};
