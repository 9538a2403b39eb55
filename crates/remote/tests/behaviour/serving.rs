//! A daemon and proxies over real sockets: places, turns, sessions, bad peers, shutdown.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use remote::{
    Answer, ConnectError, Daemon, DaemonConfig, Error, Exception, Limits, Listener, Metadata,
    MethodCall, Object, Operation, PerCall, PerSession, Proxy, Request, Serializer, ServerType,
    Session, Value,
};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::common::{Serving, WAIT_DEADLINE, raised, until, within};

/// An object for tests: counts its calls, waits when it is told to, and knows its sessions.
struct Probe {
    calls: AtomicUsize,
    /// Calls of `wait` that have begun, ever.
    begun: watch::Sender<usize>,
    running: AtomicUsize,
    most_running: AtomicUsize,
    go_on: Arc<Notify>,
    ended: Mutex<Vec<u64>>,
}

impl Probe {
    fn new() -> Arc<Self> {
        Arc::new(Probe {
            calls: AtomicUsize::new(0),
            begun: watch::Sender::new(0),
            running: AtomicUsize::new(0),
            most_running: AtomicUsize::new(0),
            go_on: Arc::new(Notify::new()),
            ended: Mutex::new(Vec::new()),
        })
    }

    async fn wait_for_begun(&self, count: usize) {
        let mut begun = self.begun.subscribe();
        within(begun.wait_for(|begun| *begun == count)).await.unwrap();
    }
}

/// The object that is registered: shares its probe with the test.
struct Shared(Arc<Probe>);

impl Object for Shared {
    fn metadata(&self) -> Result<Metadata, Exception> {
        Ok(Metadata {
            attrs: vec!["calls".into()],
            ..Metadata::methods(["echo", "fail", "wait", "count"])
        })
    }

    fn call(&self, _session: &Arc<Session>, request: Request) -> Answer {
        let probe = &self.0;
        probe.calls.fetch_add(1, Ordering::SeqCst);
        match request.operation {
            Operation::Call(MethodCall { method, args, .. }) if method == "echo" => {
                Answer::value(Value::List(args))
            }
            Operation::Call(MethodCall { method, args, .. }) if method == "fail" => {
                let text = match args.first().and_then(Value::as_i64) {
                    Some(length) => "x".repeat(length as usize),
                    None => "as asked".to_owned(),
                };
                Answer::exception(Exception::value_error(text))
            }
            Operation::Call(call) if call.method == "wait" => {
                let probe = Arc::clone(probe);
                Answer::Pending(Box::pin(async move {
                    let go_on = Arc::clone(&probe.go_on);
                    let waiting = go_on.notified();
                    let running = probe.running.fetch_add(1, Ordering::SeqCst) + 1;
                    probe.most_running.fetch_max(running, Ordering::SeqCst);
                    probe.begun.send_modify(|begun| *begun += 1);
                    waiting.await;
                    probe.running.fetch_sub(1, Ordering::SeqCst);
                    Ok(Value::from("waited").into())
                }))
            }
            Operation::Call(call) if call.method == "count" => {
                Answer::value(probe.calls.load(Ordering::SeqCst))
            }
            Operation::GetAttr(name) if name == "calls" => {
                Answer::value(probe.calls.load(Ordering::SeqCst))
            }
            Operation::SetAttr(name, value) if name == "calls" => {
                probe.calls.store(value.as_i64().unwrap_or(0) as usize, Ordering::SeqCst);
                Answer::value(())
            }
            Operation::Batch(calls) => {
                let one = |call: MethodCall| match call.method.as_str() {
                    "echo" => Ok(Value::List(call.args)),
                    _ => Err(Exception::value_error("as asked")),
                };
                remote::batch_now(calls, one)
            }
            operation => Answer::exception(operation.unexposed()),
        }
    }

    fn session_ended(&self, session: &Session) {
        self.0.ended.lock().unwrap().push(session.id);
    }
}

/// A daemon that serves a probe.
async fn with_probe(config: DaemonConfig) -> (Serving, Arc<Probe>) {
    let probe = Probe::new();
    let serving = Serving::start(config).await;
    serving.daemon.register("probe", Arc::new(Shared(Arc::clone(&probe)))).unwrap();
    (serving, probe)
}

