//! The tables of access: who may do what, and one line of it.

use super::{Field, Rule, Section, ValueKind};

/// Roles from the least to the greatest.
pub(crate) const ROLES: ValueKind = ValueKind::Choice(&["view", "operate", "admin"]);

const ROLES_OR_NONE: ValueKind = ValueKind::Choice(&["none", "view", "operate", "admin"]);

/// Roles of clients.
pub(crate) static ACCESS: Section = Section {
    key: "access",
    one: "`access`",
    doc: "Who may do what ([Who can do what](access.md)). `view` reads properties and descriptions, \
          and what `read_while_locked` lists. `operate` also calls, sets and locks. `admin` also \
          breaks others' locks, aborts their calls, and changes others' names in nameservers. \
          Each client has the greatest role that any line here gives it. Without `access` \
          everybody who reaches a port has all of them.",
    fields: &[
        Field {
            key: "localhost",
            kind: ROLES_OR_NONE,
            default: "admin",
            example: "admin",
            doc: "The role of every client on this host, over the loopback or a Unix socket.",
        },
        Field {
            key: "network",
            kind: ROLES_OR_NONE,
            default: "view",
            example: "view",
            doc: "The role of every client on another host.",
        },
        Field {
            key: "users",
            kind: ValueKind::List(Rule::Any),
            default: "[]",
            example: "[ada, bob]",
            doc: "People whose certificates come from another authority than `ferrolab user add`: \
                  without this list their names count as misspelt.",
        },
        Field {
            key: "groups",
            kind: ValueKind::Groups,
            default: "{}",
            example: "{optics: [ada, bob]}",
            doc: "Groups of people, for `who: group:optics`.",
        },
        Field {
            key: "grants",
            kind: ValueKind::Records(&GRANT),
            default: "[]",
            example: "[{who: \"group:optics\", what: \"lab.*\", role: operate}]",
            doc: "Who has which role for which services.",
        },
    ],
    renamed: &[
        ("group", "groups"),
        ("user", "users"),
        ("people", "users"),
        ("grant", "grants"),
        ("rules", "grants"),
        ("local", "localhost"),
        ("default", "network"),
        ("anonymous", "network"),
    ],
};

/// One line of who may do what.
pub(crate) static GRANT: Section = Section {
    key: "grants",
    one: "a grant",
    doc: "A role for some people and some services. No grant takes away what another one gives.",
    fields: &[
        Field {
            key: "who",
            kind: ValueKind::Texts,
            default: "[]",
            example: "[ada, \"group:optics\"]",
            doc: "A name, `group:NAME`, `anonymous` (clients that do not say who they are) or `\"*\"` \
                  (everybody); or a list of them.",
        },
        Field {
            key: "what",
            kind: ValueKind::Texts,
            default: "[\"*\"]",
            example: "lab.laser*",
            doc: "Services, each with its parts: a name, or a pattern in which `*` stands for any \
                  text; or a list of them. Names of daemons and names in nameservers count, too.",
        },
        Field { key: "role", kind: ROLES, default: "view", example: "operate", doc: "The role." },
        Field {
            key: "members",
            kind: ValueKind::List(Rule::Member),
            default: "[]",
            example: "[power, shutter]",
            doc: "The only members that the role is for; all if empty. A name counts for the service \
                  and each of its parts, `ch_1.voltage` for that part only.",
        },
        Field {
            key: "when",
            kind: ValueKind::Choice(&["always", "locked"]),
            default: "always",
            example: "locked",
            doc: "`locked`: only while the client holds the lock of the service, which it may then \
                  take.",
        },
    ],
    renamed: &[
        ("user", "who"),
        ("users", "who"),
        ("group", "who"),
        ("groups", "who"),
        ("service", "what"),
        ("services", "what"),
        ("member", "members"),
        ("roles", "role"),
        ("if", "when"),
        ("while", "when"),
    ],
};
