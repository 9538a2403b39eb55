//! The wire as a daemon's own objects see it: handshakes, blobs, oneway calls, streams, TLS.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use remote::{
    Answer, Blob, BoxFuture, CallStatus, ConnectError, Daemon, DaemonConfig, Error, Exception,
    ItemStream, Limits, Metadata, Object, Operation, Proxy, Reply, ReplyBody, Request, Serializer,
    ServerType, Session, StreamLimits, Value, WaitsFor, Welcome,
};
use tokio::sync::Semaphore;

use crate::common::{Serving, ask, until};

/// Notes what it is asked, and tells what came along.
struct Witness {
    notes: Mutex<Vec<Value>>,
    go_on: Arc<Semaphore>,
}

struct Numbers(std::ops::Range<i64>);

impl ItemStream for Numbers {
    fn next(&mut self) -> BoxFuture<Result<Option<Value>, Exception>> {
        let item = self.0.next().map(Value::from);
        Box::pin(async move { Ok(item) })
    }
}

/// Its second item never comes.
struct Slow(std::ops::Range<i64>);

impl ItemStream for Slow {
    fn next(&mut self) -> BoxFuture<Result<Option<Value>, Exception>> {
        let item = self.0.next();
        Box::pin(async move {
            if item == Some(1) {
                std::future::pending::<()>().await;
            }
            Ok(item.map(Value::from))
        })
    }
}

impl Object for Witness {
    fn metadata(&self) -> Result<Metadata, Exception> {
        Ok(Metadata {
            oneway: vec!["note".into(), "later".into()],
            ..Metadata::methods([
                "note", "later", "notes", "context", "blob", "numbers", "slow", "session", "large",
                "number",
            ])
        })
    }

    fn call(&self, session: &Arc<Session>, request: Request) -> Answer {
        let Request { operation, context } = request;
        let note = |value: Value| self.notes.lock().unwrap().push(value);
        let name = operation.name().to_owned();
        match (name.as_str(), operation) {
            ("note", Operation::Call(mut call)) => {
                note(call.args.remove(0));
                Answer::value(())
            }
            ("later", Operation::Call(mut call)) => {
                note(call.args.remove(0));
                let go_on = Arc::clone(&self.go_on);
                Answer::Pending(Box::pin(async move {
                    go_on.acquire().await.unwrap().forget();
                    Ok(Value::None.into())
                }))
            }
            ("notes", _) => Answer::value(Value::List(self.notes.lock().unwrap().clone())),
            ("context", _) => {
                let reply = Reply {
                    body: ReplyBody::Value(Value::bytes(context.correlation_id)),
                    annotations: context.annotations,
                    memory: None,
                };
                Answer::Ready(Ok(reply))
            }
            ("blob", Operation::Blob(blob)) => Answer::from(
                blob.deserialized(&Limits::default())
                    .map(|content| Value::Tuple(vec![blob.info, content])),
            ),
            ("numbers", _) => {
                let body = ReplyBody::Stream(Box::new(Numbers(0..3)));
                Answer::Ready(Ok(Reply { body, annotations: Vec::new(), memory: None }))
            }
            ("slow", _) => {
                let body = ReplyBody::Stream(Box::new(Slow(0..5)));
                Answer::Ready(Ok(Reply { body, annotations: Vec::new(), memory: None }))
            }
            ("session", _) => Answer::value(session.handshake.clone()),
            ("number", _) => Answer::value(session.id as i64),
            ("large", _) => Answer::value("x".repeat(5000)),
            (_, operation) => Answer::exception(operation.unexposed()),
        }
    }
}

struct Shared(Arc<Witness>);

impl Object for Shared {
    fn metadata(&self) -> Result<Metadata, Exception> {
        self.0.metadata()
    }
    fn call(&self, session: &Arc<Session>, request: Request) -> Answer {
        self.0.call(session, request)
    }
}

/// A daemon that serves a witness.
struct Bench {
    serving: Serving,
    witness: Arc<Witness>,
}

impl Bench {
    async fn of(daemon: Daemon) -> Self {
        let witness =
            Arc::new(Witness { notes: Mutex::default(), go_on: Arc::new(Semaphore::new(0)) });
        daemon.register("witness", Arc::new(Shared(Arc::clone(&witness)))).unwrap();
        Bench { serving: Serving::of(daemon).await, witness }
    }

    async fn start(config: DaemonConfig) -> Self {
        Self::of(Daemon::new(config)).await
    }

    fn proxy(&self) -> Proxy {
        self.serving.proxy("witness")
    }
}

