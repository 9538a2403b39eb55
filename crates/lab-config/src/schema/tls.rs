//! Keys of TLS, which nameservers and daemons share; and those of a nameserver's clients.

use super::{Field, Rule, ValueKind};

pub(super) const SSL: Field = Field {
    key: "ssl",
    kind: ValueKind::TlsMode,
    default: "false",
    example: "offered",
    doc: "Whether it speaks TLS on its port: `true` for TLS only, `offered` for clients with and \
          without TLS. See [TLS](tls.md).",
};

pub(super) const SSL_SERVERCERT: Field = Field {
    key: "ssl_servercert",
    kind: ValueKind::Text(Rule::Path),
    default: "null",
    example: "certs/server.pem",
    doc: "Its certificate, a PEM file; null for one that the lab's own authority issues.",
};

pub(super) const SSL_SERVERKEY: Field = Field {
    key: "ssl_serverkey",
    kind: ValueKind::Text(Rule::Path),
    default: "null",
    example: "certs/server-key.pem",
    doc: "The certificate's private key, a PEM file; null if it is in the same file.",
};

pub(super) const SSL_SERVERKEYPASSWD: Field = Field {
    key: "ssl_serverkeypasswd",
    kind: ValueKind::Text(Rule::Secret),
    default: "null",
    example: "secret",
    doc: "What the private key is encrypted with, if it is.",
};

pub(super) const SSL_REQUIRECLIENTCERT: Field = Field {
    key: "ssl_requireclientcert",
    kind: ValueKind::Flag,
    default: "false",
    example: "true",
    doc: "Whether clients must show a certificate.",
};

pub(super) const SSL_CACERTS: Field = Field {
    key: "ssl_cacerts",
    kind: ValueKind::Text(Rule::Path),
    default: "null",
    example: "certs/clients.pem",
    doc: "The clients' certificates, or those that issued them: a PEM file or a folder; null for the \
          lab's own authority. For a nameserver on another host: the certificates that its own is \
          trusted by.",
};

pub(super) const SSL_CLIENTCERT: Field = Field {
    key: "ssl_clientcert",
    kind: ValueKind::Text(Rule::Path),
    default: "null",
    example: "certs/lab.pem",
    doc: "For a nameserver on another host: the certificate that daemons and commands of this lab \
          show there; null for the daemon's own, or the lab's.",
};

pub(super) const SSL_CLIENTKEY: Field = Field {
    key: "ssl_clientkey",
    kind: ValueKind::Text(Rule::Path),
    default: "null",
    example: "certs/lab-key.pem",
    doc: "That certificate's private key, a PEM file; null if it is in the same file.",
};
