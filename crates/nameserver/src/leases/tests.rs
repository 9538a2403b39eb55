//! Tests of leases: names lapse without a renewal, and only those that have one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod seeds;

use std::path::Path;

use remote::{Answer, Context, Exception, MethodCall, Peer, Value};
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::change_log::ChangeLog;
use crate::owner::NameClient;

const OURS: &str = "PYRO:ours@h:1";
const THEIRS: &str = "PYRO:theirs@h:2";
const LEASE: Duration = Duration::from_secs(8);

/// A call in a nameserver of this lab, where nobody has fewer rights than others.
fn renew_in(store: &Store, call: MethodCall, lab: Option<&str>) -> Answer {
    let client = |_| NameClient::from(Peer::Unix { process: None });
    renew(store, call, Context::internal(), None, (lab, client, &ChangeLog::default()))
}

async fn call(store: &Store, rows: Vec<Value>, seconds: f64) -> Result<Value, Exception> {
    let args = vec![Value::List(rows), Value::Float(seconds)];
    let call = MethodCall { method: METHOD.to_owned(), args, kwargs: Vec::new() };
    renew_in(store, call, None).wait().await.map(|reply| match reply.body {
        remote::ReplyBody::Value(value) => value,
        _ => panic!("the answer is no value"),
    })
}

fn row(name: &str, uri: &str, tags: &[&str], takeover: &str) -> Value {
    let tags = tags.iter().map(|tag| Value::from(*tag)).collect();
    Value::Tuple(vec![name.into(), uri.into(), Value::List(tags), takeover.into()])
}

/// Renews one name; the conflict as `uri` and `error`.
async fn renew_one(store: &Store, row: Value) -> Option<(Option<String>, Option<String>)> {
    let Value::List(conflicts) = call(store, vec![row], LEASE.as_secs_f64()).await.unwrap() else {
        panic!("the answer is no list");
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    conflicts.first().map(|row| match row.as_list() {
        Some([_, uri, error, _, _]) => (text(uri), text(error)),
        _ => panic!("{row:?} is no conflict"),
    })
}

async fn register(store: &Store, name: &str, uri: &str, tags: &[&str]) {
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    let change = crate::directory::register(name.into(), uri.into(), false, tags).unwrap();
    store.change(change).wait().await.unwrap();
}

/// The names with their URIs and tags.
fn names(store: &Store) -> Vec<(String, String, Vec<String>)> {
    let entry = |(name, entry): Named| {
        let tags = entry.tags.iter().map(|tag| tag.to_string()).collect();
        (name.to_string(), entry.uri.to_string(), tags)
    };
    crate::directory::list(&store.read(), "").into_iter().map(entry).collect()
}

fn only_names(store: &Store) -> Vec<String> {
    names(store).into_iter().map(|(name, ..)| name).collect()
}

fn lapsing(store: &Arc<Store>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(run(Arc::clone(store))))
}

