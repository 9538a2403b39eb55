//! Workers with real interpreters: what a client of the daemon would see.
//!
//! Drivers are in `python/tests/drivers`. The interpreters are found in the environment variable
//! `FERROLAB_TEST_PYTHON` (one that has Pyro5, PyroLab and numpy; those tests are left out without it)
//! and, for drivers that need nothing, as `python3`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use remote::{
    Answer, Context, Dict, Exception, Metadata, MethodCall, Object, Operation, Peer, Reply,
    ReplyBody, Request, Serializer, Session, Value,
};
use supervisor::Spawner;
use wire::exception::unwrap_from_batch;
use wire::message::Flags;

use super::registry::Registry;
use super::service::ServiceStatus;
use super::set::WorkerSet;
use super::spec::{Expose, InstanceMode, PythonEnv, ServiceSpec, WorkerSpec};

const SOON: Duration = Duration::from_secs(20);

/// Objects that drivers register.
#[derive(Default)]
struct Objects(Mutex<HashMap<String, Arc<dyn Object>>>);

impl Registry for Objects {
    fn location(&self) -> (String, Option<String>) {
        ("localhost:4321".to_owned(), None)
    }
    fn register(&self, id: &str, object: Arc<dyn Object>) -> Result<(), String> {
        match self.0.lock().unwrap().insert(id.to_owned(), object) {
            None => Ok(()),
            Some(_) => Err(format!("'{id}' is taken")),
        }
    }
    fn unregister(&self, id: &str) {
        self.0.lock().unwrap().remove(id);
    }
}

/// A daemon's side of workers.
struct Bench {
    workers: WorkerSet,
    objects: HashMap<String, Arc<dyn Object>>,
    registered: Arc<Objects>,
}

impl Bench {
    async fn start(specs: Vec<WorkerSpec>) -> Bench {
        let bench = Bench::begin(specs);
        tokio::time::timeout(SOON, bench.workers.loaded()).await.expect("loaded");
        bench
    }

    fn begin(specs: Vec<WorkerSpec>) -> Bench {
        let registered = Arc::new(Objects::default());
        let registry: Arc<dyn Registry> = registered.clone();
        let workers = WorkerSet::start(&Spawner::permanent().unwrap(), specs, &registry);
        let objects = workers.objects().into_iter().collect();
        Bench { workers, objects, registered }
    }

    fn client(&self) -> Client<'_> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let session = Session {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            peer: Peer::Tcp("127.0.0.1:5555".parse().unwrap()),
            object: "lab.probe".to_owned(),
            handshake: Value::None,
        };
        Client { bench: self, session: Arc::new(session) }
    }

    fn object(&self, name: &str) -> Arc<dyn Object> {
        let registered = || self.registered.0.lock().unwrap().get(name).cloned();
        self.objects.get(name).cloned().or_else(registered).expect(name)
    }

    async fn until(&self, what: impl Fn() -> bool) {
        let mut changes = self.workers.changes();
        let done = async {
            while !what() {
                tokio::select! {
                    _ = changes.changed() => {}
                    () = tokio::time::sleep(Duration::from_millis(10)) => {}
                }
            }
        };
        tokio::time::timeout(SOON, done).await.expect("in vain");
    }
}

/// A connection; it ends when it is dropped.
struct Client<'a> {
    bench: &'a Bench,
    session: Arc<Session>,
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        for object in self.bench.objects.values() {
            object.session_ended(&self.session);
        }
    }
}

impl Client<'_> {
    fn begin(&self, service: &str, operation: Operation, flags: Flags) -> Answer {
        let context = Context {
            serializer: Serializer::Serpent,
            flags,
            seq: 1,
            correlation_id: [1; 16],
            annotations: vec![(*b"ABCD", b"there".to_vec())],
        };
        self.bench.object(service).call(&self.session, Request { operation, context })
    }

    async fn operate(&self, service: &str, operation: Operation) -> Result<Reply, Exception> {
        let answer = self.begin(service, operation, Flags::default());
        tokio::time::timeout(SOON, answer.wait()).await.expect("an answer")
    }

    async fn call(
        &self,
        service: &str,
        method: &str,
        args: Vec<Value>,
    ) -> Result<Value, Exception> {
        value(self.operate(service, Operation::Call(call(method, args))).await?)
    }

    async fn error(&self, service: &str, method: &str, args: Vec<Value>) -> String {
        self.call(service, method, args).await.expect_err("an exception").to_string()
    }
}

