//! Shared by the tests: a daemon that serves in the background, and waiting that has an end.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use remote::{
    Answer, Daemon, DaemonConfig, Error, Exception, Listener, Location, Metadata, Object,
    Operation, Proxy, Request, Serializer, Session, Uri, Value,
};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use wire::message::{Flags, FrameWriter, MessageType};
use wire::value::Dict;

/// A wait of more than this has gone wrong.
pub(crate) const WAIT_DEADLINE: Duration = Duration::from_secs(120);

/// A daemon that serves on localhost until this is dropped.
pub(crate) struct Serving {
    pub daemon: Daemon,
    pub location: Location,
    pub stop: CancellationToken,
    pub task: JoinHandle<()>,
    _end: DropGuard,
}

impl Serving {
    pub(crate) async fn start(config: DaemonConfig) -> Self {
        Self::of(Daemon::new(config)).await
    }

    pub(crate) async fn of(daemon: Daemon) -> Self {
        let listener = Listener::bind_tcp("localhost", 0).await.unwrap();
        let location = listener.location().clone();
        let stop = CancellationToken::new();
        let task = tokio::spawn(daemon.clone().serve(listener, stop.clone()));
        Serving { daemon, location, _end: stop.clone().drop_guard(), stop, task }
    }

    /// One with an [`Echo`] of the id `echo`.
    pub(crate) async fn echo(config: DaemonConfig) -> Self {
        let serving = Self::start(config).await;
        serving.daemon.register("echo", Arc::new(Echo)).unwrap();
        serving
    }

    pub(crate) fn proxy(&self, object: &str) -> Proxy {
        Proxy::from(self.uri(object)).with_timeout(WAIT_DEADLINE)
    }

    pub(crate) fn uri(&self, object: &str) -> Uri {
        Uri::Pyro { object: object.into(), location: self.location.clone() }
    }

    pub(crate) fn socket(&self) -> TcpStream {
        let Location::Tcp { host, port } = &self.location else { panic!("TCP only") };
        let socket = TcpStream::connect((host.as_str(), *port)).unwrap();
        socket.set_read_timeout(Some(WAIT_DEADLINE)).unwrap();
        socket
    }

    /// Everything that comes back from a peer that sends `bytes`.
    pub(crate) async fn answer_to(&self, bytes: Vec<u8>) -> Vec<u8> {
        let mut socket = self.socket();
        let talk = tokio::task::spawn_blocking(move || {
            let mut answer = Vec::new();
            // A reset is as good an end as an orderly one.
            let _ = socket.write_all(&bytes);
            let _ = socket.read_to_end(&mut answer);
            answer
        });
        within(talk).await.unwrap()
    }

    /// Stops serving, and waits for the end of it.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        within(self.task).await.unwrap();
    }
}

/// Answers a call of `echo` with its arguments.
pub(crate) struct Echo;

impl Object for Echo {
    fn metadata(&self) -> Result<Metadata, Exception> {
        Ok(Metadata::methods(["echo"]))
    }

    fn call(&self, _session: &Arc<Session>, request: Request) -> Answer {
        match request.operation {
            Operation::Call(call) => Answer::value(call.args),
            operation => Answer::exception(operation.unexposed()),
        }
    }
}

pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(WAIT_DEADLINE, work).await.expect("it takes too long")
}

pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    within(async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// A port, TCP and UDP, that is free and stays so: it is below those that systems give to who asks
/// for any.
pub(crate) fn lasting_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() % 1000).unwrap() * 10;
    loop {
        let port = 20_000 + (own + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        let address = ("0.0.0.0", port);
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return port;
        }
    }
}

/// Whether an attempt succeeds: a daemon's times pass too early where the machine stands still, and
/// the next attempt has another daemon.
pub(crate) async fn once_of_ten(attempt: impl AsyncFn() -> bool) -> bool {
    for _ in 0..10 {
        if attempt().await {
            return true;
        }
    }
    false
}

/// A call without arguments that must succeed.
pub(crate) async fn ask(proxy: &mut Proxy, method: &str) -> Value {
    proxy.call(method, Vec::new(), Vec::new()).await.unwrap()
}

/// The exception that a call must have raised, as Python prints it.
pub(crate) fn raised(result: Result<Value, Error>) -> String {
    match result {
        Err(Error::Remote(exception)) => exception.to_string(),
        other => panic!("no exception but {other:?}"),
    }
}

/// A message with an annotation.
pub(crate) fn frame(
    kind: MessageType,
    serializer: Serializer,
    payload: &[u8],
    compress: bool,
) -> Vec<u8> {
    let mut out = Vec::new();
    let annotations = vec![(*b"ABCD", b"along".to_vec())];
    let mut frame = FrameWriter::begin(&mut out, kind, serializer.id(), 1, &annotations).unwrap();
    frame.payload().extend_from_slice(payload);
    frame.finish(Flags::default(), None, compress, usize::MAX).unwrap();
    out
}

/// The handshake of a client that wants `echo`.
pub(crate) fn hello(serializer: Serializer) -> Vec<u8> {
    let mut hello = Dict::new();
    hello.insert("handshake", "hello");
    hello.insert("object", "echo");
    let mut payload = Vec::new();
    serializer.encode(&Value::Dict(hello), &mut payload).unwrap();
    frame(MessageType::Connect, serializer, &payload, false)
}
