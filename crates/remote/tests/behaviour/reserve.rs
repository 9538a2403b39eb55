//! Places for who comes to break a lock, where all others are taken: nobody can keep them.

use std::io::{Read, Write};
use std::sync::Arc;

use remote::{DAEMON_NAME, Daemon, DaemonConfig, Error, LockSettings, Proxy, Serializer, Value};
use wire::message::MessageType;

use crate::common::{Echo, Serving, frame, once_of_ten, within};

/// More than there are places in the reserve.
const CROWD: usize = 9;

/// Daemons with one connection, in all or from one address, and what others are refused with.
fn limited() -> [(DaemonConfig, &'static str); 2] {
    let config = DaemonConfig::default;
    [
        (DaemonConfig { threadpool_size: 1, ..config() }, "no free workers"),
        (
            DaemonConfig { connections_per_address: Some(1), ..config() },
            "too many connections from your address",
        ),
    ]
}

/// A daemon whose one connection is that of a lock's owner.
async fn taken(config: DaemonConfig) -> (Serving, Proxy) {
    let daemon = Daemon::new(config);
    daemon.register_lockable("echo", Arc::new(Echo), LockSettings::default()).unwrap();
    let serving = Serving::of(daemon).await;
    let mut owner = serving.proxy("echo");
    within(owner.call("lock", vec!["ada".into()], Vec::new())).await.unwrap();
    (serving, owner)
}

#[tokio::test]
async fn who_only_sits_in_the_reserve_keeps_nobody_from_breaking_a_lock() {
    for case in [0, 1] {
        let attempt = async || {
            let (config, refusal) = limited().into_iter().nth(case).unwrap();
            break_a_lock(config, refusal).await
        };
        assert!(once_of_ten(attempt).await);
    }
}

/// Breaks a lock beside a crowd in the reserve. Returns whether all calls were made within the time
/// of a place there.
async fn break_a_lock(config: DaemonConfig, refusal: &str) -> bool {
    let (serving, _owner) = taken(config).await;
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        let mut sits = serving.proxy(DAEMON_NAME);
        within(sits.connect()).await.unwrap();
        crowd.push(sits);
    }
    // It may do nothing else.
    let mut calls = serving.proxy(DAEMON_NAME);
    let refused = within(calls.call("registered", Vec::new(), Vec::new())).await.unwrap_err();
    if matches!(refused, Error::Lost { .. }) {
        return false;
    }
    assert!(refused.to_string().contains(refusal), "{refused}");
    let uri = Value::from(serving.uri("echo").to_string());
    let mut breaks = serving.proxy(DAEMON_NAME);
    let broken = within(breaks.call("release", vec![uri, "why".into()], Vec::new())).await;
    if matches!(broken, Err(Error::Lost { .. })) {
        return false;
    }
    assert_eq!(broken.unwrap(), Value::Bool(true));
    let owner = serving.daemon.locks().remove(0).owner;
    assert_eq!(owner, None);
    true
}

#[tokio::test]
async fn a_connection_in_the_reserve_ends_whatever_it_does() {
    let [(config, _), _] = limited();
    let (serving, _owner) = taken(config).await;
    // Calls that are refused, again and again.
    let mut calls = serving.proxy(DAEMON_NAME);
    within(calls.connect()).await.unwrap();
    let busy = async {
        loop {
            match calls.call("registered", Vec::new(), Vec::new()).await {
                Err(Error::Remote(refused)) => {
                    assert!(refused.message().contains("no free workers"), "{refused}");
                }
                Err(Error::Lost { .. } | Error::Connect { .. }) => return,
                other => panic!("{other:?}"),
            }
            tokio::task::yield_now().await;
        }
    };
    within(busy).await;
    // A ping keeps nothing alive: it is the end, and nothing comes back.
    let mut socket = serving.socket();
    let ended = tokio::task::spawn_blocking(move || {
        let mut greeting = wire::value::Dict::new();
        greeting.insert("handshake", "hello");
        greeting.insert("object", DAEMON_NAME);
        let mut payload = Vec::new();
        Serializer::Serpent.encode(&Value::Dict(greeting), &mut payload).unwrap();
        let hello = frame(MessageType::Connect, Serializer::Serpent, &payload, false);
        socket.write_all(&hello).unwrap();
        let ping = frame(MessageType::Ping, Serializer::Serpent, b"ping", false);
        socket.write_all(&ping).unwrap();
        let mut answers = Vec::new();
        let _ = socket.read_to_end(&mut answers);
        answers
    });
    let answers = within(ended).await.unwrap();
    assert!(answers.starts_with(b"PYRO") && !answers.windows(4).any(|bytes| bytes == b"pong"));
}