fn call(method: &str, args: Vec<Value>) -> MethodCall {
    MethodCall { method: method.to_owned(), args, kwargs: Vec::new() }
}

fn value(reply: Reply) -> Result<Value, Exception> {
    match reply.body {
        ReplyBody::Value(value) => Ok(value),
        ReplyBody::Stream(_) => Err(Exception::type_error("a stream")),
    }
}

fn drivers() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../python/tests/drivers"))
}

fn worker_with(python: &str, services: Vec<ServiceSpec>) -> WorkerSpec {
    let mut python = PythonEnv::new(python);
    python.path = vec![drivers()];
    WorkerSpec { name: "bench".to_owned(), python, services, multiplex: false, watchdog: None }
}

fn worker(services: Vec<ServiceSpec>) -> WorkerSpec {
    worker_with("python3", services)
}

fn probe(name: &str) -> ServiceSpec {
    ServiceSpec::new(name, "standard", "Probe")
}

/// An interpreter with Pyro5 and PyroLab.
fn lab_python() -> Option<String> {
    std::env::var("FERROLAB_TEST_PYTHON").ok()
}

fn is_alive(pid: i64) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn calls_properties_exceptions_and_batches() {
    let bench = Bench::start(vec![worker(vec![probe("lab.probe")])]).await;
    let members = bench.object("lab.probe").metadata().unwrap();
    assert_eq!(members.attrs, ["fixed", "readings", "value"]);
    assert_eq!(members.oneway, ["later"]);

    let client = bench.client();
    let echoed = client.call("lab.probe", "echo", vec![1.into(), "a".into()]).await.unwrap();
    assert_eq!(echoed.to_string(), "((1, 'a'), {})");
    let set = Operation::SetAttr("value".into(), vec![Value::from(2)].into());
    assert_eq!(value(client.operate("lab.probe", set).await.unwrap()), Ok(Value::None));
    let got = client.operate("lab.probe", Operation::GetAttr("value".into())).await.unwrap();
    assert_eq!(value(got).unwrap().to_string(), "[2]");

    let raised = client.call("lab.probe", "fail", vec!["broken".into(), 9.into()]).await;
    let raised = raised.unwrap_err();
    assert_eq!((raised.class.as_str(), raised.args.len()), ("standard.ProbeError", 2));
    assert_eq!(raised.attributes.get("code"), Some(&Value::Int(9)));
    assert!(raised.traceback().unwrap().concat().contains("standard.py"));
    let text = client.error("lab.probe", "_private", vec![]).await;
    assert_eq!(text, "AttributeError: attempt to access private attribute '_private'");
    let text = client.error("lab.probe", "surrogate", vec![]).await;
    assert!(
        text.contains("the result of 'surrogate' of service 'lab.probe' cannot be sent"),
        "{text}"
    );

    let batch = vec![call("bump", vec![]), call("fail", vec![]), call("bump", vec![])];
    let Value::List(results) =
        value(client.operate("lab.probe", Operation::Batch(batch)).await.unwrap()).unwrap()
    else {
        panic!("no list")
    };
    assert_eq!(results[0], Value::Int(1));
    assert_eq!(unwrap_from_batch(&results[1]).unwrap().class, "standard.ProbeError");
    assert_eq!(results.len(), 2);

    for size in [10, 16_000, 70_000, 3_000_000] {
        let data = Value::bytes(vec![7; size]);
        let echoed = client.call("lab.probe", "echo", vec![data.clone()]).await.unwrap();
        assert_eq!(echoed.as_list().unwrap()[0].as_list().unwrap()[0], data);
    }
    bench.workers.stop().await;
}