/// Lets simulated time pass in small steps, as it does for a process that runs.
async fn pass(time: Duration) {
    let until = Instant::now() + time;
    while Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_lapses_when_nobody_renews_it() {
    let store = Arc::new(Store::memory());
    let _lapsing = lapsing(&store);
    register(&store, "stock", THEIRS, &[]).await;
    for name in ["renewed", "left"] {
        assert_eq!(renew_one(&store, row(name, OURS, &["x"], "claim")).await, None);
    }
    for _ in 0..4 {
        pass(Duration::from_secs(2)).await;
        assert_eq!(renew_one(&store, row("renewed", OURS, &["x"], "keep")).await, None);
    }
    pass(Duration::from_secs(1)).await;
    assert_eq!(only_names(&store), ["renewed", "stock"]);
    pass(LEASE - Duration::from_secs(2)).await;
    assert_eq!(only_names(&store), ["renewed", "stock"], "not before its time");
    pass(Duration::from_secs(2)).await;
    assert_eq!(only_names(&store), ["stock"]);
    pass(20 * LEASE).await;
    assert_eq!(only_names(&store), ["stock"], "names of stock programs have no lease");
}

#[tokio::test(start_paused = true)]
async fn a_plain_registration_ends_the_lease() {
    let store = Arc::new(Store::memory());
    let _lapsing = lapsing(&store);
    for name in ["a", "b"] {
        renew_one(&store, row(name, OURS, &[], "claim")).await;
    }
    register(&store, "a", THEIRS, &[]).await;
    let tags = crate::directory::set_metadata("b".into(), ["by hand".to_owned()].into()).unwrap();
    store.change(tags).wait().await.unwrap();
    pass(2 * LEASE).await;
    assert_eq!(only_names(&store), ["a"], "other tags are no registration");
}

#[tokio::test(start_paused = true)]
async fn a_nameserver_that_was_stopped_waits_for_renewals() {
    let store = Arc::new(Store::memory());
    let _lapsing = lapsing(&store);
    renew_one(&store, row("a", OURS, &[], "claim")).await;
    pass(Duration::from_secs(1)).await;
    tokio::time::advance(100 * LEASE).await;
    pass(Duration::from_secs(2)).await;
    assert_eq!(only_names(&store), ["a"]);
    pass(LEASE).await;
    assert_eq!(only_names(&store), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_gives_no_name_more_than_its_lease() {
    let store = Arc::new(Store::memory());
    let _lapsing = lapsing(&store);
    pass(Duration::from_millis(50)).await;
    tokio::time::advance(100 * LEASE).await;
    // The renewals that have waited come before the next pass, or after it.
    renew_one(&store, row("a", OURS, &[], "claim")).await;
    pass(LEASE + Duration::from_secs(2)).await;
    assert_eq!(only_names(&store), [""; 0]);
}

/// Refused names do not wait for the database; so those that wait are small.
#[tokio::test]
async fn a_name_that_is_too_large_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(&folder.path().join("names.sql")).await;
    let tags: Vec<String> = (0..257).map(|number| number.to_string()).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    let large = ["n".repeat(1025), "a".to_owned(), "b".to_owned()];
    let uri = format!("PYRO:{}@h:1", "o".repeat(2048));
    let rows = vec![
        row(&large[0], OURS, &[], "claim"),
        row(&large[1], OURS, &tags, "claim"),
        row(&large[2], &uri, &[], "claim"),
    ];
    let args = vec![Value::List(rows), Value::Float(LEASE.as_secs_f64())];
    let call = MethodCall { method: METHOD.to_owned(), args, kwargs: Vec::new() };
    let Answer::Ready(Ok(reply)) = renew_in(&store, call, None) else {
        panic!("it waits for the database");
    };
    let remote::ReplyBody::Value(Value::List(conflicts)) = reply.body else {
        panic!("the answer is no list");
    };
    assert_eq!(conflicts.len(), large.len());
    assert_eq!(store.read().len(), 0);
}

/// For each: what the name has before (URI and tags), the takeover, then the conflict and what the
/// name has.
#[tokio::test]
async fn a_call_finds_a_name_missing_ours_or_somebody_elses() {
    type Case<'a> = (Option<(&'a str, &'a str)>, &'a str, Option<&'a str>, (&'a str, &'a str));
    let cases: &[Case<'_>] = &[
        (None, "claim", None, (OURS, "given")),
        (None, "reclaim", None, (OURS, "given")),
        (None, "keep", None, (OURS, "given")),
        (Some((OURS, "by hand")), "claim", None, (OURS, "given")),
        (Some((OURS, "by hand")), "reclaim", None, (OURS, "by hand")),
        (Some((OURS, "by hand")), "keep", None, (OURS, "by hand")),
        (Some((THEIRS, "by hand")), "claim", Some(THEIRS), (OURS, "given")),
        (Some((THEIRS, "by hand")), "reclaim", Some(THEIRS), (OURS, "given")),
        (Some((THEIRS, "by hand")), "keep", Some(THEIRS), (THEIRS, "by hand")),
    ];
    for (before, takeover, conflict, (uri, tag)) in cases {
        let store = Store::memory();
        if let Some((uri, tag)) = before {
            register(&store, "a", uri, &[tag]).await;
        }
        let told = renew_one(&store, row("a", OURS, &["given"], takeover)).await;
        let title = format!("{before:?}, {takeover}");
        assert_eq!(told, conflict.map(|theirs| (Some(theirs.to_owned()), None)), "{title}");
        let expected = ("a".to_owned(), uri.to_string(), vec![tag.to_string()]);
        assert_eq!(names(&store), [expected], "{title}");
        let is_leased = store.read().leased().count() == 1;
        assert_eq!(is_leased, *uri == OURS, "{title}");
    }
}

/// Two daemons that want one name: the one that has it keeps it for as long as it renews the lease.
#[tokio::test(start_paused = true)]
async fn a_held_name_is_only_seized() {
    let store = Arc::new(Store::memory());
    let _lapsing = lapsing(&store);
    let held = |takeover: &'static str| {
        let store = Arc::clone(&store);
        async move {
            let rows = vec![row("a", OURS, &["ours"], takeover)];
            let told = call(&store, rows, LEASE.as_secs_f64()).await.unwrap();
            let row = told.as_list().unwrap().first().cloned();
            row.map(|row| row.as_list().unwrap()[3].as_bool().unwrap())
        }
    };
    let point = || names(&store)[0].1.clone();
    renew_one(&store, row("a", THEIRS, &["theirs"], "claim")).await;
    for takeover in ["claim", "reclaim", "keep"] {
        pass(Duration::from_secs(2)).await;
        renew_one(&store, row("a", THEIRS, &["theirs"], "reclaim")).await;
        assert_eq!(held(takeover).await, Some(true), "{takeover}");
        assert_eq!(point(), THEIRS, "{takeover}");
        let rows = vec![row("a", THEIRS, &["theirs"], "reclaim")];
        let told = call(&store, rows, LEASE.as_secs_f64()).await.unwrap();
        let rival = vec!["a".into(), OURS.into(), Value::None, false.into(), true.into()];
        assert_eq!(told.as_list().unwrap(), [Value::Tuple(rival)], "{takeover}: its holder");
    }
    for _ in 0..5 {
        pass(Duration::from_secs(2)).await;
        renew_one(&store, row("a", THEIRS, &["theirs"], "reclaim")).await;
    }
    let told = renew_one(&store, row("a", THEIRS, &["theirs"], "reclaim")).await;
    assert_eq!(told, None, "nobody else has asked for as long as a lease takes");
    assert_eq!(held("seize").await, Some(false));
    assert_eq!(names(&store), [("a".to_owned(), OURS.to_owned(), vec!["ours".to_owned()])]);
    let refused = renew_one(&store, row("a", THEIRS, &["theirs"], "reclaim")).await;
    assert_eq!(refused, Some((Some(OURS.to_owned()), None)));
    pass(LEASE + Duration::from_secs(2)).await;
    assert_eq!(renew_one(&store, row("a", THEIRS, &["theirs"], "reclaim")).await, None);
    assert_eq!(point(), THEIRS);
}

#[tokio::test]
async fn a_refusal_of_one_name_says_nothing_of_the_others() {
    let store = Store::memory();
    let long = "n".repeat(2000);
    let rows = vec![
        row(&long, OURS, &[], "claim"),
        row("nowhere", "PYRO:o@h:99999", &[], "claim"),
        row(remote::NAMESERVER_NAME, OURS, &[], "claim"),
        row("a", OURS, &[], "claim"),
    ];
    let told = call(&store, rows, 10.0).await.unwrap();
    let told = told.as_list().unwrap();
    let errors = told.iter().map(|row| row.as_list().unwrap()[2].as_str().unwrap());
    assert_eq!(errors.filter(|error| !error.is_empty()).count(), 3, "{told:?}");
    assert_eq!(only_names(&store), ["a"]);
}

#[tokio::test]
async fn what_is_no_registration_is_refused_whole() {
    let store = Store::memory();
    let good = || row("a", OURS, &[], "claim");
    let cases: Vec<(Vec<Value>, f64)> = vec![
        (vec![good()], 4.0),
        (vec![good()], 3601.0),
        (vec![good()], f64::NAN),
        (vec![good(), Value::None], 10.0),
        (vec![good(), row("b", OURS, &[], "perhaps")], 10.0),
        (vec![good(), Value::Tuple(vec!["b".into(), 1.into(), Value::None, "claim".into()])], 10.0),
        (vec![good(); 1001], 10.0),
    ];
    for (rows, seconds) in cases {
        assert!(call(&store, rows.clone(), seconds).await.is_err(), "{seconds} s, {rows:.1?}");
        assert_eq!(store.read().len(), 0);
    }
}

async fn opened(file: &Path) -> Arc<Store> {
    let (store, told) = Store::open(file).unwrap();
    assert_eq!(told, None);
    Arc::new(store)
}

/// Which names have a lease survives a restart; each has all of its lease then.
#[tokio::test]
async fn a_restart_gives_a_lease_of_grace() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("names.sql");
    let store = opened(&file).await;
    register(&store, "stock", THEIRS, &[]).await;
    for name in ["ours", "overwritten", "removed"] {
        renew_one(&store, row(name, OURS, &["x"], "claim")).await;
    }
    register(&store, "overwritten", THEIRS, &[]).await;
    store.change(crate::directory::remove("removed".into())).wait().await.unwrap();
    store.close().await;
    let before = Instant::now();
    let store = opened(&file).await;
    let leased: Vec<_> = store.read().leased().map(|(name, _)| name.to_string()).collect();
    assert_eq!(leased, ["ours"]);
    assert_eq!(only_names(&store), ["ours", "overwritten", "stock"]);
    let (ended, first) = find_ended(&store, before + LEASE - Duration::from_millis(1)).await;
    assert!(ended.is_empty() && first >= Some(before + LEASE));
    let (ended, _) = find_ended(&store, Instant::now() + LEASE).await;
    assert_eq!(ended.len(), 1);
}