#[tokio::test]
async fn calls_properties_batches_and_exceptions_with_every_serializer() {
    let (serving, probe) = with_probe(DaemonConfig::default()).await;
    for serializer in Serializer::ALL {
        let mut proxy = serving.proxy("probe").with_serializer(serializer);
        let args = vec![Value::from(1), Value::from("two")];
        let echoed = proxy.call("echo", args.clone(), Vec::new()).await.unwrap();
        assert_eq!(echoed, Value::List(args), "{serializer:?}");
        proxy.set("calls", 7.into()).await.unwrap();
        assert_eq!(proxy.get("calls").await.unwrap(), Value::from(8), "{serializer:?}");
        let call = |method: &str| MethodCall {
            method: method.into(),
            args: Vec::new(),
            kwargs: Vec::new(),
        };
        let results = proxy.batch(vec![call("echo"), call("fail"), call("echo")]).await.unwrap();
        assert_eq!(results.len(), 2, "a batch ends behind what raises; {serializer:?}");
        assert_eq!(results[0], Ok(Value::List(Vec::new())));
        assert_eq!(results[1].as_ref().unwrap_err().to_string(), "ValueError: as asked");
        let raised = proxy.call("fail", Vec::new(), Vec::new()).await;
        let Err(Error::Remote(exception)) = raised else { panic!("{raised:?}") };
        assert_eq!(exception.class, "builtins.ValueError");
        let traceback = exception.traceback().unwrap().concat();
        assert!(traceback.contains("object 'probe', member 'fail'"), "{traceback}");
        proxy.ping().await.unwrap();
        let unknown = proxy.call("_secret", Vec::new(), Vec::new()).await;
        assert!(matches!(unknown, Err(Error::Unexposed { .. })), "{unknown:?}");
    }
    assert!(probe.calls.load(Ordering::SeqCst) > 0);
}

#[tokio::test]
async fn the_daemon_speaks_of_itself() {
    let (serving, _probe) = with_probe(DaemonConfig::default()).await;
    let mut proxy = serving.proxy("Pyro.Daemon");
    let registered = proxy.call("registered", Vec::new(), Vec::new()).await.unwrap();
    assert_eq!(registered.to_string(), "['Pyro.Daemon', 'probe']");
    let metadata = proxy.call("get_metadata", vec!["probe".into()], Vec::new()).await.unwrap();
    assert_eq!(Metadata::from_value(&metadata).attrs, ["calls"]);
    let info = proxy.call("info", Vec::new(), Vec::new()).await.unwrap().to_string();
    assert!(info.contains("2 objects registered"), "{info}");
    assert_eq!(
        raised(proxy.call("get_metadata", Vec::new(), Vec::new()).await),
        "TypeError: DaemonObject.get_metadata() missing 1 required positional argument: 'objectId'"
    );
}

#[tokio::test]
async fn an_exception_that_is_too_long_is_told_of_briefly() {
    let limits = Limits { message: 2048, ..Limits::default() };
    let config = DaemonConfig { limits, ..DaemonConfig::default() };
    let (serving, _probe) = with_probe(config).await;
    let mut proxy = serving.proxy("probe");
    for length in [10, 3_000, 100_000] {
        let told = raised(proxy.call("fail", vec![length.into()], Vec::new()).await);
        assert!(told.contains("xxx"), "{told}");
        assert!(told.contains("too large") == (length > 2048), "{told}");
    }
}

#[tokio::test]
async fn an_unknown_object_is_refused_with_what_there_is() {
    let (serving, _probe) = with_probe(DaemonConfig::default()).await;
    let refused = serving.proxy("prode").call("echo", Vec::new(), Vec::new()).await;
    let Err(Error::Connect { source: ConnectError::Refused(reason), .. }) = refused else {
        panic!("{refused:?}")
    };
    assert!(reason.starts_with("unknown object") && reason.contains("probe"), "{reason}");
}

