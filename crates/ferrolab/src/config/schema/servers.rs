//! The tables of the two kinds of processes: nameservers and daemons.

use super::{Field, Kind, PYTHON, Rule, Section};

const PORT: Kind = Kind::Int { what: "a port number", min: 0, max: 65535 };

/// A nameserver.
pub(crate) static NAMESERVER: Section = Section {
    key: "nameservers",
    one: "a nameserver",
    doc: "A directory in which clients look up services.",
    fields: &[
        Field {
            key: "host",
            kind: Kind::Text(Rule::Host),
            default: "localhost",
            example: "localhost",
            doc: "The address it listens on; `public` is this host's address on its network.",
        },
        Field {
            key: "ns_port",
            kind: PORT,
            default: "9090",
            example: "9090",
            doc: "The port it listens on.",
        },
        Field {
            key: "broadcast",
            kind: Kind::Flag,
            default: "false",
            example: "true",
            doc: "Whether it answers clients that search the network for a nameserver.",
        },
        Field {
            key: "ns_bchost",
            kind: Kind::Text(Rule::Host),
            default: "null",
            example: "public",
            doc: "The address on which it hears such searches; null for all.",
        },
        Field {
            key: "ns_bcport",
            kind: PORT,
            default: "9091",
            example: "9091",
            doc: "The UDP port on which it hears such searches.",
        },
        Field {
            key: "ns_autoclean",
            kind: Kind::Seconds { zero: true },
            default: "0.0",
            example: "15.0",
            doc: "How often it removes names whose service does not answer, in seconds; 0 for never.",
        },
        Field {
            key: "storage",
            kind: Kind::Storage,
            default: "memory",
            example: "sql",
            doc: "`memory`, `sql` (a database in the state directory) or `sql:FILE`.",
        },
    ],
    renamed: &[
        ("port", "ns_port"),
        ("ns_host", "host"),
        ("bchost", "ns_bchost"),
        ("bcport", "ns_bcport"),
        ("autoclean", "ns_autoclean"),
        ("ns_storage", "storage"),
    ],
};

/// A daemon.
pub(crate) static DAEMON: Section = Section {
    key: "daemons",
    one: "a daemon",
    doc: "A server process with one address, which hosts services.",
    fields: &[
        Field {
            key: "module",
            kind: Kind::Text(Rule::Module),
            default: "pyrolab.server",
            example: "pyrolab.server",
            doc: "Where PyroLab finds the class; here only its own value has a meaning.",
        },
        Field {
            key: "classname",
            kind: Kind::Text(Rule::Identifier),
            default: "Daemon",
            example: "LockableDaemon",
            doc: "`Daemon`, or `LockableDaemon` for services that clients can lock.",
        },
        Field {
            key: "host",
            kind: Kind::Text(Rule::Host),
            default: "localhost",
            example: "localhost",
            doc: "The address it listens on; `public` is this host's address on its network.",
        },
        Field {
            key: "port",
            kind: PORT,
            default: "0",
            example: "9100",
            doc: "The port it listens on; 0 for one that is free, and the same one next time.",
        },
        Field {
            key: "unixsocket",
            kind: Kind::Text(Rule::Socket),
            default: "null",
            example: "/run/lab/bench.sock",
            doc: "A Unix socket to listen on instead of host and port.",
        },
        Field {
            key: "nathost",
            kind: Kind::Text(Rule::Host),
            default: "null",
            example: "lab.example.edu",
            doc: "The address that clients are told, behind a router that translates addresses.",
        },
        Field {
            key: "natport",
            kind: PORT,
            default: "0",
            example: "9100",
            doc: "The port that clients are told with `nathost`; 0 for the real one.",
        },
        Field {
            key: "servertype",
            kind: Kind::Choice(&["thread", "multiplex"]),
            default: "thread",
            example: "thread",
            doc: "`thread`: clients are served at the same time; `multiplex`: one call at a time.",
        },
        Field {
            key: "nameservers",
            kind: Kind::Names,
            default: "[]",
            example: "[local]",
            doc: "Where the daemon itself is registered, under its name.",
        },
        Field {
            key: "reclaim_names",
            kind: Kind::Flag,
            default: "true",
            example: "false",
            doc: "Whether names of its services that somebody else overwrites are taken back.",
        },
        Field {
            key: "threadpool_size",
            kind: Kind::Int { what: "a number of connections", min: 1, max: 100_000 },
            default: "80",
            example: "80",
            doc: "How many connections are served at once with `servertype: thread`.",
        },
        Field {
            key: "threadpool_size_min",
            kind: Kind::Int { what: "a number of threads", min: 1, max: 100_000 },
            default: "4",
            example: "4",
            doc: "How many threads stay on standby.",
        },
        Field {
            key: "max_message_size",
            kind: Kind::Int { what: "a number of bytes", min: 1024, max: 0x7fff_ffff },
            default: "67108864",
            example: "67108864",
            doc: "The largest message that is accepted or sent, in bytes.",
        },
        Field {
            key: "commtimeout",
            kind: Kind::Seconds { zero: true },
            default: "0.0",
            example: "30.0",
            doc: "A connection that is silent for so many seconds is closed, as by Pyro5; 0 for never.",
        },
        Field {
            key: "python",
            kind: Kind::Group(&PYTHON),
            default: "{}",
            example: "{executable: /opt/lab/venv/bin/python}",
            doc: "The Python of its services.",
        },
    ],
    renamed: &[
        ("class", "classname"),
        ("socket", "unixsocket"),
        ("max_connections", "threadpool_size"),
        ("timeout", "commtimeout"),
        ("nameserver", "nameservers"),
    ],
};
