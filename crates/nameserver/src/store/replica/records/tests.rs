//! Revisions decide, in whatever order the two ways of news arrive.

use super::*;
use crate::store::replica::value::write_name;

fn entry(uri: &str, host: Option<&str>) -> Arc<Entry> {
    let mut entry = Entry::new(uri.into(), BTreeSet::new());
    entry.host = host.map(Arc::from);
    Arc::new(entry)
}

fn key(name: &str, entry: Option<&Entry>, revision: i64) -> KeyValue {
    KeyValue { key: format!("names/{name}"), value: entry.map(write_name), revision }
}

#[test]
fn an_older_change_that_comes_later_does_not_count() {
    let mut records = Records::new("one".into());
    let name: Arc<str> = "a".into();
    let [old, new] = ["PYRO:old@h:1", "PYRO:new@h:1"].map(|uri| entry(uri, None));
    assert!(records.set_own(&name, Some(Arc::clone(&new)), 7).is_some());
    assert_eq!(records.change(key("a", Some(&old), 5)), []);
    assert_eq!(records.change(key("a", Some(&new), 7)), [], "the own change");
    assert!(records.has("a", Some(&new)));
    assert!(records.set_own(&name, None, 9).is_some());
    assert_eq!(records.change(key("a", Some(&old), 8)), [], "what was removed since");
    assert_eq!(records.change(key("a", None, 9)), []);
    assert_eq!(records.removed.len(), 0, "the watch has shown it");
    let shown = records.change(key("a", Some(&old), 10));
    assert_eq!(shown.len(), 1);
    assert_eq!(records.revision_of("a"), 10);
}

#[test]
fn a_snapshot_takes_away_what_it_does_not_have() {
    let mut records = Records::new("one".into());
    let there = entry("PYRO:o@h:1", None);
    for (name, revision) in [("a", 3), ("b", 4), ("late", 9)] {
        records.set_own(&Arc::from(name), Some(Arc::clone(&there)), revision);
    }
    let keys = vec![key("a", Some(&there), 3), key("c", Some(&there), 5)];
    let mut shown = records.load(Snapshot { revision: 6, keys });
    shown.sort_by(|one, other| one.0.cmp(&other.0));
    let shown: Vec<_> = shown.iter().map(|(name, entry)| (&**name, entry.is_some())).collect();
    assert_eq!(shown, [("b", false), ("c", true)], "what is later than the snapshot stays");
}

#[test]
fn names_of_a_host_are_shown_while_it_is_there() {
    let mut records = Records::new("one".into());
    let of_host = entry("PYRO:o@h:1", Some("h"));
    let is_shown =
        |shown: Vec<Shown>| -> Option<bool> { shown.first().map(|(_, entry)| entry.is_some()) };
    let host = |replica: &str, is_there: bool| KeyValue {
        key: format!("hosts/h/{replica}"),
        value: is_there.then(Vec::new),
        revision: 1,
    };
    assert_eq!(is_shown(records.change(key("a", Some(&of_host), 1))), Some(false));
    assert_eq!(is_shown(records.change(host("one", true))), None, "its own word does not count");
    assert_eq!(is_shown(records.change(host("two", true))), Some(true));
    assert_eq!(is_shown(records.change(host("three", true))), None);
    assert_eq!(is_shown(records.change(host("two", false))), None);
    let length = Duration::from_secs(12);
    let shown = records.host_is_live(&"h".into(), length);
    assert!(shown[0].1.as_ref().is_some_and(|entry| entry.lease.is_some()), "its lease is here");
    assert_eq!(is_shown(records.change(host("three", false))), None);
    assert_eq!(is_shown(records.host_is_silent(&"h".into())), Some(false));
}

#[test]
fn a_last_known_name_of_another_host_is_not_shown_on() {
    let mut records = Records::new("one".into());
    let [before, now] = ["h1", "h2"].map(|host| entry("PYRO:o@h:1", Some(host)));
    let names = vec![(Arc::from("a"), before)];
    let hosts = vec![Arc::from("h1")];
    let shown = records.load_last_known(Saved { names, hosts, ..Saved::default() });
    assert!(shown[0].1.is_some());
    let snapshot = |hosts: &[&str], revision| Snapshot {
        revision,
        keys: hosts
            .iter()
            .map(|host| KeyValue {
                key: format!("hosts/{host}/two"),
                value: Some(Vec::new()),
                revision,
            })
            .chain([key("a", Some(&now), revision)])
            .collect(),
    };
    assert_eq!(records.load(snapshot(&[], 3)), [("a".into(), None)], "its host is not there");
    let shown = records.load(snapshot(&["h2"], 4));
    assert!(shown.iter().all(|(_, entry)| entry.is_some()) && !shown.is_empty());
    // A host that goes while hosts are held back is shown on, with what is new of its names.
    records.hold_back();
    let shown = records.load(snapshot(&[], 5));
    assert!(shown.iter().all(|(_, entry)| entry.is_some()) && !shown.is_empty());
    assert_eq!(records.hide_doubtful(), [("a".into(), None)]);
}