#[tokio::test]
async fn a_connection_more_than_the_pool_holds_is_refused_until_one_leaves() {
    let config = DaemonConfig { threadpool_size: 2, ..DaemonConfig::default() };
    let (serving, probe) = with_probe(config).await;
    let (mut first, mut second) = (serving.proxy("probe"), serving.proxy("probe"));
    first.connect().await.unwrap();
    second.connect().await.unwrap();
    // A silent socket takes no place: there was never one to take.
    let _silent = serving.socket();
    let mut third = serving.proxy("probe");
    let refused = third.connect().await;
    let Err(Error::Connect { source: ConnectError::Refused(reason), .. }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(reason, "no free workers, increase server threadpool size");
    first.ping().await.unwrap();
    drop(first);
    until(|| probe.ended.lock().unwrap().len() == 1).await;
    within(async { while third.connect().await.is_err() {} }).await;
}

#[tokio::test]
async fn threads_run_calls_side_by_side_and_multiplex_one_after_the_other() {
    for (server_type, at_once) in [(ServerType::Thread, 3), (ServerType::Multiplex, 1)] {
        let config = DaemonConfig { server_type, ..DaemonConfig::default() };
        let (serving, probe) = with_probe(config).await;
        let calls: Vec<JoinHandle<Value>> = (0..3)
            .map(|_| {
                let mut proxy = serving.proxy("probe");
                tokio::spawn(
                    async move { proxy.call("wait", Vec::new(), Vec::new()).await.unwrap() },
                )
            })
            .collect();
        if server_type == ServerType::Thread {
            probe.wait_for_begun(3).await;
            probe.go_on.notify_waiters();
        } else {
            for begun in 1..=3 {
                probe.wait_for_begun(begun).await;
                probe.go_on.notify_waiters();
            }
        }
        for call in calls {
            assert_eq!(within(call).await.unwrap(), Value::from("waited"));
        }
        assert_eq!(probe.most_running.load(Ordering::SeqCst), at_once, "{server_type:?}");
    }
}

#[tokio::test]
async fn instances_live_as_long_as_their_mode_says() {
    let serving = Serving::start(DaemonConfig::default()).await;
    let metadata = Metadata::methods(["count"]);
    let make = || Ok(Shared(Probe::new()));
    let per_session = PerSession::new(metadata.clone(), make);
    serving.daemon.register("session", Arc::new(per_session)).unwrap();
    serving.daemon.register("percall", Arc::new(PerCall::new(metadata, make))).unwrap();
    serving.daemon.register("single", Arc::new(Shared(Probe::new()))).unwrap();
    // Counts of two calls on one proxy, then one on another.
    let cases = [("session", [1, 2, 1]), ("percall", [1, 1, 1]), ("single", [1, 2, 3])];
    for (object, expected) in cases {
        let (mut one, mut other) = (serving.proxy(object), serving.proxy(object));
        let mut counts = Vec::new();
        for proxy in [0, 0, 1] {
            let proxy = if proxy == 0 { &mut one } else { &mut other };
            counts.push(proxy.call("count", Vec::new(), Vec::new()).await.unwrap());
        }
        assert_eq!(counts, expected.map(Value::from), "{object}");
    }
}

#[tokio::test]
async fn a_oneway_call_is_carried_out_without_an_answer() {
    let (serving, probe) = with_probe(DaemonConfig::default()).await;
    let mut proxy = serving.proxy("probe");
    proxy.call_oneway("echo", Vec::new(), Vec::new()).await.unwrap();
    proxy.call_oneway("fail", Vec::new(), Vec::new()).await.unwrap();
    until(|| probe.calls.load(Ordering::SeqCst) == 2).await;
    assert_eq!(proxy.get("calls").await.unwrap(), Value::from(3));
}

#[tokio::test]
async fn a_shutdown_lets_running_calls_end_and_closes_idle_connections() {
    let (serving, probe) = with_probe(DaemonConfig::default()).await;
    let mut idle = serving.proxy("probe");
    idle.connect().await.unwrap();
    let mut busy = serving.proxy("probe");
    let call = tokio::spawn(async move { busy.call("wait", Vec::new(), Vec::new()).await });
    probe.wait_for_begun(1).await;
    serving.stop.cancel();
    assert!(idle.ping().await.is_err());
    probe.go_on.notify_waiters();
    assert_eq!(within(call).await.unwrap().unwrap(), Value::from("waited"));
    within(serving.task).await.unwrap();
    assert_eq!(probe.ended.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_call_that_does_not_end_is_left_behind_at_shutdown() {
    let config =
        DaemonConfig { shutdown_grace: Duration::from_millis(50), ..DaemonConfig::default() };
    let (serving, probe) = with_probe(config).await;
    let mut busy = serving.proxy("probe");
    let call = tokio::spawn(async move { busy.call("wait", Vec::new(), Vec::new()).await });
    probe.wait_for_begun(1).await;
    serving.stop.cancel();
    within(serving.task).await.unwrap();
    assert!(matches!(within(call).await.unwrap(), Err(Error::Lost { .. })));
    assert_eq!(probe.ended.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_call_whose_time_is_up_gives_its_connection_up() {
    let (serving, probe) = with_probe(DaemonConfig::default()).await;
    let mut proxy = serving.proxy("probe");
    proxy.connect().await.unwrap();
    proxy.set_timeout(Some(Duration::from_millis(100)));
    let late = proxy.call("wait", Vec::new(), Vec::new()).await;
    assert!(matches!(late, Err(Error::Timeout { .. })), "{late:?}");
    probe.go_on.notify_waiters();
    // The next call is on a new connection, and gets its own answer.
    let mut proxy = proxy.with_timeout(WAIT_DEADLINE);
    let echoed = proxy.call("echo", vec![5.into()], Vec::new()).await.unwrap();
    assert_eq!(echoed, Value::List(vec![5.into()]));
}

#[tokio::test]
async fn a_unix_socket_serves_and_is_removed() {
    let directory = std::env::temp_dir().join(format!("remote-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("daemon.sock");
    let listener = Listener::bind_unix(&path).unwrap();
    let daemon = Daemon::new(DaemonConfig::default());
    daemon.register("probe", Arc::new(Shared(Probe::new()))).unwrap();
    let uri = daemon.uri_for("probe", &listener).to_string();
    let stop = CancellationToken::new();
    let task = tokio::spawn(daemon.serve(listener, stop.clone()));
    let mut proxy = Proxy::new(&uri).unwrap();
    assert_eq!(proxy.call("count", Vec::new(), Vec::new()).await.unwrap(), Value::from(1));
    drop(proxy);
    stop.cancel();
    within(task).await.unwrap();
    assert!(!path.exists());
    std::fs::remove_dir_all(&directory).unwrap();
}
