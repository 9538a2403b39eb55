//! The part of a listing that a client may look at. Pure: the rules come as questions.

use crate::supervise::control::Listing;

/// Keeps what the client may look at: `may_see` says whether it may look at an object of this
/// name, `may_read` at the value of a service's member.
///
/// Faults of the host itself and incidents name anything, so only a client that sees everything
/// gets them.
pub(super) fn visible(
    listing: &Listing,
    may_see: impl Fn(&str) -> bool,
    may_read: impl Fn(&str, &str) -> bool,
) -> Listing {
    let mut seen = listing.clone();
    seen.nameservers.retain(|row| may_see(&row.name));
    seen.daemons.retain(|row| may_see(&row.name));
    seen.processes.retain(|row| may_see(&row.name));
    seen.services.retain(|row| may_see(&row.name));
    let sees_all = seen.nameservers.len() == listing.nameservers.len()
        && seen.daemons.len() == listing.daemons.len()
        && seen.services.len() == listing.services.len();
    seen.calls.retain(|call| may_see(&call.service));
    seen.alarms.retain(|alarm| may_read(&alarm.service, &alarm.member));
    if !sees_all {
        seen.troubles.clear();
        seen.incidents.clear();
        seen.alarms_watched = seen.alarms.len();
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::CallRow;
    use crate::supervise::control::{ProcessRow, ServiceRow};

    #[test]
    fn a_client_gets_what_it_may_look_at() {
        let process = |name: &str| ProcessRow { name: name.to_owned(), ..ProcessRow::default() };
        let service = |name: &str| ServiceRow { name: name.to_owned(), ..ServiceRow::default() };
        let call = |name: &str| CallRow { service: name.to_owned(), ..CallRow::default() };
        let listing = Listing {
            nameservers: vec![process("local")],
            daemons: vec![process("bench")],
            services: vec![service("lab.a"), service("secret")],
            calls: vec![call("lab.a"), call("secret")],
            troubles: vec!["secret is on fire".to_owned()],
            ..Listing::default()
        };
        let some = visible(&listing, |name| name != "secret", |service, _| service != "secret");
        let shown = serde_json::to_string(&some).unwrap();
        assert!(!shown.contains("secret"), "{shown}");
        assert_eq!((some.services.len(), some.calls.len(), some.daemons.len()), (1, 1, 1));
        assert_eq!(visible(&listing, |_| true, |_, _| true), listing);
        let none = visible(&listing, |_| false, |_, _| false);
        assert_eq!(none, Listing { host: listing.host, ..Listing::default() });
    }
}
