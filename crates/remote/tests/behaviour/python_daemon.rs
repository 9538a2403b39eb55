//! The client against Pyro5's own daemon, in a separate Python process.
//!
//! `FERROLAB_TEST_PYTHON` names an interpreter that has Pyro5 (`cargo xtask venv` makes one).
//! Without it there is nothing to test against, and the tests pass without a word.

use std::path::Path;
use std::time::{Duration, Instant};

use remote::{Blob, ClientTls, ConnectError, Error, MethodCall, Proxy, Serializer, Value};

use crate::certificates::{Certificates, RSA};
use crate::common::{WAIT_DEADLINE, lasting_port};
use crate::python::Python;

fn none() -> Vec<(String, Value)> {
    Vec::new()
}

fn call(method: &str, args: Vec<Value>) -> MethodCall {
    MethodCall { method: method.into(), args, kwargs: none() }
}

fn list(items: impl IntoIterator<Item = i64>) -> Value {
    Value::List(items.into_iter().map(Value::from).collect())
}

async fn notes(proxy: &mut Proxy, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + WAIT_DEADLINE;
    loop {
        let notes = proxy.call("notes", Vec::new(), none()).await.unwrap();
        let notes = notes.as_list().unwrap().to_vec();
        if notes.len() >= count {
            return notes;
        }
        assert!(Instant::now() < deadline, "only {notes:?}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn methods_properties_and_batches_with_every_serializer() {
    for settings in [r#"{"SERVERTYPE": "thread"}"#, r#"{"SERVERTYPE": "multiplex"}"#] {
        let Some(python) = Python::start(settings) else { return };
        for serializer in Serializer::ALL {
            let mut proxy = python.proxy().with_serializer(serializer);
            let kwargs = vec![("key".to_owned(), Value::from(2.5))];
            let echoed = proxy.call("echo", vec![1.into(), "two".into()], kwargs).await.unwrap();
            assert_eq!(echoed.to_string(), "[[1, 'two'], {'key': 2.5}]", "{serializer:?}");
            proxy.set("value", 7.into()).await.unwrap();
            assert_eq!(proxy.get("value").await.unwrap(), Value::from(7), "{serializer:?}");
            // With marshal, Pyro5 cannot send an exception within a batch.
            let last = if serializer == Serializer::Marshal { "echo" } else { "fail" };
            let calls = vec![call("echo", vec![1.into()]), call(last, vec![])];
            let mut results = proxy.batch(calls).await.unwrap();
            assert_eq!(results.len(), 2, "{serializer:?}");
            match results.remove(1) {
                Ok(value) => assert_eq!(value.to_string(), "[[], {}]"),
                Err(exception) => assert_eq!(exception.class, "builtins.ValueError"),
            }
            proxy.ping().await.unwrap();
            let registered = proxy.call_daemon("registered", Vec::new()).await.unwrap();
            assert_eq!(registered.as_list().unwrap().len(), 2);
        }
    }
}

#[tokio::test]
async fn an_exception_arrives_whole() {
    let Some(python) = Python::start("{}") else { return };
    let mut proxy = python.proxy();
    let raised = proxy.call("fail", Vec::new(), none()).await;
    let Err(Error::Remote(exception)) = raised else { panic!("{raised:?}") };
    assert_eq!(exception.class, "builtins.ValueError");
    assert_eq!(exception.args, ["as asked".into(), 5.into()]);
    assert_eq!(exception.attributes.get("extra"), Some(&"attribute".into()));
    assert!(exception.traceback().unwrap().concat().contains("in fail"));
}

#[tokio::test]
async fn what_an_object_does_not_have_is_not_asked_for() {
    let Some(python) = Python::start("{}") else { return };
    let mut proxy = python.proxy();
    for result in [
        proxy.call("nothing", Vec::new(), none()).await.map(drop),
        proxy.get("echo").await.map(drop),
        proxy.set("nothing", 1.into()).await,
    ] {
        assert!(matches!(result, Err(Error::Unexposed { .. })), "{result:?}");
    }
}

#[tokio::test]
async fn oneway_calls_and_batches_have_no_answer() {
    let Some(python) = Python::start("{}") else { return };
    let mut proxy = python.proxy();
    // The object says that it is oneway; the caller need not.
    assert_eq!(proxy.call("note", vec![1.into()], none()).await.unwrap(), Value::None);
    notes(&mut proxy, 1).await;
    proxy.call_oneway("note", vec![2.into()], none()).await.unwrap();
    notes(&mut proxy, 2).await;
    proxy
        .batch_oneway(vec![call("note", vec![3.into()]), call("note", vec![4.into()])])
        .await
        .unwrap();
    assert_eq!(notes(&mut proxy, 4).await, [1, 2, 3, 4].map(Value::from));
}

#[tokio::test]
async fn streams_are_read_item_by_item() {
    let Some(python) = Python::start("{}") else { return };
    for serializer in Serializer::ALL {
        let mut proxy = python.proxy().with_serializer(serializer);
        let mut stream = proxy.stream("numbers", vec![3.into()], none()).await.unwrap();
        assert_eq!(stream.take(10).await.unwrap(), [0, 1, 2].map(Value::from));
        assert_eq!(stream.next().await.unwrap(), None, "over, and stays so");
        drop(stream);
        let mut failing = proxy.stream("failing", Vec::new(), none()).await.unwrap();
        assert_eq!(failing.next().await.unwrap(), Some(1.into()));
        let raised = failing.next().await;
        let Err(Error::Remote(exception)) = raised else { panic!("{raised:?}") };
        assert_eq!(exception.short_class(), "ZeroDivisionError");
    }
}

#[tokio::test]
async fn a_stream_that_is_left_is_closed() {
    let Some(python) = Python::start("{}") else { return };
    let mut proxy = python.proxy();
    let mut stream = proxy.stream("numbers", vec![3.into()], none()).await.unwrap();
    stream.next().await.unwrap();
    stream.close().await.unwrap();
    notes(&mut proxy, 1).await;
    let mut stream = proxy.stream("numbers", vec![3.into()], none()).await.unwrap();
    stream.next().await.unwrap();
    drop(stream);
    notes(&mut proxy, 2).await;
    let called = proxy.call("numbers", vec![3.into()], none()).await;
    assert!(matches!(called, Err(Error::IsStream { .. })), "{called:?}");
    let streamed = proxy.stream("echo", Vec::new(), none()).await;
    assert!(matches!(streamed, Err(Error::Protocol { .. })), "{streamed:?}");
}

#[tokio::test]
async fn annotations_and_correlation_ids_travel() {
    let Some(python) = Python::start("{}") else { return };
    let mut proxy = python
        .proxy()
        .with_annotations(vec![(*b"ABCD", b"from the client".to_vec())])
        .with_correlation_id([5; 16]);
    let seen = proxy.call("context", Vec::new(), none()).await.unwrap();
    assert_eq!(seen.to_string(), "['from the client', '05050505-0505-0505-0505-050505050505']");
    assert_eq!(proxy.response_annotations(), &[(*b"BACK", b"from the server".to_vec())]);
    proxy.set_annotations(Vec::new());
    let seen = proxy.call("context", Vec::new(), none()).await.unwrap();
    assert!(seen.to_string().starts_with("['', "), "{seen}");
}

#[tokio::test]
async fn compression_in_both_directions() {
    let Some(python) = Python::start(r#"{"COMPRESSION": true}"#) else { return };
    let mut proxy = python.proxy().with_compression();
    let long = Value::from("x".repeat(100_000));
    let echoed = proxy.call("echo", vec![long.clone()], none()).await.unwrap();
    assert_eq!(echoed, Value::List(vec![Value::List(vec![long]), Value::Dict(Default::default())]));
}

#[tokio::test]
async fn a_blob_stays_serialized() {
    let Some(python) = Python::start("{}") else { return };
    // With json, Pyro5's own deserialized() does not find the arguments.
    for serializer in [Serializer::Serpent, Serializer::Marshal, Serializer::Msgpack] {
        let mut proxy = python.proxy().with_serializer(serializer);
        let blob = Blob::new("blob", "about it".into(), &[1.into(), "two".into()], serializer);
        let seen = proxy.call_blob(&blob.unwrap()).await.unwrap();
        let parts = seen.as_list().unwrap();
        assert_eq!(parts[0], "about it".into());
        assert_eq!(parts[1].as_list().unwrap(), [1.into(), "two".into()], "{serializer:?}");
    }
}

#[tokio::test]
async fn the_handshake_and_its_answer() {
    let Some(python) = Python::start("{}") else { return };
    let refused = python.proxy().with_handshake("forbidden".into()).connect().await;
    let Err(Error::Connect { source: ConnectError::Refused(reason), .. }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(reason, "you may not");
    let judge = |answer: &Value| match answer.to_string().as_str() {
        "['you said', 'please']" => Ok(()),
        other => Err(format!("what a strange answer: {other}")),
    };
    python
        .proxy()
        .with_handshake("please".into())
        .with_handshake_check(judge)
        .connect()
        .await
        .unwrap();
    let refused = python.proxy().with_handshake_check(judge).connect().await;
    let Err(Error::Connect { source: ConnectError::HandshakeCheck(reason), .. }) = refused else {
        panic!("{refused:?}")
    };
    assert!(reason.starts_with("what a strange answer"), "{reason}");
}

#[tokio::test]
async fn timeouts_lost_connections_and_what_comes_behind_them() {
    let Some(python) = Python::start("{}") else { return };
    let mut proxy = python.proxy();
    proxy.connect().await.unwrap();
    proxy.set_timeout(Some(Duration::from_millis(200)));
    let late = proxy.call("sleep", vec![60.into()], none()).await;
    assert!(matches!(late, Err(Error::Timeout { .. })), "{late:?}");
    proxy.set_timeout(Some(WAIT_DEADLINE));
    let lost = proxy.call("hang_up", Vec::new(), none()).await;
    assert!(matches!(lost, Err(Error::Lost { .. })), "{lost:?}");
    // The next call makes a new connection.
    proxy.call("echo", Vec::new(), none()).await.unwrap();
    proxy.reconnect(3, Duration::from_millis(10)).await.unwrap();
    proxy.call("echo", Vec::new(), none()).await.unwrap();
}

#[tokio::test]
async fn a_call_is_made_again_only_where_its_user_allows_it() {
    let Some(python) = Python::start("{}") else { return };
    let mut proxy = python.proxy().with_retries(2);
    let mut watcher = python.proxy();
    // It loses its connection each time.
    let lost = proxy.call("hang_up", Vec::new(), none()).await;
    assert!(matches!(lost, Err(Error::Lost { .. })), "{lost:?}");
    // It loses it twice, and the third call has an answer.
    let counted = proxy.call("hang_up_times", vec![2.into()], none()).await.unwrap();
    assert_eq!(counted, Value::from(3));
    // An exception of an object is an answer.
    assert!(matches!(proxy.call("fail", Vec::new(), none()).await, Err(Error::Remote(_))));
    watcher.ping().await.unwrap();
    drop(python);
    let gone = proxy.call("echo", Vec::new(), none()).await;
    assert!(gone.unwrap_err().is_transient());
}

#[tokio::test]
async fn a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("probe.sock");
    let settings = format!(r#"{{"unixsocket": "{}"}}"#, path.display());
    let Some(python) = Python::start(&settings) else { return };
    assert!(python.uri.contains("@./u:"), "{}", python.uri);
    let echoed = python.proxy().call("echo", vec![1.into()], none()).await.unwrap();
    assert_eq!(echoed.as_list().unwrap()[0], list([1]));
}

#[tokio::test]
async fn ipv6() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let Some(python) = Python::start(r#"{"host": "::1"}"#) else { return };
    assert!(python.uri.contains("@[::1]:"), "{}", python.uri);
    let echoed = python.proxy().call("echo", vec![1.into()], none()).await.unwrap();
    assert_eq!(echoed.as_list().unwrap()[0], list([1]));
}

#[tokio::test]
async fn a_daemon_that_comes_back_is_reconnected_to() {
    let settings = format!(r#"{{"host": "localhost", "port": {}}}"#, lasting_port());
    let Some(python) = Python::start(&settings) else { return };
    let mut proxy = python.proxy();
    proxy.call("echo", Vec::new(), none()).await.unwrap();
    drop(python);
    assert!(proxy.reconnect(2, Duration::from_millis(1)).await.is_err());
    let coming = tokio::task::spawn_blocking(move || Python::start(&settings).unwrap());
    // Until it is there.
    let reconnecting = proxy.reconnect(u32::MAX, Duration::from_millis(10));
    tokio::time::timeout(WAIT_DEADLINE, reconnecting).await.unwrap().unwrap();
    let _python = coming.await.unwrap();
    proxy.call("echo", Vec::new(), none()).await.unwrap();
}

#[tokio::test]
async fn tls_with_certificates_of_both_sides() {
    let Some(made) = Certificates::new() else { return };
    let (server, client) =
        (made.self_signed("server", "localhost", &[]), made.self_signed("client", "me", &[]));
    let settings = tls_settings(&server.certificate, &server.key, &client.certificate);
    let Some(python) = Python::start(&settings) else { return };
    let identity = client.identity();
    let tls = ClientTls::with_identity(&server.certificate, &identity).unwrap();
    let mut proxy = python.proxy().with_tls(tls);
    let echoed = proxy.call("echo", vec!["x".repeat(50_000).into()], none()).await.unwrap();
    assert_eq!(echoed.as_list().unwrap().len(), 2);
    let mut stream = proxy.stream("numbers", vec![2.into()], none()).await.unwrap();
    assert_eq!(stream.take(5).await.unwrap().len(), 2);
    drop(stream);
    // Another server than the one that is trusted, and a client without a certificate.
    let other = ClientTls::with_identity(&client.certificate, &identity).unwrap();
    let distrusted = python.proxy().with_tls(other).connect().await;
    assert!(
        matches!(distrusted, Err(Error::Connect { source: ConnectError::Tls(_), .. })),
        "{distrusted:?}"
    );
    let nameless = ClientTls::trusting(&server.certificate).unwrap();
    assert!(python.proxy().with_tls(nameless).connect().await.is_err());
}

/// Of X.509 version 1, since nobody asked OpenSSL for more.
#[tokio::test]
async fn tls_with_certificates_that_a_lab_has_issued() {
    let Some(made) = Certificates::new() else { return };
    for (kind, version) in [(RSA, "TLSv1_3"), (RSA, "TLSv1_2"), (&[], "TLSv1_2")] {
        let authority = made.self_signed("authority", "The lab", kind);
        let server = made.issued("authority", "server", "localhost", "");
        let client = made.issued("authority", "client", "me", "");
        let settings = tls_settings(&server.certificate, &server.key, &authority.certificate);
        let settings = settings.replace('{', &format!(r#"{{"tls": "{version}", "#));
        let Some(python) = Python::start(&settings) else { return };
        let tls = ClientTls::with_identity(&authority.certificate, &client.identity()).unwrap();
        let mut proxy = python.proxy().with_tls(tls);
        let echoed = proxy.call("echo", vec![1.into()], none()).await.unwrap();
        assert_eq!(echoed.as_list().unwrap()[0], list([1]), "{version}");
    }
}

fn tls_settings(certificate: &Path, key: &Path, clients: &Path) -> String {
    format!(
        r#"{{"SSL": true, "SSL_SERVERCERT": "{}", "SSL_SERVERKEY": "{}",
            "SSL_REQUIRECLIENTCERT": true, "SSL_CACERTS": "{}"}}"#,
        certificate.display(),
        key.display(),
        clients.display(),
    )
}
