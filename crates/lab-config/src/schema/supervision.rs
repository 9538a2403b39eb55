//! The table of supervision: restarts, timeouts and memory limits of a process.

use super::{Field, Section, ValueKind};

/// Supervision of a nameserver or a daemon: restarts and timeouts.
pub(crate) static SUPERVISION: Section = Section {
    key: "supervision",
    one: "`supervision`",
    doc: "How the supervisor looks after the process: when it is started again, and how long it \
          is waited for.",
    fields: &[
        Field {
            key: "backoff",
            kind: ValueKind::Delays,
            default: "[5, 15, 60, 300]",
            example: "[1, 10, 60]",
            doc: "The delays before the second, third, ... restart in a row, in seconds. The first \
                  restart is immediate; the last delay repeats.",
        },
        Field {
            key: "give_up_after",
            kind: ValueKind::Int { what: "a number of crashes", min: 0, max: 1_000_000 },
            default: "5",
            example: "0",
            doc: "After how many crashes in a row it is left alone until it is started by hand; 0 \
                  for never.",
        },
        Field {
            key: "stable_after",
            kind: ValueKind::Seconds { zero: false },
            default: "600",
            example: "60",
            doc: "A run of so many seconds is a success: the crash that ends it is the first in \
                  its row.",
        },
        Field {
            key: "ready_timeout",
            kind: ValueKind::Seconds { zero: false },
            default: "30",
            example: "120",
            doc: "Start it again when it is not ready so many seconds after its start.",
        },
        Field {
            key: "stop_grace",
            kind: ValueKind::Seconds { zero: false },
            default: "10",
            example: "60",
            doc: "How many seconds it may take to stop, before it gets SIGTERM.",
        },
        Field {
            key: "term_grace",
            kind: ValueKind::Seconds { zero: false },
            default: "5",
            example: "10",
            doc: "How many seconds it may then take, before it gets SIGKILL.",
        },
        Field {
            key: "hang_timeout",
            kind: ValueKind::Seconds { zero: true },
            default: "5",
            example: "30",
            doc: "Kill and restart it when it does not answer a call on its own socket for so many \
                  seconds; 0 for never.",
        },
    ],
    renamed: &[
        ("ready_grace", "ready_timeout"),
        ("start_timeout", "ready_timeout"),
        ("stop_timeout", "stop_grace"),
        ("max_restarts", "give_up_after"),
        ("ping_timeout", "hang_timeout"),
    ],
};
