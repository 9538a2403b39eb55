//! Tests of owners: a table of clients and what they may do with names of others.

use std::collections::HashMap;

use remote::access::{AccessGrant, AccessRules, Role, Who};
use remote::{
    Context, Daemon, DaemonConfig, Dict, Identity, IdentitySource, MethodCall, Object, Operation,
    ReplyBody, Request, Value,
};

use super::*;
use crate::store::FakeRegistry;
use crate::{NameServerObject, Store};

const LAB_ID: &str = "8a1f";

/// A nameserver in which `ada` and `bob` may operate what begins with `lab.`, `eve` may look, and
/// `root` is an admin.
fn nameserver(store: &Arc<Store>, is_on: bool) -> NameServerObject {
    let daemon = Daemon::new(DaemonConfig::default());
    let user = |name: &str| Who::User(name.to_owned());
    let operators = vec![user("ada"), user("bob"), Who::Anonymous];
    let grants = vec![
        AccessGrant::new(operators, &["lab.*"], Role::Operate),
        AccessGrant::new(vec![user("root")], &["*"], Role::Admin),
    ];
    let rules = AccessRules {
        network: Some(Role::View),
        local: Some(Role::View),
        groups: HashMap::new(),
        grants,
        ..AccessRules::default()
    };
    daemon.set_access(is_on.then_some(rules));
    NameServerObject::new(Arc::clone(store))
        .of_lab(Some(LAB_ID.to_owned()))
        .with_access(daemon.access_gate())
}

/// A client: a user, or an anonymous one at an address.
fn session(who: &str) -> Arc<Session> {
    let (address, identity) = match who.parse::<std::net::IpAddr>() {
        Ok(address) => (address, None),
        Err(_) => ([10, 0, 0, 1].into(), Some(Identity::new(who, IdentitySource::Token))),
    };
    let peer = Peer::Tcp((address, 4711).into());
    let session = Session::new(1, peer, "Pyro.NameServer".to_owned(), Value::None);
    Arc::new(match identity {
        Some(identity) => session.with_identity(identity),
        None => session,
    })
}

async fn ask(object: &NameServerObject, who: &str, operation: Operation) -> Result<Value, String> {
    let request = Request { operation, context: Context::internal() };
    let reply = object.call(&session(who), request).wait().await;
    match reply.map_err(|exception| exception.to_string())?.body {
        ReplyBody::Value(value) => Ok(value),
        _ => panic!("no value"),
    }
}

fn call(method: &str, args: &[Value], kwargs: &[(&str, Value)]) -> MethodCall {
    let kwargs = kwargs.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    MethodCall { method: method.to_owned(), args: args.to_vec(), kwargs: kwargs.collect() }
}

/// One row of a table: whether `who` may do something with names.
struct Row(&'static str, MethodCall, bool);

fn register(name: &str, uri: &str) -> MethodCall {
    call("register", &[name.into(), uri.into()], &[])
}

fn renew(name: &str, uri: &str, takeover: &str, lab: Option<&str>) -> MethodCall {
    let tags = Value::List(Vec::new());
    let row = Value::Tuple(vec![name.into(), uri.into(), tags, takeover.into()]);
    let lab = lab.map(|lab| ("lab", Value::from(lab)));
    let rows = [Value::List(vec![row]), Value::Float(8.0)];
    call("renew_leases", &rows, &Vec::from_iter(lab))
}

const ONE: &str = "PYRO:one@h:1";
const TWO: &str = "PYRO:two@h:2";

fn rows() -> Vec<Row> {
    let tags = Value::List(vec!["t".into()]);
    let remove = |name: &str| call("remove", &[name.into()], &[]);
    let tag = |name: &str| call("set_metadata", &[name.into(), tags.clone()], &[]);
    vec![
        Row("eve", register("lab.eve", ONE), false),
        Row("ada", register("other.ada", ONE), false),
        Row("ada", register("lab.a", ONE), true),
        Row("ada", register("lab.a", ONE), true),
        Row("bob", register("lab.a", TWO), false),
        Row("bob", register("lab.a", ONE), false),
        Row("bob", remove("lab.a"), false),
        Row("bob", tag("lab.a"), false),
        Row("bob", call("remove", &[], &[("prefix", "lab.".into())]), false),
        Row("bob", call("remove", &[], &[("regex", ".*a".into())]), false),
        Row("bob", renew("lab.a", ONE, "keep", None), false),
        Row("bob", renew("lab.a", TWO, "claim", None), false),
        Row("bob", renew("lab.a", TWO, "seize", None), false),
        Row("eve", renew("lab.a", ONE, "keep", None), false),
        Row("eve", renew("lab.new", ONE, "claim", None), false),
        Row("ada", tag("lab.a"), true),
        Row("10.0.0.7", register("lab.n", ONE), true),
        Row("10.0.0.8", register("lab.n", TWO), false),
        Row("10.0.0.7", register("lab.n", TWO), true),
        Row("10.0.0.7", remove("lab.n"), true),
        // The lab's own daemons are nobody's guests.
        Row("127.0.0.1", renew("other.own", ONE, "claim", None), false),
        Row("127.0.0.1", renew("other.own", ONE, "claim", Some(LAB_ID)), true),
        Row("127.0.0.1", renew("other.own", ONE, "keep", Some(LAB_ID)), true),
        Row("127.0.0.1", remove("other.own"), false),
        Row("ada", register("other.own", TWO), false),
        Row("root", tag("lab.a"), true),
        // Its owner is still the one that has registered it.
        Row("bob", remove("lab.a"), false),
        Row("ada", remove("lab.a"), true),
        Row("bob", register("lab.a", TWO), true),
        Row("root", call("remove", &[], &[("prefix", "lab.".into())]), true),
    ]
}

/// Whether a call was done: `renew_leases` has refusals in its answer.
fn is_done(answer: &Result<Value, String>) -> bool {
    let no_error =
        |row: &Value| matches!(row, Value::Tuple(row) if row.get(2) == Some(&Value::None));
    match answer {
        Ok(Value::List(conflicts)) => conflicts.iter().all(no_error),
        answer => answer.is_ok(),
    }
}

#[tokio::test]
async fn names_belong_to_the_clients_that_registered_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("names.db");
    for in_file in [false, true] {
        let open = || if in_file { Store::open(&file).unwrap().0 } else { Store::memory() };
        let mut store = Arc::new(open());
        for Row(who, change, may) in rows() {
            let object = nameserver(&store, true);
            let case = format!("{who} {change:?}");
            let answer = ask(&object, who, Operation::Call(change.clone())).await;
            assert_eq!(is_done(&answer), may, "{case}: {answer:?}");
            if !may {
                let text = format!("{answer:?}");
                assert!(text.contains("that needs the role"), "{case}: {text}");
            }
            if in_file {
                // Owners outlive the process.
                store.close().await;
                store = Arc::new(open());
            }
        }
        assert_eq!(store.read().len(), 1, "what is left is the lab's");
        store.close().await;
    }
}

