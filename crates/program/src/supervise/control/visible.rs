//! The part of a listing that a client may look at. Pure: the rules come as questions.
//!
//! Used by whatever shows the lab to others: the page, and the object `ferrolab.Lab`.

use super::Listing;

/// Name of the lab itself in rules of access: its faults, and what belongs to no service. No
/// service is called like this.
pub(crate) const LAB_ITSELF: &str = "ferrolab";

/// Questions about what one client may look at.
pub(crate) trait Visible {
    /// The lab itself.
    fn shows_lab(&self) -> bool;
    /// A nameserver, a daemon or another process.
    fn shows_process(&self, name: &str) -> bool;
    /// A service.
    fn shows_service(&self, name: &str) -> bool;
    /// A value: of a member, or a part of its value.
    fn shows_value(&self, service: &str, member: &str) -> bool;
}

impl Listing {
    /// The part that a client may look at.
    ///
    /// Faults of the host and incidents name anything, so only a client that sees the lab itself
    /// gets them. Other labs are shown to a client that sees something of this one.
    pub(crate) fn visible_to(&self, client: &impl Visible) -> Listing {
        let mut seen = self.clone();
        for rows in [&mut seen.nameservers, &mut seen.daemons, &mut seen.processes] {
            rows.retain(|row| client.shows_process(&row.name));
        }
        seen.services.retain(|row| client.shows_service(&row.name));
        seen.calls.retain(|call| client.shows_service(&call.service));
        seen.alarms.retain(|alarm| client.shows_value(&alarm.service, &alarm.member));
        if client.shows_lab() {
            return seen;
        }
        seen.troubles.clear();
        seen.incidents.clear();
        seen.alarms_watched = seen.alarms.len();
        if seen.services.is_empty() && seen.all_processes().next().is_none() {
            seen.labs.clear();
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::CallRow;
    use crate::supervise::control::{LabRow, ProcessRow, ServiceRow};

    /// A client that sees everything but what has a name of the list.
    struct Blind(&'static [&'static str]);

    impl Visible for Blind {
        fn shows_lab(&self) -> bool {
            self.shows_process(LAB_ITSELF)
        }

        fn shows_process(&self, name: &str) -> bool {
            !self.0.contains(&name)
        }

        fn shows_service(&self, name: &str) -> bool {
            self.shows_process(name)
        }

        fn shows_value(&self, service: &str, _: &str) -> bool {
            self.shows_process(service)
        }
    }

    #[test]
    fn a_client_gets_what_it_may_look_at() {
        let process = |name: &str| ProcessRow { name: name.to_owned(), ..ProcessRow::default() };
        let service = |name: &str| ServiceRow { name: name.to_owned(), ..ServiceRow::default() };
        let call = |name: &str| CallRow { service: name.to_owned(), ..CallRow::default() };
        let lab = serde_json::json!({ "name": "cold", "host": "coldpc", "port": 9090 });
        let lab: LabRow = serde_json::from_value(lab).unwrap();
        let listing = Listing {
            nameservers: vec![process("local")],
            daemons: vec![process("bench")],
            services: vec![service("lab.a"), service("secret")],
            calls: vec![call("lab.a"), call("secret")],
            troubles: vec!["secret is on fire".to_owned()],
            labs: vec![lab],
            ..Listing::default()
        };
        let some = listing.visible_to(&Blind(&["secret", LAB_ITSELF]));
        let shown = serde_json::to_string(&some).unwrap();
        assert!(!shown.contains("secret") && shown.contains("coldpc"), "{shown}");
        assert_eq!((some.services.len(), some.calls.len(), some.daemons.len()), (1, 1, 1));
        assert_eq!(listing.visible_to(&Blind(&[])), listing);
        let none = listing.visible_to(&Blind(&["lab.a", "secret", "local", "bench", LAB_ITSELF]));
        assert_eq!(none, Listing { host: listing.host, ..Listing::default() });
    }
}
