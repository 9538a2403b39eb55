//! Rules of access over real sockets: every use of every object, by clients of every role.
//!
//! The matrix is generated: server type × serializer × role × state of the lock × object × path ×
//! member. A client that may do nothing connects to `Pyro.Daemon` and calls other objects from
//! there, in raw frames. With `FERROLAB_TEST_EXTENDED=1` it is the whole product; else each
//! combination has one of the serializers, in turn.

mod client;
mod instrument;
mod matrix;

use std::sync::{Arc, Mutex};

use remote::access::{AccessKind, AccessRules, Role};
use remote::{
    AccessEvent, ConnectError, Daemon, DaemonConfig, Error, LockSettings, Serializer, ServerType,
    Value,
};

use crate::common::Serving;
use client::{Client, Heard};
use instrument::{Instrument, Seen};
use matrix::{
    Expected, LockState, OBJECTS, PATHS, Path, SCENARIOS, Scenario, admin, expected, rules,
};

/// A daemon with all objects.
async fn serve(server_type: ServerType) -> (Serving, Seen) {
    let config = DaemonConfig { server_type, ..DaemonConfig::default() };
    let daemon = Daemon::new(config);
    let seen = Seen::default();
    let object = || Arc::new(Instrument { seen: Arc::clone(&seen) });
    daemon.register("free", object()).unwrap();
    let settings =
        LockSettings { read_while_locked: vec!["look".to_owned()], ..LockSettings::default() };
    daemon.register_lockable("locked", object(), settings).unwrap();
    for id in ["free", "locked"] {
        daemon.abort_calls_by(id, vec!["stop".to_owned()]);
    }
    daemon.register_part("free.part", object(), "free").unwrap();
    daemon.register_part("locked.part", object(), "locked").unwrap();
    daemon.register_part("thing", object(), "locked").unwrap();
    (Serving::of(daemon).await, seen)
}

/// The clients of one case: the one that is looked at, and another that may have the lock.
struct Case<'a> {
    serving: &'a Serving,
    seen: &'a Seen,
    client: Client,
    other: Client,
}

impl Case<'_> {
    /// Brings the lock of `locked` to a state, and opens a stream if `path` needs one.
    async fn prepare(&mut self, object: &str, state: LockState, path: Path) -> Option<String> {
        let Case { serving, client, other, .. } = self;
        serving.daemon.set_access(Some(admin()));
        // The lock may be that of another case's client.
        let uri = Value::from("PYRO:locked@localhost:1");
        other.call("Pyro.Daemon", "release", &[uri]).await;
        // An owner whose lock was broken hears of it here.
        client.call("locked", "unlock", &[]).await;
        other.call("locked", "unlock", &[]).await;
        let wants_stream = matches!(path, Path::Item | Path::CloseStream);
        let mut stream = None;
        if wants_stream {
            match client.call(object, "scan", &[]).await {
                Heard::Stream(id) => stream = Some(id),
                heard => panic!("{heard:?}"),
            }
        }
        let owner = match state {
            LockState::Free => None,
            LockState::Own => Some(client),
            LockState::Others => Some(other),
        };
        if let Some(owner) = owner {
            let locked = owner.call("locked", "lock", &["owner".into()]).await;
            assert!(matches!(locked, Heard::Value(Value::Bool(true))), "{locked:?}");
        }
        stream
    }

    /// Makes one use, and compares what it comes to.
    async fn check(&mut self, scenario: Scenario, state: LockState, object: usize, path: Path) {
        let (id, _, has_lock) = OBJECTS[object];
        // A lock that is taken away ends the streams of others.
        if matches!(path, Path::Item | Path::CloseStream) && state == LockState::Others {
            return;
        }
        let stream = self.prepare(id, state, path).await;
        self.serving.daemon.set_access(Some(rules(scenario)));
        self.seen.lock().unwrap().clear();
        let refused = self.serving.daemon.refused_calls();
        let heard = self.client.make(id, path, stream.as_deref()).await;
        if heard.is_none() {
            // The ping is answered after the call has begun.
            self.client.call("Pyro.Daemon", "ping", &[]).await;
        }
        let seen = self.seen.lock().unwrap().clone();
        let refused = self.serving.daemon.refused_calls() - refused;
        let mut expected = expected(scenario, has_lock, state, path);
        let case = format!("{scenario:?} {state:?} {id} {path:?}: {heard:?}, {seen:?}");
        if path == Path::Registered {
            let Some(Heard::Value(Value::List(ids) | Value::Tuple(ids))) = heard else {
                panic!("{case}")
            };
            let is_listed = ids.contains(&id.into());
            assert_eq!(is_listed, expected == Expected::Done, "{case}");
            assert_eq!(refused, 0, "{case}");
            return;
        }
        let is_done = match path {
            Path::Oneway(member) | Path::OnewayBatch(member) => {
                let is_done = seen.iter().any(|line| line == member);
                if !is_done && refused == 0 {
                    assert_ne!(expected, Expected::NotPermitted, "{case}");
                    expected = Expected::Otherwise;
                }
                is_done
            }
            _ => !matches!(heard, Some(Heard::Raised(_)) | None),
        };
        let is_permission_error = matches!(
            &heard, Some(Heard::Raised(exception)) if exception.class == "builtins.PermissionError"
        );
        match expected {
            Expected::Done => assert!(is_done, "{case}"),
            Expected::NotPermitted => {
                assert!(!is_done && refused == 1, "{case}");
                assert!(is_permission_error || heard.is_none(), "{case}");
                // The entry before it in a batch was permitted.
                let reached: Vec<&String> = seen.iter().filter(|line| *line != "look").collect();
                assert!(reached.is_empty() && (seen.is_empty() || has_look(path)), "{case}");
            }
            Expected::Otherwise => {
                assert!(!is_permission_error && refused == 0, "{case}");
                let reached = seen.iter().any(|line| line != "look" && line != "stop");
                assert!(!reached, "{case}");
            }
        }
    }
}

