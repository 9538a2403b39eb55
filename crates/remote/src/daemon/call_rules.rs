//! Rules for the calls of objects: time limits, and what the call log has of them.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::config::DAEMON_NAME;
use crate::daemon::call_log::CallLogMode;

/// The rules for the calls of an object.
///
/// A member of a part may be named by the part's path below the object: `ch_1.voltage`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallRules {
    /// A caller gets a `TimeoutError` after this time; no limit if absent.
    pub timeout: Option<Duration>,
    /// The same of members that differ.
    pub member_timeouts: HashMap<String, Option<Duration>>,
    /// Whether the object's process is restarted then, which ends the call.
    pub restarts: bool,
    /// The calls that are logged.
    pub log: CallLogMode,
    /// Whether each call that may change it is audited.
    pub is_audited: bool,
    /// Members whose arguments are not logged.
    pub private: HashSet<String>,
}

/// The time limit of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallLimit {
    pub(crate) timeout: Duration,
    pub(crate) restarts: bool,
}

/// The rules of a daemon's objects by their ids.
#[derive(Debug, Default)]
pub(crate) struct RuleTable {
    /// Saves daemons without limits the look into the table.
    has_limits: AtomicBool,
    rules: RwLock<RulesById>,
}

#[derive(Debug, Default)]
struct RulesById {
    by_id: HashMap<String, Arc<CallRules>>,
    /// Parts, each with the id of the object whose rules it has.
    owners: HashMap<String, String>,
}

impl CallRules {
    fn has_limits(&self) -> bool {
        self.timeout.is_some() || self.member_timeouts.values().any(Option::is_some)
    }

    /// The limit of a member's calls.
    pub(crate) fn limit(&self, member: &str) -> Option<CallLimit> {
        let timeout = self.member_timeouts.get(member).copied().unwrap_or(self.timeout);
        timeout.map(|timeout| CallLimit { timeout, restarts: self.restarts })
    }

    /// The rules of an object's part, by their ids.
    fn of(&self, object: &str, part: &str) -> Self {
        let path = part.strip_prefix(object).and_then(|rest| rest.strip_prefix('.'));
        path.map_or_else(|| self.clone(), |path| self.of_part(path))
    }

    /// The rules of the part at `path` below the object.
    fn of_part(&self, path: &str) -> Self {
        let name =
            |member: &String| member.strip_prefix(path)?.strip_prefix('.').map(str::to_owned);
        let mut rules = self.clone();
        let timeouts = self.member_timeouts.iter();
        let timeouts = timeouts.filter_map(|(member, timeout)| Some((name(member)?, *timeout)));
        rules.member_timeouts.extend(timeouts);
        rules.private.extend(self.private.iter().filter_map(name));
        rules
    }
}

impl RuleTable {
    /// Sets the rules of an object, and of the parts that share them.
    pub(crate) fn set(&self, id: &str, rules: CallRules) {
        let mut table = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        let parts = table.owners.iter().filter(|(_, owner)| *owner == id);
        let parts: Vec<_> = parts.map(|(part, _)| (part.clone(), rules.of(id, part))).collect();
        let has_limits =
            rules.has_limits() || parts.iter().any(|(_, of_part)| of_part.has_limits());
        table.by_id.insert(id.to_owned(), Arc::new(rules));
        table.by_id.extend(parts.into_iter().map(|(part, of_part)| (part, Arc::new(of_part))));
        drop(table);
        if has_limits {
            self.has_limits.store(true, Ordering::Release);
        }
    }

    /// From now on the object `id`, a part of the object `with`, has that one's rules.
    pub(crate) fn share(&self, id: &str, with: &str) {
        let mut table = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        let Some(rules) = table.by_id.get(with).map(|rules| rules.of(with, id)) else { return };
        if rules.has_limits() {
            self.has_limits.store(true, Ordering::Release);
        }
        // A part of a part follows the object at the top.
        let owner = table.owners.get(with).cloned().unwrap_or_else(|| with.to_owned());
        table.owners.insert(id.to_owned(), owner);
        table.by_id.insert(id.to_owned(), Arc::new(rules));
    }

    pub(crate) fn remove(&self, id: &str) {
        let mut table = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        table.by_id.remove(id);
        table.owners.remove(id);
    }

    /// Whether any call has a limit.
    pub(crate) fn has_limits(&self) -> bool {
        self.has_limits.load(Ordering::Acquire)
    }

    /// The limit of a member's calls.
    pub(crate) fn limit(&self, id: &str, member: &str) -> Option<CallLimit> {
        let table = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        table.by_id.get(id)?.limit(member)
    }

    /// The rules of an object; those of the daemon's own object where it has none.
    pub(crate) fn of(&self, id: &str) -> Arc<CallRules> {
        let RulesById { by_id, .. } = &*self.rules.read().unwrap_or_else(PoisonError::into_inner);
        by_id.get(id).or_else(|| by_id.get(DAEMON_NAME)).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_its_services_rules_and_its_own() {
        let second = Duration::from_secs(1);
        let member_timeouts = HashMap::from([
            ("scan".to_owned(), Some(20 * second)),
            ("ch_1.read".to_owned(), Some(2 * second)),
            ("ch_1.scan".to_owned(), None),
        ]);
        let private = HashSet::from(["key".to_owned(), "ch_1.code".to_owned()]);
        let timeout = Some(5 * second);
        let table = RuleTable::default();
        table.set("psu", CallRules { timeout, member_timeouts, private, ..CallRules::default() });
        for part in ["psu.ch_1", "psu.ch_2", "of its own"] {
            table.share(part, "psu");
        }
        for (id, member, limit, is_private) in [
            ("psu", "scan", Some(20), false),
            ("psu", "read", Some(5), false),
            ("psu", "key", Some(5), true),
            ("psu", "code", Some(5), false),
            ("psu.ch_1", "read", Some(2), false),
            ("psu.ch_1", "scan", None, false),
            ("psu.ch_1", "code", Some(5), true),
            ("psu.ch_2", "read", Some(5), false),
            ("psu.ch_2", "scan", Some(20), false),
            ("of its own", "key", Some(5), true),
            ("unknown", "scan", None, false),
        ] {
            let found = table.limit(id, member).map(|limit| limit.timeout.as_secs());
            assert_eq!(found, limit, "{id} {member}");
            assert_eq!(table.of(id).private.contains(member), is_private, "{id} {member}");
        }
        assert!(table.has_limits());

        let limit = |id: &str| table.limit(id, "scan").map(|limit| limit.timeout.as_secs());
        table.set(
            "psu",
            CallRules { timeout: Some(Duration::from_secs(9)), ..CallRules::default() },
        );
        for part in ["psu", "psu.ch_1", "psu.ch_2", "of its own"] {
            assert_eq!(limit(part), Some(9), "{part} has the new rules of its object");
        }
        table.remove("psu.ch_1");
        table.set("psu", CallRules::default());
        assert_eq!(["psu", "psu.ch_1", "psu.ch_2"].map(limit), [None; 3]);
    }
}
