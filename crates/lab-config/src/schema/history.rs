//! The table of the history.

use super::{Field, Rule, SUPERVISION, Section, ValueKind};

/// The history of live values.
pub(crate) static HISTORY: Section = Section {
    key: "history",
    one: "`history`",
    doc: "The history of live values: a process that reads what the daemons of this host poll, and \
          stores it. See [values.md](values.md).",
    fields: &[
        Field {
            key: "keep",
            kind: ValueKind::Seconds { zero: true },
            default: "30d",
            example: "90d",
            doc: "How long samples are kept of a member that has no `keep`; 0 for as long as `size` \
                  allows.",
        },
        Field {
            key: "size",
            kind: ValueKind::Bytes,
            default: "2GiB",
            example: "10GiB",
            doc: "The room for all samples on the disk; the oldest make way for new ones. A series of \
                  one sample a second takes about 1 MiB a day.",
        },
        Field {
            key: "folder",
            kind: ValueKind::Text(Rule::Path),
            default: "null",
            example: "/srv/lab/history",
            doc: "Where the samples are; without it, the folder `history` in the state directory.",
        },
        Field {
            key: "host",
            kind: ValueKind::Text(Rule::Host),
            default: "localhost",
            example: "public",
            doc: "The address on which clients of other hosts read the history; `public` is all \
                  addresses of this host, IPv4 and IPv6. Only with `port`.",
        },
        Field {
            key: "port",
            kind: ValueKind::Int { what: "a port number", min: 0, max: 65535 },
            default: "null",
            example: "9093",
            doc: "The port on which clients of other hosts read the history; without it, only this \
                  host does.",
        },
        Field {
            key: "supervision",
            kind: ValueKind::Group(&SUPERVISION),
            default: "{}",
            example: "{give_up_after: 0}",
            doc: "When it is started again, and how long it is waited for.",
        },
    ],
    renamed: &[
        ("retention", "keep"),
        ("max_size", "size"),
        ("directory", "folder"),
        ("path", "folder"),
        ("address", "host"),
    ],
};