#[tokio::test]
async fn the_same_holds_in_a_batch_and_does_not_without_rules() {
    for (is_on, may) in [(true, false), (false, true)] {
        let store = Arc::new(Store::memory());
        let object = nameserver(&store, is_on);
        let first = register("lab.a", ONE);
        ask(&object, "ada", Operation::Call(first)).await.unwrap();
        let entry = |change: MethodCall| Operation::Batch(vec![call("ping", &[], &[]), change]);
        for change in [register("lab.a", TWO), call("remove", &["lab.a".into()], &[])] {
            let Ok(Value::List(results)) = ask(&object, "bob", entry(change)).await else {
                panic!("no list")
            };
            let raised = matches!(results.last(), Some(Value::Dict(dict)) if is_exception(dict));
            assert_eq!(raised, !may, "{results:?}");
        }
        assert_eq!(store.read().len(), usize::from(!may));
    }
}

/// Hidden names are removed by their owners and by admins, each once.
#[tokio::test(start_paused = true)]
async fn a_hidden_name_is_removed_by_its_owner_or_an_admin() {
    let store = Arc::new(FakeRegistry::new().store("one", None));
    let trouble = store.trouble().unwrap().wait_for(Option::is_none).await.map(drop);
    trouble.unwrap();
    let object = nameserver(&store, true).of_host(Some("lab-host".to_owned()), None);
    for (host, who, name, lab) in [
        ("h1", "ada", "lab.a", None),
        ("h1", "ada", "lab.b", None),
        ("h2", "127.0.0.1", "other.own", Some(LAB_ID)),
    ] {
        let MethodCall { args, kwargs, .. } = renew(name, ONE, "claim", lab);
        let args = [vec![host.into()], args].concat();
        let announced = MethodCall { method: "renew_host_leases".to_owned(), args, kwargs };
        let answer = ask(&object, who, Operation::Call(announced)).await;
        assert!(is_done(&answer), "{who} {name}: {answer:?}");
    }
    // Nobody renews them.
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!(store.read().len(), 0, "they are hidden");
    let forbidden = || Err("that needs the role");
    for (who, name, expected) in [
        ("eve", "lab.a", forbidden()),
        ("bob", "lab.a", forbidden()),
        ("10.0.0.7", "lab.a", forbidden()),
        ("ada", "other.own", forbidden()),
        ("ada", "lab.a", Ok(1)),
        ("ada", "lab.a", Ok(0)),
        ("root", "lab.b", Ok(1)),
        ("root", "other.own", Ok(1)),
        ("root", "other.own", Ok(0)),
        ("root", "lab.never", Ok(0)),
    ] {
        let remove = call("remove_hidden", &[name.into()], &[]);
        let answer = ask(&object, who, Operation::Call(remove)).await;
        match (&answer, expected) {
            (Ok(count), Ok(expected)) => assert_eq!(*count, Value::Int(expected), "{who} {name}"),
            (Err(error), Err(text)) => assert!(error.contains(text), "{who} {name}: {error}"),
            _ => panic!("{who} {name}: {answer:?}"),
        }
    }
    assert!(store.hidden("").await.is_empty());
}

fn is_exception(dict: &Dict) -> bool {
    dict.class() == Some("Pyro5.core._ExceptionWrapper")
}

#[tokio::test]
async fn a_name_from_before_there_were_rules_is_its_services_or_an_admins() {
    let store = Arc::new(Store::memory());
    let open = nameserver(&store, false);
    ask(&open, "ada", Operation::Call(register("lab.a", ONE))).await.unwrap();
    let object = nameserver(&store, true);
    for (who, change, may) in [
        ("bob", register("lab.a", TWO), false),
        ("bob", call("remove", &["lab.a".into()], &[]), false),
        ("eve", register("lab.a", ONE), false),
        ("ada", register("lab.a", ONE), true),
        // Its URI is no secret: who repeats it has not become its owner.
        ("ada", register("lab.a", TWO), false),
        ("bob", register("lab.a", ONE), true),
        ("bob", register("lab.a", TWO), false),
        ("root", register("lab.a", TWO), true),
    ] {
        let answer = ask(&object, who, Operation::Call(change)).await;
        assert_eq!(answer.is_ok(), may, "{who}: {answer:?}");
    }
}
