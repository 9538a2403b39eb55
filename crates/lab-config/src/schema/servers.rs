//! The tables of the two kinds of processes: nameservers and daemons.

use super::tls::{
    SSL, SSL_CACERTS, SSL_CLIENTCERT, SSL_CLIENTKEY, SSL_REQUIRECLIENTCERT, SSL_SERVERCERT,
    SSL_SERVERKEY, SSL_SERVERKEYPASSWD,
};
use super::{CALL_LOG, ETCD, Field, PYTHON, Rule, SUPERVISION, Section, ValueKind};

/// A port; 0 for a free one, where that is allowed.
pub(crate) const PORT: ValueKind = ValueKind::Int { what: "a port number", min: 0, max: 65535 };

/// A nameserver.
pub(crate) static NAMESERVER: Section = Section {
    key: "nameservers",
    one: "a nameserver",
    doc: "A directory in which clients look up services.",
    fields: &[
        Field {
            key: "host",
            kind: ValueKind::Text(Rule::Host),
            default: "localhost",
            example: "localhost",
            doc: "The address it listens on; `public` is all addresses of this host, IPv4 and IPv6.",
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
            kind: ValueKind::Flag,
            default: "false",
            example: "true",
            doc: "Whether it answers clients that search the network for a nameserver.",
        },
        Field {
            key: "ns_bchost",
            kind: ValueKind::Text(Rule::Host),
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
            kind: ValueKind::Seconds { zero: true },
            default: "0.0",
            example: "15.0",
            doc: "How often it removes names whose service does not answer, in seconds; 0 for never.",
        },
        Field {
            key: "storage",
            kind: ValueKind::Storage,
            default: "memory",
            example: "sql",
            doc: "`memory`, `sql` (a database in the state directory), `sql:FILE` or `etcd` (with \
                  the key of that name).",
        },
        Field {
            key: "etcd",
            kind: ValueKind::Group(&ETCD),
            default: "null",
            example: "{endpoints: [\"http://localhost:2379\"]}",
            doc: "The etcd cluster, for `storage: etcd`.",
        },
        Field {
            key: "replicas",
            kind: ValueKind::List(Rule::Any),
            default: "[]",
            example: "[\"ns2.example.edu:9090\"]",
            doc: "Other nameservers of the same directory: daemons register with the next one where \
                  this one does not answer.",
        },
        SSL,
        SSL_SERVERCERT,
        SSL_SERVERKEY,
        SSL_SERVERKEYPASSWD,
        SSL_REQUIRECLIENTCERT,
        SSL_CACERTS,
        SSL_CLIENTCERT,
        SSL_CLIENTKEY,
        Field {
            key: "supervision",
            kind: ValueKind::Group(&SUPERVISION),
            default: "{}",
            example: "{give_up_after: 0}",
            doc: "When it is started again, and how long it is waited for.",
        },
    ],
    renamed: &[
        ("port", "ns_port"),
        ("ns_host", "host"),
        ("bchost", "ns_bchost"),
        ("bcport", "ns_bcport"),
        ("autoclean", "ns_autoclean"),
        ("ns_storage", "storage"),
        ("ssl_cert", "ssl_servercert"),
        ("ssl_key", "ssl_serverkey"),
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
            kind: ValueKind::Text(Rule::Module),
            default: "pyrolab.server",
            example: "pyrolab.server",
            doc: "Where PyroLab finds the class; here only its own value has a meaning.",
        },
        Field {
            key: "classname",
            kind: ValueKind::Text(Rule::Identifier),
            default: "Daemon",
            example: "LockableDaemon",
            doc: "`Daemon`, or `LockableDaemon` for services that clients can lock.",
        },
        Field {
            key: "host",
            kind: ValueKind::Text(Rule::Host),
            default: "localhost",
            example: "localhost",
            doc: "The address it listens on; `public` is all addresses of this host, IPv4 and IPv6.",
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
            kind: ValueKind::Text(Rule::Socket),
            default: "null",
            example: "/run/lab/bench.sock",
            doc: "A Unix socket to listen on instead of host and port.",
        },
        Field {
            key: "nathost",
            kind: ValueKind::Text(Rule::Host),
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
            kind: ValueKind::Choice(&["thread", "multiplex"]),
            default: "thread",
            example: "thread",
            doc: "`thread`: clients are served at the same time; `multiplex`: one call at a time.",
        },
        Field {
            key: "oneway_threaded",
            kind: ValueKind::Flag,
            default: "true",
            example: "false",
            doc: "Whether oneway calls run beside other calls, as by Pyro5; otherwise each takes its \
                  turn like a call with an answer.",
        },
        Field {
            key: "nameservers",
            kind: ValueKind::Names,
            default: "[]",
            example: "[local]",
            doc: "Where the daemon itself is registered, under its name.",
        },
        Field {
            key: "reclaim_names",
            kind: ValueKind::Flag,
            default: "true",
            example: "false",
            doc: "Whether names of its services that somebody else overwrites are taken back.",
        },
        Field {
            key: "threadpool_size",
            kind: ValueKind::Int { what: "a number of connections", min: 1, max: 100_000 },
            default: "80",
            example: "80",
            doc: "How many connections are served at once with `servertype: thread`.",
        },
        Field {
            key: "threadpool_size_min",
            kind: ValueKind::Int { what: "a number of threads", min: 1, max: 100_000 },
            default: "4",
            example: "4",
            doc: "How many threads stay on standby.",
        },
        Field {
            key: "connections_per_address",
            kind: ValueKind::Int { what: "a number of connections", min: 0, max: 100_000 },
            default: "0",
            example: "20",
            doc: "How many connections one address may have; 0 for no limit.",
        },
        Field {
            key: "max_message_size",
            kind: ValueKind::Int { what: "a number of bytes", min: 1024, max: 0x7fff_ffff },
            default: "67108864",
            example: "67108864",
            doc: "The largest message that is accepted or sent, in bytes, and what a compressed one \
                  may inflate to. The values of one may take six times as much memory.",
        },
        Field {
            key: "commtimeout",
            kind: ValueKind::Seconds { zero: true },
            default: "0.0",
            example: "30.0",
            doc: "A connection that is silent for so many seconds is closed, as by Pyro5; 0 for never.",
        },
        Field {
            key: "slow_call",
            kind: ValueKind::Seconds { zero: true },
            default: "60.0",
            example: "60.0",
            doc: "`status` names calls that take longer than so many seconds; 0 for none.",
        },
        Field {
            key: "call_log",
            kind: CALL_LOG,
            default: "errors",
            example: "changes",
            doc: "Which calls are written to the call log: `errors` are those that raise, are refused \
                  or take longer than `slow_call`; `changes` also methods and property sets, with \
                  their arguments; `all` is every call, `off` none.",
        },
        Field {
            key: "compression",
            kind: ValueKind::Flag,
            default: "false",
            example: "true",
            doc: "Whether what it sends is compressed.",
        },
        Field {
            key: "iter_stream_lifetime",
            kind: ValueKind::Seconds { zero: true },
            default: "0.0",
            example: "600.0",
            doc: "How long an item stream may be read, in seconds; 0 for ever.",
        },
        Field {
            key: "iter_stream_linger",
            kind: ValueKind::Seconds { zero: true },
            default: "30.0",
            example: "30.0",
            doc: "How long an item stream outlives its connection, in seconds; 0 for not at all.",
        },
        SSL,
        SSL_SERVERCERT,
        SSL_SERVERKEY,
        SSL_SERVERKEYPASSWD,
        SSL_REQUIRECLIENTCERT,
        SSL_CACERTS,
        Field {
            key: "python",
            kind: ValueKind::Group(&PYTHON),
            default: "{}",
            example: "{executable: /opt/lab/venv/bin/python}",
            doc: "The Python of its services.",
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
        ("class", "classname"),
        ("socket", "unixsocket"),
        ("max_connections", "threadpool_size"),
        ("max_connections_per_address", "connections_per_address"),
        ("timeout", "commtimeout"),
        ("nameserver", "nameservers"),
        ("ssl_cert", "ssl_servercert"),
        ("ssl_key", "ssl_serverkey"),
    ],
};