#[tokio::test]
async fn a_validator_sees_the_handshake_and_answers_it() {
    let daemon = Daemon::new(DaemonConfig::default()).with_validator(|handshake| {
        Box::pin(async move {
            if handshake.data != Value::from("please") {
                return Err(Exception::security_error(format!("not with {}", handshake.data)));
            }
            Ok(Welcome {
                response: Value::from(vec![handshake.object.into(), handshake.data]),
                annotations: handshake.annotations,
            })
        })
    });
    let bench = Bench::of(daemon).await;
    let refused = bench.proxy().with_handshake(5.into()).connect().await;
    let Err(Error::Connect { source: ConnectError::Refused(reason), .. }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(reason, "not with 5");
    let annotations = vec![(*b"ABCD", b"along".to_vec())];
    let mut proxy = bench
        .proxy()
        .with_handshake("please".into())
        .with_annotations(annotations.clone())
        .with_handshake_check(|answer| match answer.to_string().as_str() {
            "['witness', 'please']" => Ok(()),
            other => Err(other.to_owned()),
        });
    proxy.connect().await.unwrap();
    assert_eq!(proxy.response_annotations(), &annotations);
    assert_eq!(ask(&mut proxy, "session").await, Value::from("please"));
}

#[tokio::test]
async fn annotations_and_correlation_ids_reach_an_object_and_come_back() {
    let bench = Bench::start(DaemonConfig::default()).await;
    let annotations = vec![(*b"ABCD", b"one".to_vec()), (*b"EFGH", Vec::new())];
    let mut proxy =
        bench.proxy().with_annotations(annotations.clone()).with_correlation_id([7; 16]);
    proxy = proxy.with_serializer(Serializer::Marshal);
    assert_eq!(ask(&mut proxy, "context").await, Value::bytes([7; 16]));
    assert_eq!(proxy.response_annotations(), &annotations);
    proxy.set_correlation_id(None);
    let [one, two] = [ask(&mut proxy, "context").await, ask(&mut proxy, "context").await];
    assert_ne!(one, two, "each call gets one of its own");
}

#[tokio::test]
async fn a_blob_reaches_an_object_as_it_was_sent() {
    let bench = Bench::start(DaemonConfig::default()).await;
    for serializer in Serializer::ALL {
        let mut proxy = bench.proxy().with_serializer(serializer);
        let args = [1.into(), "two".into()];
        let blob = Blob::new("blob", "about it".into(), &args, serializer).unwrap();
        let seen = proxy.call_blob(&blob).await.unwrap();
        let parts = seen.as_list().unwrap();
        assert_eq!(parts[0], "about it".into());
        assert_eq!(parts[1].as_list().unwrap(), args, "{serializer:?}");
        let other = Blob { method: "notes".into(), ..blob };
        proxy.call_blob(&other).await.unwrap();
    }
}

#[tokio::test]
async fn oneway_calls_begin_in_order_and_keep_nobody_waiting() {
    for server_type in [ServerType::Thread, ServerType::Multiplex] {
        let bench = Bench::start(DaemonConfig { server_type, ..DaemonConfig::default() }).await;
        let mut proxy = bench.proxy();
        for number in 0..100 {
            proxy.call("later", vec![number.into()], Vec::new()).await.unwrap();
        }
        let notes = ask(&mut proxy, "notes").await;
        assert_eq!(notes, Value::List((0..100).map(Value::from).collect()));
        bench.witness.go_on.add_permits(100);
    }
}

#[tokio::test]
async fn oneway_calls_that_are_not_threaded_wait_for_each_other() {
    for server_type in [ServerType::Multiplex, ServerType::Thread] {
        let config = DaemonConfig { server_type, oneway_threaded: false, ..Default::default() };
        let bench = Bench::start(config).await;
        let (mut proxy, mut other) = (bench.proxy(), bench.proxy());
        for number in [1, 2] {
            proxy.call("later", vec![number.into()], Vec::new()).await.unwrap();
        }
        until(|| !bench.witness.notes.lock().unwrap().is_empty()).await;
        other.ping().await.unwrap();
        assert_eq!(*bench.witness.notes.lock().unwrap(), [Value::from(1)]);
        let mut expected = vec![Value::from(1), Value::from(2)];
        if server_type == ServerType::Multiplex {
            // It has its turn between the two.
            other.call_oneway("note", vec![3.into()], Vec::new()).await.unwrap();
            let waits = |call: &CallStatus| call.waits_for == Some(WaitsFor::Turn);
            until(|| bench.serving.daemon.calls().iter().any(waits)).await;
            expected.insert(1, 3.into());
        }
        bench.witness.go_on.add_permits(2);
        assert_eq!(ask(&mut proxy, "notes").await, Value::List(expected));
    }
}

#[tokio::test]
async fn too_many_oneway_calls_are_refused_and_the_next_call_says_so() {
    let config = DaemonConfig { oneways: 3, ..DaemonConfig::default() };
    let bench = Bench::start(config).await;
    let mut proxy = bench.proxy();
    for number in 0..5 {
        proxy.call("later", vec![number.into()], Vec::new()).await.unwrap();
    }
    let told = proxy.call("notes", Vec::new(), Vec::new()).await;
    let Err(Error::Remote(exception)) = told else { panic!("{told:?}") };
    assert!(exception.message().starts_with("too many oneway calls: 2 on"), "{exception}");
    let notes = ask(&mut proxy, "notes").await;
    assert_eq!(notes, Value::List((0..3).map(Value::from).collect()));
    bench.witness.go_on.add_permits(3);
}

/// An item that was taken from the stream and is not answered is lost: asking again would skip it.
#[tokio::test]
async fn the_next_item_is_never_asked_for_twice() {
    let bench = Bench::start(DaemonConfig::default()).await;
    // A machine that stands still for two seconds makes the first item late, too.
    for _ in 0..10 {
        let mut proxy = bench.proxy().with_timeout(Duration::from_secs(2)).with_retries(9);
        let Ok(mut stream) = proxy.stream("slow", Vec::new(), Vec::new()).await else { continue };
        let Ok(first) = stream.next().await else { continue };
        assert_eq!(first, Some(0.into()));
        let late = stream.next().await;
        assert!(matches!(late, Err(Error::Timeout { .. })), "{late:?}");
        return;
    }
    panic!("no first item came in time");
}

#[tokio::test]
async fn a_blob_whose_information_cannot_be_sent_costs_no_connection() {
    let bench = Bench::start(DaemonConfig::default()).await;
    let mut proxy = bench.proxy().with_serializer(Serializer::Marshal);
    let too_deep = (0..250).fold(Value::None, |inner, _| Value::List(vec![inner]));
    let blob = Blob::new("blob", too_deep, &[1.into()], Serializer::Marshal).unwrap();
    let before = proxy.call("number", Vec::new(), Vec::new()).await.unwrap();
    let refused = proxy.call_blob(&blob).await;
    assert!(matches!(refused, Err(Error::Arguments { .. })), "{refused:?}");
    let after = proxy.call("number", Vec::new(), Vec::new()).await.unwrap();
    assert_eq!(before, after, "another session");
}

#[tokio::test]
async fn an_item_stream_outlives_its_connection_for_a_while() {
    let bench = Bench::start(DaemonConfig::default()).await;
    let mut proxy = bench.proxy();
    let mut stream = proxy.stream("numbers", Vec::new(), Vec::new()).await.unwrap();
    assert_eq!(stream.next().await.unwrap(), Some(0.into()));
    stream.reconnect().await.unwrap();
    assert_eq!(stream.take(9).await.unwrap(), [1.into(), 2.into()]);
    let streams = StreamLimits { linger: Duration::ZERO, ..StreamLimits::default() };
    let bench = Bench::start(DaemonConfig { streams, ..DaemonConfig::default() }).await;
    let mut proxy = bench.proxy();
    let mut stream = proxy.stream("numbers", Vec::new(), Vec::new()).await.unwrap();
    stream.reconnect().await.unwrap();
    let mut over = stream.next().await;
    // The daemon may not have seen the end of the first connection yet.
    while let Ok(Some(_)) = over {
        over = stream.next().await;
    }
    assert!(matches!(over, Err(Error::Remote(_)) | Ok(None)), "{over:?}");
}

#[tokio::test]
async fn messages_are_compressed_both_ways() {
    let config = DaemonConfig { compression: true, ..DaemonConfig::default() };
    let bench = Bench::start(config).await;
    let mut proxy = bench.proxy().with_compression();
    proxy.call("note", vec!["y".repeat(5000).into()], Vec::new()).await.unwrap();
    assert_eq!(ask(&mut proxy, "large").await, Value::from("x".repeat(5000)));
}

#[tokio::test]
async fn a_request_beyond_the_limit_is_refused_with_its_size() {
    let limits = Limits { message: 10_000, ..Limits::default() };
    let bench = Bench::start(DaemonConfig { limits, ..DaemonConfig::default() }).await;
    let mut proxy = bench.proxy();
    let long = Value::from("y".repeat(8 << 20));
    let refused = proxy.call("session", vec![long], Vec::new()).await;
    let Err(Error::Remote(exception)) = refused else { panic!("{refused:?}") };
    let expected = "max=10000): `max_message_size` of daemon 'daemon'";
    assert!(exception.message().contains(expected), "{exception}");
    assert_eq!(exception.class, "Pyro5.errors.ProtocolError");
}
