//! Identity of a client: the person or program that a connection belongs to, and how that is known.
//!
//! It is fixed at the end of the handshake. A client chooses the name that it gives with
//! `lock(user)`; this one is known by a certificate, a token or the operating system.

use std::fmt;
use std::sync::Arc;

/// The person or program that a client connects as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its name; `anonymous@ADDRESS` where nothing is known but the address.
    pub name: Arc<str>,
    /// How it is known.
    pub source: IdentitySource,
}

/// How an identity is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentitySource {
    /// By the common name of a client certificate that TLS has verified.
    Certificate,
    /// By a token in the handshake.
    Token,
    /// By the operating system: the user of the process at the other end of a Unix socket.
    UnixUser,
    /// It is not known.
    Anonymous,
}

impl Identity {
    /// An identity of this name.
    pub fn new(name: &str, source: IdentitySource) -> Self {
        Identity { name: name.into(), source }
    }

    /// A client of which nothing but its address is known; `at` has no port.
    pub fn anonymous(at: impl fmt::Display) -> Self {
        Self::new(&format!("anonymous@{at}"), IdentitySource::Anonymous)
    }

    /// The user of this id on this host, by any of its user databases.
    #[cfg(unix)]
    pub(crate) fn unix_user(id: u32) -> Self {
        let found = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(id)).ok().flatten();
        let name = found.map(|user| user.name).filter(|name| !name.is_empty());
        // A container has users without names.
        let name = name.unwrap_or_else(|| format!("user {id}"));
        Self::new(&name, IdentitySource::UnixUser)
    }

    /// The name, where it says more than the client's address.
    pub fn known(&self) -> Option<&Arc<str>> {
        (self.source != IdentitySource::Anonymous).then_some(&self.name)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The name of a client for people: the one that it has given, with its identity in parentheses
/// where that is another one; `None` where it has neither.
pub fn client_name(given: &str, identity: Option<&str>) -> Option<String> {
    match (given, identity) {
        ("", identity) => identity.map(str::to_owned),
        (given, Some(identity)) if identity != given => Some(format!("{given} ({identity})")),
        (given, _) => Some(given.to_owned()),
    }
}

/// The client for people, with its address: `ada at 10.0.0.3:4711`, or the address alone.
pub fn client_at(given: &str, identity: Option<&str>, address: &str) -> String {
    match client_name(given, identity) {
        Some(name) => format!("{name} at {address}"),
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_named_by_all_that_is_known_of_it() {
        for (given, identity, expected) in [
            ("", None, "10.0.0.3:9"),
            ("ada", None, "ada at 10.0.0.3:9"),
            ("", Some("ada"), "ada at 10.0.0.3:9"),
            ("ada", Some("ada"), "ada at 10.0.0.3:9"),
            ("night run", Some("ada"), "night run (ada) at 10.0.0.3:9"),
        ] {
            assert_eq!(client_at(given, identity, "10.0.0.3:9"), expected);
        }
    }

    #[test]
    fn an_anonymous_identity_says_no_more_than_the_address() {
        let anonymous = Identity::anonymous("10.0.0.3");
        assert_eq!((&*anonymous.name, anonymous.known()), ("anonymous@10.0.0.3", None));
        #[cfg(unix)]
        assert_eq!(&*Identity::unix_user(0).name, "root");
    }
}
