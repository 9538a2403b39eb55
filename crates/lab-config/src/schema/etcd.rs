//! The table of an etcd cluster that keeps a nameserver's names.

use super::{Field, Rule, Section, ValueKind};

/// The etcd cluster of a nameserver.
pub(crate) static ETCD: Section = Section {
    key: "etcd",
    one: "`etcd`",
    doc: "The etcd cluster in which a nameserver with `storage: etcd` keeps its names, together with \
          all others that have the same one: they are replicas of one directory. See \
          [etcd.md](etcd.md).",
    fields: &[
        Field {
            key: "endpoints",
            kind: ValueKind::List(Rule::Any),
            default: "[]",
            example: "[\"https://etcd1.example.edu:2379\", \"https://etcd2.example.edu:2379\"]",
            doc: "The addresses of its members, with `http` or `https`. One that does not answer is \
                  left for the next.",
        },
        Field {
            key: "prefix",
            kind: ValueKind::Text(Rule::Any),
            default: "/ferrolab",
            example: "/physics/names",
            doc: "The beginning of its keys, which no other program may use. Nameservers with the \
                  same prefix share one directory.",
        },
        Field {
            key: "cacert",
            kind: ValueKind::Text(Rule::Path),
            default: "null",
            example: "certs/etcd-ca.pem",
            doc: "The certificates that etcd's own are trusted by, as `etcdctl --cacert`; without it, \
                  those of the operating system.",
        },
        Field {
            key: "cert",
            kind: ValueKind::Text(Rule::Path),
            default: "null",
            example: "certs/etcd-client.pem",
            doc: "The certificate that is shown to etcd, as `etcdctl --cert`.",
        },
        Field {
            key: "key",
            kind: ValueKind::Text(Rule::Path),
            default: "null",
            example: "certs/etcd-client.key",
            doc: "That certificate's key, as `etcdctl --key`, if it is in its own file.",
        },
        Field {
            key: "user",
            kind: ValueKind::Text(Rule::Secret),
            default: "null",
            example: "ferrolab",
            doc: "The user of etcd. With etcd's authentication, certificates alone are not enough.",
        },
        Field {
            key: "password",
            kind: ValueKind::Text(Rule::Secret),
            default: "null",
            example: "my-password",
            doc: "The user's password. No log shows it.",
        },
    ],
    renamed: &[
        ("endpoint", "endpoints"),
        ("hosts", "endpoints"),
        ("cacerts", "cacert"),
        ("ssl_cacerts", "cacert"),
        ("ssl_clientcert", "cert"),
        ("ssl_clientkey", "key"),
        ("username", "user"),
    ],
};
