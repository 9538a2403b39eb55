//! The table of the page.

use super::tls::{
    SSL, SSL_CACERTS, SSL_REQUIRECLIENTCERT, SSL_SERVERCERT, SSL_SERVERKEY, SSL_SERVERKEYPASSWD,
};
use super::{Field, PORT, Rule, SUPERVISION, Section, ValueKind};

/// The page and its HTTP API.
pub(crate) static WEB: Section = Section {
    key: "web",
    one: "`web`",
    doc: "The lab in a browser, and the same as an HTTP API: a process of its own, which is a client \
          of the daemons. See [web.md](web.md).",
    fields: &[
        Field {
            key: "host",
            kind: ValueKind::Text(Rule::Host),
            default: "localhost",
            example: "localhost",
            doc: "The address it listens on; `public` is all addresses of this host, IPv4 and IPv6. \
                  Elsewhere than on localhost the page only shows, and changes nothing.",
        },
        Field {
            key: "port",
            kind: PORT,
            default: "9092",
            example: "9092",
            doc: "The port it listens on; 0 for one that is free, and the same one next time.",
        },
        Field {
            key: "names",
            kind: ValueKind::List(Rule::Host),
            default: "[]",
            example: "[lab.example.edu]",
            doc: "Further names of this host under which browsers ask for the page: an alias, a \
                  proxy's. Requests under other names are refused.",
        },
        SSL,
        SSL_SERVERCERT,
        SSL_SERVERKEY,
        SSL_SERVERKEYPASSWD,
        SSL_REQUIRECLIENTCERT,
        SSL_CACERTS,
        Field {
            key: "supervision",
            kind: ValueKind::Group(&SUPERVISION),
            default: "{}",
            example: "{give_up_after: 0}",
            doc: "When it is started again, and how long it is waited for.",
        },
    ],
    renamed: &[
        ("address", "host"),
        ("web_port", "port"),
        ("https", "ssl"),
        ("tls", "ssl"),
        ("ssl_cert", "ssl_servercert"),
        ("ssl_key", "ssl_serverkey"),
    ],
};