#[tokio::test]
async fn instances_follow_sessions() {
    let of = |name: &str, mode| ServiceSpec { instance_mode: Some(mode), ..probe(name) };
    let modes = [
        ("session", InstanceMode::Session, [1, 1, 2]),
        ("single", InstanceMode::Single, [1, 2, 3]),
        ("percall", InstanceMode::PerCall, [1, 1, 1]),
    ];
    let services = modes.iter().map(|(name, mode, _)| of(name, *mode)).collect();
    let bench = Bench::start(vec![worker(services)]).await;
    let (one, two) = (bench.client(), bench.client());
    for (name, _, counts) in modes {
        for (client, count) in [&one, &two, &one].into_iter().zip(counts) {
            assert_eq!(client.call(name, "bump", vec![]).await, Ok(Value::Int(count)), "{name}");
        }
    }
    // a oneway call is one of the session's, be it the first, and runs beside the others
    let three = bench.client();
    let later = Operation::Call(call("later", vec![0.3.into()]));
    let oneway = tokio::spawn({
        let answer = three.begin("session", later, Flags::ONEWAY);
        answer.wait()
    });
    tokio::task::yield_now().await;
    assert_eq!(three.call("session", "bump", vec![]).await, Ok(Value::Int(1)));
    assert!(!oneway.is_finished());
    oneway.await.unwrap().unwrap();
    assert_eq!(three.call("session", "bump", vec![]).await, Ok(Value::Int(102)));
    bench.workers.stop().await;
}

#[tokio::test]
async fn streams_belong_to_their_session() {
    let bench = Bench::start(vec![worker(vec![probe("lab.probe")])]).await;
    let client = bench.client();
    let open = async |n: i64| {
        let stream = Operation::Call(call("stream", vec![n.into()]));
        match client.operate("lab.probe", stream).await.unwrap().body {
            ReplyBody::Stream(stream) => stream,
            ReplyBody::Value(value) => panic!("{value}"),
        }
    };
    let mut stream = open(2).await;
    for n in 0..2 {
        let item = stream.next().await.unwrap().unwrap();
        assert_eq!(item.as_dict().unwrap().get("n"), Some(&Value::Int(n)));
    }
    assert_eq!(stream.next().await, Ok(None));
    drop(stream);
    let ended = async || client.call("lab.probe", "events", vec![]).await.unwrap().to_string();
    assert_eq!(ended().await, "['stream ended']");
    let mut stream = open(5).await;
    stream.next().await.unwrap();
    drop(stream);
    assert_eq!(ended().await, "['stream ended', 'stream ended']");
    bench.workers.stop().await;
}

#[tokio::test]
async fn a_caller_that_leaves_does_not_upset_its_session() {
    let bench = Bench::start(vec![worker(vec![probe("lab.probe")])]).await;
    let client = bench.client();
    assert_eq!(client.call("lab.probe", "bump", vec![]).await, Ok(Value::Int(1)));
    let sleep = Operation::Call(call("sleep", vec![0.2.into()]));
    let answer = client.begin("lab.probe", sleep, Flags::default());
    assert!(tokio::time::timeout(Duration::from_millis(50), answer.wait()).await.is_err());
    assert_eq!(client.call("lab.probe", "bump", vec![]).await, Ok(Value::Int(2)));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(client.call("lab.probe", "bump", vec![]).await, Ok(Value::Int(3)));
    bench.workers.stop().await;
}