/// Renewals cost no write: the database is as large as before, whatever its log would take.
#[tokio::test]
async fn a_renewal_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("names.sql");
    let store = opened(&file).await;
    let renew = || renew_one(&store, row("a", OURS, &["x"], "reclaim"));
    renew().await;
    let revision = store.read().revision();
    for _ in 0..100 {
        renew().await;
    }
    assert_eq!(store.read().revision(), revision);
}

#[tokio::test]
async fn a_daemon_at_all_addresses_of_this_host_has_no_address_in_the_index() {
    let store = Store::memory();
    let cases = [
        ("here", remote::network_stack(), "PYRO:ours@0.0.0.0:1"),
        ("elsewhere", "another host's", OURS),
    ];
    for (name, network, expected) in cases {
        for takeover in ["claim", "keep"] {
            let rows = Value::List(vec![row(name, OURS, &[], takeover)]);
            let call = MethodCall {
                method: METHOD.into(),
                args: vec![rows, LEASE.as_secs_f64().into(), network.into()],
                kwargs: Vec::new(),
            };
            let renewed = renew_in(&store, call, None).wait().await.unwrap();
            let remote::ReplyBody::Value(Value::List(conflicts)) = renewed.body else {
                panic!("no list")
            };
            assert_eq!(conflicts, [], "{name}");
        }
        let known = crate::directory::lookup(&store.read(), name).unwrap();
        assert_eq!(&*known.uri, expected);
    }
}

#[tokio::test]
async fn a_daemon_of_another_lab_is_refused() {
    let store = Store::memory();
    for (theirs, is_refused) in [(Some("a"), false), (Some("b"), true), (None, false)] {
        let args = vec![Value::List(vec![row("n", OURS, &[], "claim")]), Value::Float(8.0)];
        let kwargs = theirs.map(|lab| ("lab".to_owned(), lab.into())).into_iter().collect();
        let call = MethodCall { method: METHOD.to_owned(), args, kwargs };
        let renewed = renew_in(&store, call, Some("a"));
        let error = renewed.wait().await.err().map(|exception| exception.message());
        assert_eq!(
            error.is_some_and(|text| text.contains("another lab")),
            is_refused,
            "{theirs:?}"
        );
    }
}