fn has_look(path: Path) -> bool {
    matches!(path, Path::Batch(_) | Path::OnewayBatch(_))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_path_leads_round_the_rules() {
    let extended =
        std::env::var_os("FERROLAB_TEST_EXTENDED").is_some_and(|value| !value.is_empty());
    let mut checked = 0_usize;
    for server_type in [ServerType::Thread, ServerType::Multiplex] {
        let (serving, seen) = serve(server_type).await;
        let mut clients = Vec::new();
        for serializer in Serializer::ALL {
            let connect = || Client::connect(&serving.location, serializer);
            let (client, other) = (connect().await, connect().await);
            clients.push(Case { serving: &serving, seen: &seen, client, other });
        }
        for scenario in SCENARIOS {
            for state in [LockState::Free, LockState::Own, LockState::Others] {
                for object in 0..OBJECTS.len() {
                    for path in PATHS {
                        checked += 1;
                        if !extended {
                            let turn = checked % clients.len();
                            clients[turn].check(scenario, state, object, path).await;
                            continue;
                        }
                        for client in &mut clients {
                            client.check(scenario, state, object, path).await;
                        }
                    }
                }
            }
        }
        drop(clients);
        serving.daemon.set_access(None);
        serving.end().await;
    }
    println!("{checked} uses");
}

#[tokio::test]
async fn a_client_without_a_role_is_refused_at_its_handshake() {
    let (serving, _) = serve(ServerType::Thread).await;
    serving.daemon.set_access(Some(AccessRules::default()));
    let refused = serving.proxy("locked").connect().await;
    let Err(Error::Connect { source: ConnectError::Refused(reason), .. }) = refused else {
        panic!("{refused:?}")
    };
    let expected = "anonymous@127.0.0.1 may not look at locked: that needs the role view; log in \
                    with `ferrolab login`";
    assert!(reason.contains(expected), "{reason}");
    serving.proxy("Pyro.Daemon").connect().await.unwrap();
    serving.daemon.set_access(None);
    serving.proxy("locked").connect().await.unwrap();
}

#[tokio::test]
async fn refusals_and_acts_of_admins_are_told() {
    let (serving, _) = serve(ServerType::Thread).await;
    let told: Arc<Mutex<Vec<AccessEvent>>> = Arc::default();
    let log = Arc::clone(&told);
    serving.daemon.log_access(Arc::new(move |event| log.lock().unwrap().push(event.clone())));
    let mut client = Client::connect(&serving.location, Serializer::Serpent).await;
    let uri = || Value::from("PYRO:locked@localhost:1");
    serving.daemon.set_access(Some(admin()));
    let mut other = Client::connect(&serving.location, Serializer::Serpent).await;
    other.call("locked", "lock", &[]).await;
    client.call("Pyro.Daemon", "release", &[uri()]).await;
    serving.daemon.set_access(Some(rules(Scenario::Whole(Some(Role::View)))));
    client.call("locked", &"x".repeat(10_000), &[]).await;
    let told = told.lock().unwrap();
    let [act, refusal] = &told[..] else { panic!("{told:?}") };
    assert_eq!((act.kind, &act.refused), (AccessKind::Break, &None));
    assert_eq!((&*act.who, act.object.as_str()), ("anonymous@127.0.0.1", "locked"));
    assert_eq!((refusal.kind, refusal.object.as_str()), (AccessKind::Call, "locked"));
    let text = refusal.refused.clone().unwrap();
    assert!(text.len() < 500 && text.contains("may not call locked.xxx"), "{text}");
}