#[tokio::test]
async fn deaths_are_told_and_mended() {
    let bench = Bench::start(vec![
        worker(vec![probe("lab.probe"), probe("lab.other")]),
        WorkerSpec { name: "apart".into(), ..worker(vec![probe("lab.apart")]) },
    ])
    .await;
    let neighbour = bench.client();
    assert_eq!(neighbour.call("lab.apart", "bump", vec![]).await, Ok(Value::Int(1)));
    let client = bench.client();
    let cases: [(&str, Vec<Value>, &str); 3] = [
        ("kill_me", vec![9.into()], "was killed by SIGKILL during 'kill_me'"),
        ("kill_me", vec![11.into()], "was killed by SIGSEGV during 'kill_me'"),
        ("die", vec![7.into()], "exited with code 7 during 'die'"),
    ];
    for (method, args, fate) in cases {
        let child = client.call("lab.probe", "spawn", vec![]).await.unwrap().as_i64().unwrap();
        let sleeping = Operation::Call(call("sleep", vec![60.into()]));
        let other = bench.client();
        let other = other.begin("lab.other", sleeping, Flags::default());
        let (died, other) = tokio::join!(client.call("lab.probe", method, args), other.wait());
        let died = died.unwrap_err();
        assert_eq!(died.class, "Pyro5.errors.DaemonError");
        assert_eq!(
            died.message(),
            format!("service 'lab.probe': its Python worker {fate}; it is being restarted")
        );
        let other = other.err().unwrap().message();
        assert!(other.starts_with("service 'lab.other': its Python worker "), "{other}");
        assert!(other.contains("during 'sleep'"), "{other}");
        let began = Instant::now();
        let answered = loop {
            // the second death in a row costs a moment
            match client.call("lab.probe", "bump", vec![]).await {
                Ok(count) => break count,
                Err(error) => assert!(began.elapsed() < SOON, "{error}"),
            }
        };
        assert_eq!(answered, Value::Int(1), "a new instance");
        assert!(!is_alive(child), "its children are gone");
    }
    assert_eq!(neighbour.call("lab.apart", "bump", vec![]).await, Ok(Value::Int(2)));
    bench.workers.stop().await;
}

#[tokio::test]
async fn failures_are_told_and_retried() {
    let directory = std::env::temp_dir().join(format!("ferrolab-worker-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let mut spec = worker(vec![
        ServiceSpec::new("a.missing", "nosuch_module", "X"),
        ServiceSpec::new("b.later", "written_later", "X"),
        ServiceSpec::new("c.picky", "standard", "Picky"),
        probe("d.fine"),
    ]);
    spec.python.path.push(directory.clone());
    let bench = Bench::start(vec![spec]).await;
    let client = bench.client();
    let refused = bench.object("a.missing").metadata().unwrap_err();
    assert_eq!(
        refused.message(),
        "service 'a.missing' is not available: ModuleNotFoundError: No module named \
         'nosuch_module' (python python3); see `ferrolab status`"
    );
    assert!(client.error("a.missing", "x", vec![]).await.contains("ModuleNotFoundError"));
    assert!(matches!(bench.workers.status("a.missing"), ServiceStatus::Failed { error }
        if error == "ModuleNotFoundError: No module named 'nosuch_module' (python python3)"));
    assert_eq!(client.call("d.fine", "bump", vec![]).await, Ok(Value::Int(1)));

    let text = "import ferrolab\n@ferrolab.expose\nclass X:\n def x(self): return 'there'\n";
    std::fs::write(directory.join("written_later.py"), text).unwrap();
    bench.until(|| bench.workers.status("b.later") == ServiceStatus::Ready).await;
    assert_eq!(client.call("b.later", "x", vec![]).await, Ok("there".into()));

    for _ in 0..2 {
        let text = client.error("c.picky", "ok", vec![]).await;
        assert_eq!(text, "OSError: [Errno 5] no device");
        bench.until(|| bench.workers.status("c.picky") != ServiceStatus::Ready).await;
        assert!(matches!(bench.workers.status("c.picky"), ServiceStatus::Failed { error }
            if error == "its constructor raised OSError: [Errno 5] no device"));
    }
    assert_eq!(client.call("c.picky", "ok", vec![]).await, Ok(Value::Int(3)));
    bench.until(|| bench.workers.status("c.picky") == ServiceStatus::Ready).await;
    bench.workers.stop().await;
    std::fs::remove_dir_all(directory).unwrap();
}

