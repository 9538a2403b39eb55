//! Workers with real interpreters: what a client of the daemon would see.
//!
//! Drivers are in `python/tests/drivers`. The interpreters are found in the environment variable
//! `FERROLAB_TEST_PYTHON` (with Pyro5, PyroLab and numpy; without it those tests are skipped)
//! and, for drivers that need nothing, as `python3`.

mod calls;
mod failures;
mod restarts;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use remote::{
    Answer, Context, Dict, Exception, Metadata, MethodCall, Object, Operation, Peer, Reply,
    ReplyBody, Request, Session, Value,
};
use supervisor::Spawner;
use wire::exception::unwrap_from_batch;
use wire::message::Flags;

use super::pool::WorkerSet;
use super::registry::{DaemonLocation, Registry};
use super::service::ServiceStatus;
use super::spec::{Expose, InstanceMode, PythonEnv, STANDBY, ServiceSpec, WorkerSpec};

const SOON: Duration = Duration::from_secs(120);

/// Objects that drivers register.
#[derive(Default)]
struct Objects(Mutex<HashMap<String, Arc<dyn Object>>>);

impl Registry for Objects {
    fn set_parts(&self, _service: &str, _ids: Vec<String>) {}

    fn location(&self) -> DaemonLocation {
        let location = "localhost:4321".to_owned();
        DaemonLocation { location, nat_location: None, port_everywhere: None }
    }
    fn register(
        &self,
        id: &str,
        object: Arc<dyn Object>,
        _with: Option<&str>,
    ) -> Result<(), String> {
        match self.0.lock().unwrap().insert(id.to_owned(), object) {
            None => Ok(()),
            Some(_) => Err(format!("'{id}' is taken")),
        }
    }
    fn added(&self, _id: &str) -> Vec<String> {
        Vec::new()
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
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let peer = Peer::Tcp("127.0.0.1:5555".parse().unwrap());
        let session = Session::new(id, peer, "lab.probe".to_owned(), Value::None);
        Client { bench: self, session: Arc::new(session) }
    }

    fn object(&self, name: &str) -> Arc<dyn Object> {
        let registered = || self.registered.0.lock().unwrap().get(name).cloned();
        self.objects.get(name).cloned().or_else(registered).expect(name)
    }

    async fn wait_until(&self, what: impl Fn() -> bool) {
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
        self.session.set_ended();
        for object in self.bench.objects.values() {
            object.session_ended(&self.session);
        }
    }
}

impl Client<'_> {
    fn begin(&self, service: &str, operation: Operation, flags: Flags) -> Answer {
        let mut context = Context::internal();
        context.flags = flags;
        context.seq = 1;
        context.correlation_id = [1; 16];
        context.annotations = vec![(*b"ABCD", b"there".to_vec())];
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

    /// The same, of a worker that may still be starting again.
    async fn call_when_up(&self, service: &str, method: &str) -> Value {
        let answered = async {
            loop {
                if let Ok(value) = self.call(service, method, Vec::new()).await {
                    return value;
                }
            }
        };
        tokio::time::timeout(SOON, answered).await.expect("it is up again")
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
        ReplyBody::Serialized(value) => Ok(value.read().expect("a value")),
        ReplyBody::Stream(_) => Err(Exception::type_error("a stream")),
    }
}

fn drivers() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../python/tests/drivers"))
}

fn worker_with(python: &str, services: Vec<ServiceSpec>) -> WorkerSpec {
    let mut python = PythonEnv::new(python);
    python.path = vec![drivers()];
    WorkerSpec {
        name: "bench".to_owned(),
        python,
        services,
        multiplex: false,
        imports_only: false,
        max_answer_bytes: 64 << 20,
        watchdog: None,
        standby: STANDBY,
    }
}

fn worker(services: Vec<ServiceSpec>) -> WorkerSpec {
    worker_with("python3", services)
}

fn probe(name: &str) -> ServiceSpec {
    ServiceSpec::new(name, "standard", "Probe")
}

/// Waits until a call of `sleep` has begun in the worker of `lab.probe`.
async fn until_it_sleeps(client: &Client<'_>) {
    let sleeps = async {
        let events = async || client.call("lab.probe", "events", vec![]).await.unwrap().to_string();
        while events().await != "['sleeping']" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, sleeps).await.expect("it sleeps");
}

/// An interpreter with Pyro5 and PyroLab.
fn lab_python() -> Option<String> {
    std::env::var("FERROLAB_TEST_PYTHON").ok()
}

fn is_alive(pid: i64) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}