#[tokio::test]
async fn interpreters_that_do_not_work_are_named() {
    let bench = Bench::start(vec![
        worker_with("/nonexistent/python", vec![probe("none")]),
        worker_with("/bin/false", vec![probe("false")]),
    ])
    .await;
    for (name, text) in [
        ("none", "cannot start /nonexistent/python: no such file"),
        ("false", "/bin/false exited with code 1 before its worker was up; Python 3.8 or later"),
    ] {
        bench.until(|| matches!(bench.workers.status(name), ServiceStatus::Failed { .. })).await;
        let ServiceStatus::Failed { error } = bench.workers.status(name) else { panic!() };
        assert!(error.contains(text), "{error}");
    }
    bench.workers.stop().await;
}

#[tokio::test]
async fn printing_and_closing_reach_no_channel() {
    let bench = Bench::start(vec![worker(vec![probe("lab.probe")])]).await;
    let client = bench.client();
    for method in ["write_binary", "flood", "close_low", "bump"] {
        client.call("lab.probe", method, vec![]).await.unwrap();
    }
    assert_eq!(bench.client().call("lab.probe", "bump", vec![]).await, Ok(Value::Int(1)));
    bench.workers.stop().await;
}

#[tokio::test]
async fn a_stop_releases_and_leaves_nothing() {
    let resting = ServiceSpec {
        instance_mode: Some(InstanceMode::Session),
        on_disconnect: vec!["rest".into()],
        ..ServiceSpec::new("rest", "standard", "Resting")
    };
    let spec = worker(vec![resting, probe("lab.probe")]);
    let bench = Bench::start(vec![spec.clone(), WorkerSpec { multiplex: true, ..spec }]).await;
    let client = bench.client();
    {
        let other = bench.client();
        other.call("rest", "events", vec![]).await.unwrap();
    }
    let rested = async || client.call("rest", "events", vec![]).await.unwrap().to_string();
    let began = Instant::now();
    while rested().await != "['rest']" {
        assert!(began.elapsed() < SOON);
    }
    let pid = client.call("lab.probe", "pid", vec![]).await.unwrap().as_i64().unwrap();
    drop(client);
    let began = Instant::now();
    bench.workers.stop().await;
    assert!(!is_alive(pid));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_watchdog_kills_what_is_stuck() {
    let spec =
        WorkerSpec { watchdog: Some(Duration::from_secs(1)), ..worker(vec![probe("lab.probe")]) };
    let bench = Bench::start(vec![spec]).await;
    let client = bench.client();
    let slept = client.call("lab.probe", "sleep", vec![1.5.into()]).await;
    assert_eq!(slept, Ok("slept".into()), "merely busy");
    let text = client.error("lab.probe", "hold_the_lock", vec![30.into()]).await;
    assert!(text.contains("gave no sign of life for 1s and was killed by its watchdog"), "{text}");
    assert_eq!(client.call("lab.probe", "bump", vec![]).await, Ok(Value::Int(1)));
    bench.workers.stop().await;
}

#[tokio::test]
async fn plain_classes_and_multiplex() {
    let plain = ServiceSpec {
        expose: Expose::All,
        arguments: Value::Dict([("channel", Value::from(2))].into_iter().collect::<Dict>()),
        ..ServiceSpec::new("plain", "standard", "Plain")
    };
    let spec = WorkerSpec { multiplex: true, ..worker(vec![plain, probe("lab.probe")]) };
    let bench = Bench::start(vec![spec]).await;
    assert_eq!(
        bench.object("plain").metadata().unwrap(),
        Metadata {
            methods: ["__len__", "measure", "reset"].map(str::to_owned).to_vec(),
            oneway: vec![],
            attrs: vec!["voltage".to_owned()],
        }
    );
    let (one, two) = (bench.client(), bench.client());
    assert_eq!(one.call("plain", "measure", vec![]).await.unwrap().to_string(), "('plain', 2)");
    let thread = one.call("lab.probe", "thread", vec![]).await.unwrap();
    assert_eq!(two.call("lab.probe", "thread", vec![]).await.unwrap(), thread);
    bench.workers.stop().await;
}

#[tokio::test]
async fn objects_registered_by_drivers() {
    let registering = ServiceSpec {
        instance_mode: Some(InstanceMode::Single),
        ..ServiceSpec::new("reg", "standard", "Registering")
    };
    let bench = Bench::start(vec![worker(vec![registering])]).await;
    let client = bench.client();
    let uri = client.call("reg", "make", vec![]).await.unwrap();
    assert_eq!(uri, Value::from("PYRO:thing@localhost:4321"));
    let got = client.call("thing", "measure", vec![]).await.unwrap();
    assert_eq!(got.to_string(), "('plain', 1)");
    let proxy = client.call("reg", "give", vec![]).await.unwrap();
    assert_eq!(proxy.as_dict().unwrap().class(), Some("Pyro5.client.Proxy"));
    client.call("reg", "drop", vec![]).await.unwrap();
    assert!(bench.registered.0.lock().unwrap().is_empty());
    bench.workers.stop().await;
}

#[tokio::test]
async fn pyrolabs_sample_service() {
    let Some(python) = lab_python() else { return };
    let sample = |name: &str, mode| ServiceSpec {
        instance_mode: Some(mode),
        ..ServiceSpec::new(name, "pyrolab.drivers.sample", "SampleService")
    };
    let bench = Bench::start(vec![worker_with(
        &python,
        vec![
            sample("lab.sample", InstanceMode::Session),
            sample("lab.shared", InstanceMode::Single),
            ServiceSpec::new("lab.pyro", "pyro", "Service"),
        ],
    )])
    .await;
    let (one, two) = (bench.client(), bench.client());
    let echoed = one.call("lab.sample", "echo", vec!["hi".into()]).await;
    assert_eq!(echoed, Ok("SERVER RECEIVED: hi".into()));
    let sum = one.call("lab.sample", "add", vec![1.into(), 2.into(), 3.into()]).await;
    assert_eq!(sum, Ok(Value::Int(6)));
    let raised = one.call("lab.sample", "add", vec!["x".into(), 1.into()]).await.unwrap_err();
    assert_eq!(raised.class, "builtins.TypeError");
    assert!(raised.traceback().unwrap().concat().contains("sample.py"));
    let whoami =
        async |client: &Client<'_>, name| client.call(name, "whoami", vec![]).await.unwrap();
    assert_ne!(whoami(&one, "lab.sample").await, whoami(&two, "lab.sample").await);
    assert_eq!(whoami(&one, "lab.shared").await, whoami(&two, "lab.shared").await);

    let context = Operation::Call(call("context", vec![]));
    let reply = one.operate("lab.pyro", context).await.unwrap();
    assert_eq!(reply.annotations, [(*b"XYZ1", b"back".to_vec())]);
    let text = value(reply).unwrap().to_string();
    assert!(text.starts_with("(('127.0.0.1', 5555), 1, 0, 1, '01010101-"), "{text}");
    let thing: Dict =
        [("__class__", Value::from("test.Thing")), ("n", 4.into())].into_iter().collect();
    let doubled = one.call("lab.pyro", "double", vec![thing.into()]).await.unwrap();
    assert_eq!(doubled.as_dict().unwrap().get("n"), Some(&Value::Int(8)));
    bench.workers.stop().await;
}

/// Prints what a call costs. Run with `--release -- --ignored --nocapture cost`.
#[tokio::test]
#[ignore = "a measurement"]
async fn the_cost_of_a_call() {
    let bench = Bench::start(vec![worker(vec![probe("lab.probe")])]).await;
    let client = bench.client();
    for (what, args) in [
        ("nothing", vec![]),
        (
            "10000 floats",
            vec![Value::List((0..10_000).map(|n| Value::Float(f64::from(n))).collect())],
        ),
        ("1 MB of bytes", vec![Value::bytes(vec![1; 1 << 20])]),
    ] {
        let rounds: u32 = if args.is_empty() { 20_000 } else { 500 };
        let mut best = Duration::MAX;
        for _ in 0..5 {
            let began = Instant::now();
            for _ in 0..rounds {
                client.call("lab.probe", "echo", args.clone()).await.unwrap();
            }
            best = best.min(began.elapsed() / rounds);
        }
        println!("{what}: {best:?} per call");
    }
    bench.workers.stop().await;
}
