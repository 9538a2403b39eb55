//! Pyro5 over tokio: daemons that serve objects, and proxies that call them.
//!
//! Connections: handshakes, the pool, sessions, the order of calls, item streams, and the client's
//! side of the same. The bytes are [`wire`]'s.
//!
//! Both sides speak to Pyro5's own: a stock `Pyro5.api.Proxy` calls what a [`Daemon`] serves, and a
//! [`Proxy`] calls what a Python daemon serves. All of it runs under tokio, whose `time` and `net`
//! drivers must be on (`#[tokio::main]` does that).
//!
//! # Serve
//!
//! A plain type whose public methods are callable, by [`macro@expose`]:
//!
//! ```
//! use remote::{Daemon, DaemonConfig, Expose, Listener, Proxy, Value};
//! use tokio_util::sync::CancellationToken;
//!
//! struct Thermometer;
//!
//! #[remote::expose]
//! impl Thermometer {
//!     pub fn celsius(&self, #[default(1)] samples: u32) -> f64 {
//!         21.5
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let daemon = Daemon::new(DaemonConfig::default());
//! daemon.register("thermometer", Thermometer.into_object())?;
//! let listener = Listener::bind_tcp("localhost", 0).await?;
//! // PYRO:thermometer@localhost:PORT, for `Pyro5.api.Proxy` as for this one.
//! let uri = daemon.uri_for("thermometer", &listener).to_string();
//! let stop = CancellationToken::new();
//! let serving = tokio::spawn(daemon.serve(listener, stop.clone()));
//!
//! let mut proxy = Proxy::new(&uri)?;
//! let samples = vec![("samples".to_owned(), Value::from(10))];
//! assert_eq!(proxy.call("celsius", vec![], samples).await?, Value::Float(21.5));
//!
//! drop(proxy);
//! stop.cancel();
//! serving.await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`PerSession`] and [`PerCall`] make instances as Pyro5's instance modes do. An object that is
//! more than a type with methods (a gateway, members that are known at run time) implements
//! [`Object`] itself.
//!
//! A daemon serves every client that reaches its address. [`Daemon::with_validator`] decides about
//! each client by what its handshake says, [`DaemonConfig::tls`] encrypts and can ask for
//! certificates, and a Unix socket ([`Listener::bind_unix`]) is for clients that the file system
//! lets at it.
//!
//! # Call
//!
//! [`Proxy::new`] takes what Pyro5's takes: a `PYRO:` address, a `PYRONAME:` or a `PYROMETA:` that
//! a nameserver knows. A proxy makes one call at a time; for calls side by side, make more proxies.
//!
//! ```no_run
//! # async fn example() -> Result<(), remote::Error> {
//! use remote::{Proxy, Serializer, Value};
//!
//! let mut laser = Proxy::new("PYRONAME:lab.laser@localhost:9090")?
//!     .with_timeout(std::time::Duration::from_secs(5))
//!     .with_serializer(Serializer::Msgpack);
//! laser.call("set_power", vec![12.5.into()], vec![("unit".into(), "mW".into())]).await?;
//! let volts = laser.get("voltage").await?.as_f64();
//! laser.set("shutter", Value::Bool(true)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Whether Python or Rust is on the other side makes no difference:
//!
//! ```
//! use std::sync::atomic::{AtomicI64, Ordering};
//!
//! use remote::{Daemon, DaemonConfig, Expose, Listener, MethodCall, Proxy, Value};
//!
//! #[derive(Default)]
//! struct Stage {
//!     position: AtomicI64,
//! }
//!
//! #[remote::expose]
//! impl Stage {
//!     pub fn move_by(&self, steps: i64) -> i64 {
//!         self.position.fetch_add(steps, Ordering::Relaxed) + steps
//!     }
//!
//!     #[oneway]
//!     pub fn stop(&self) {}
//!
//!     #[stream]
//!     pub fn scan(&self, to: i64) -> impl Iterator<Item = i64> + use<> {
//!         0..to
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let daemon = Daemon::new(DaemonConfig::default());
//! # daemon.register("stage", Stage::default().into_object())?;
//! # let listener = Listener::bind_tcp("localhost", 0).await?;
//! # let uri = daemon.uri_for("stage", &listener).to_string();
//! # tokio::spawn(daemon.serve(listener, Default::default()));
//! let mut stage = Proxy::new(&uri)?;
//!
//! // Oneway: sent, and not waited for.
//! stage.call("stop", vec![], vec![]).await?;
//!
//! // A batch: several calls in one message, carried out in order.
//! let step = |steps: i64| MethodCall {
//!     method: "move_by".into(),
//!     args: vec![steps.into()],
//!     kwargs: vec![],
//! };
//! let positions = stage.batch(vec![step(5), step(-2)]).await?;
//! assert_eq!(positions, [Ok(Value::from(5)), Ok(Value::from(3))]);
//!
//! // A stream: the items of a remote iterator or generator, fetched one by one.
//! let mut items = stage.stream("scan", vec![3.into()], vec![]).await?;
//! let mut sum = 0;
//! while let Some(item) = items.next().await? {
//!     sum += item.as_i64().unwrap_or_default();
//! }
//! assert_eq!(sum, 3);
//! # Ok(())
//! # }
//! ```
//!
//! A stream belongs to the connection that it was made on; [`StreamLimits`] says how long it lives.
//! A connection that was lost is made again by the next call. The call that it was lost in is not
//! made again unless [`Proxy::with_retries`] allows it: an instrument must not move twice.
//!
//! # Names
//!
//! [`locate_ns`] finds a nameserver on this host or by asking the network, [`NameServer::at`]
//! stands for one at a known address. This is how a daemon's object gets its name:
//!
//! ```no_run
//! # async fn example(uri: remote::Uri) -> Result<(), remote::Error> {
//! use remote::{Search, locate_ns};
//!
//! let mut nameserver = locate_ns(&Search::default()).await?;
//! nameserver.register("lab.stage", &uri, &["motion".into()]).await?;
//! assert_eq!(nameserver.lookup("lab.stage").await?, uri);
//! # Ok(())
//! # }
//! ```
//!
//! # TLS
//!
//! With the files that Pyro5's SSL settings name. A client accepts a self-signed certificate if
//! that is in its file of trusted ones. It accepts a certificate of an authority if it trusts the
//! authority and calls the server by its name.
//!
//! ```no_run
//! use remote::{CertificateFiles, ClientTls, DaemonConfig, Proxy, ServerTls};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = CertificateFiles {
//!     certificate: "server.pem".into(),
//!     key: Some("server-key.pem".into()),
//!     password: None,
//! };
//! let tls = Some(ServerTls::load(&server, None)?);
//! let config = DaemonConfig { tls, ..DaemonConfig::default() };
//!
//! let tls = ClientTls::trusting("server.pem".as_ref())?;
//! let laser = Proxy::new("PYRO:laser@lab.example.edu:9091")?.with_tls(tls);
//! # Ok(())
//! # }
//! ```
//!
//! # Errors
//!
//! An exception of the remote object is an answer like any other: [`Error::Remote`] has the class,
//! the arguments, the attributes and the remote traceback. Every other [`Error`] is about the way
//! there. On the serving side [`trait@IntoException`] names the class that an error becomes.
//!
//! ```
//! use remote::{Error, Exception, Proxy};
//!
//! async fn level(proxy: &mut Proxy) -> Result<f64, Error> {
//!     match proxy.call("level", vec![], vec![]).await {
//!         Ok(value) => Ok(value.as_f64().unwrap_or(f64::NAN)),
//!         // `raise NotReady(...)` there is no failure here.
//!         Err(Error::Remote(raised)) if raised.short_class() == "NotReady" => Ok(0.0),
//!         Err(error) => Err(error),
//!     }
//! }
//! ```
//!
//! # Serializers
//!
//! A daemon answers in the serializer of the request. A proxy uses serpent, as Pyro5 does, or what
//! [`Proxy::with_serializer`] says. All of them carry [`Value`]s; what each cannot carry, and what
//! it turns things into, is as in Python: a tuple sent in json arrives as a list, bytes sent in
//! serpent as a dict, from which [`wire::serpent::to_bytes`] makes bytes again (an argument of type
//! `Vec<u8>` takes them in either form).
//!
//! # By hand
//!
//! ```
//! use std::sync::Arc;
//! use remote::{Answer, Daemon, DaemonConfig, Exception, Metadata, Object, Operation, Request};
//! use remote::Session;
//!
//! /// Echoes whatever is called.
//! struct Echo;
//!
//! impl Object for Echo {
//!     fn metadata(&self) -> Result<Metadata, Exception> {
//!         Ok(Metadata::methods(["echo"]))
//!     }
//!     fn call(&self, _session: &Arc<Session>, request: Request) -> Answer {
//!         match request.operation {
//!             Operation::Call(call) => Answer::value(call.args),
//!             operation => Answer::exception(operation.unexposed()),
//!         }
//!     }
//! }
//!
//! Daemon::new(DaemonConfig::default()).register("echo", Arc::new(Echo))?;
//! # Ok::<(), remote::RegisterError>(())
//! ```

pub mod access;
mod addresses;
mod admission;
mod arguments;
mod batch;
mod blocking;
pub mod card;
mod client;
mod config;
mod current_call;
mod daemon;
mod error;
mod frames;
mod identity;
mod instance;
mod limited;
#[doc(hidden)]
pub mod lock;
pub mod native;
mod net;
mod object;
mod observed;
mod serialized;
mod session;
mod tls;
mod token;
mod users;
mod value_text;

pub use addresses::{host_addresses, network_stack, public_address};
pub use admission::limits::{Limit, limits};
pub use arguments::Signature;
pub use batch::{batch, batch_now, refuse_rest};
pub use blocking::run_blocking;
pub use client::Called;
pub use client::connect::{resolve, resolve_with};
pub use client::discovery::{Search, locate_ns};
pub use client::items::Items;
pub use client::leases::{LeaseConflict, LeasedName, Takeover};
pub use client::login::ClientLogin;
pub use client::nameserver::{NAMESERVER_NAME, NameServer, Registration};
pub use client::proxy::Proxy;
pub use config::{DAEMON_NAME, DaemonConfig, ServerType, StreamLimits};
pub use current_call::{CallAction, CallKind, WorkerWait};
pub use daemon::access_gate::{
    AccessEvent, AccessGate, AccessLog, RefusedClient, RefusedClientLog,
};
pub use daemon::call::own_call::{OwnCall, OwnCaller};
pub use daemon::call_log::{
    AuditLog, AuditReason, CallException, CallLog, CallLogMode, CallRecord,
};
pub use daemon::call_rules::CallRules;
pub use daemon::calls::{CallStatus, WaitsFor};
pub use daemon::connections::ConnectionsStatus;
pub use daemon::locks::LockBreaker;
#[doc(hidden)]
pub use daemon::log_limiter::LogLimiter;
pub use daemon::registry::{CallCounter, CallCounts};
pub use daemon::validator::{Handshake, Welcome};
pub use daemon::{Daemon, RegisterError};
pub use error::{ConnectError, Error};
pub use identity::{Identity, IdentitySource, client_at, client_name};
pub use instance::{PerCall, PerSession};
pub use limited::with_facts;
pub use lock::{
    Break, KeptLock, LockEvent, LockLog, LockOwner, LockParty, LockRecord, LockSettings, LockState,
    LockStatus, LockWaiter,
};
pub use native::{
    Caller, Expose, Exposed, FromValue, IntoException, IntoResult, IntoValue, Mismatch, expose,
};
pub use net::{BindError, Listener};
pub use object::{
    Answer, AnswerMemory, Blob, BoxFuture, CallResult, Context, HealthCheck, ItemStream,
    LockOrigin, Metadata, MethodCall, Object, Operation, Reply, ReplyBody, Request, RequestMemory,
    SafeState, SafeStateReached, StartCheck,
};
pub use observed::{Observation, ResultObserver, observed};
pub use serialized::Serialized;
pub use session::{OwnCallReason, Peer, Session};
pub use tls::{
    AcceptedClients, CertificateFacts, CertificateFiles, ClientCertificate, ClientTls, ServerTls,
    TlsError, certificate_der, certificate_key, read_certificate, read_signing_request, speaks_tls,
};
pub use token::TokenHash;
pub use users::{Credential, ELSEWHERE, UserDirectory, Verdict};
/// Bytes and values; what is used most of it is re-exported here.
pub use wire;
pub use wire::Limits;
pub use wire::exception::Exception;
pub use wire::message::Annotations;
pub use wire::serializer::Serializer;
pub use wire::uri::{Location, Uri};
pub use wire::value::{Array, Dict, Value};

/// The examples in the README are run, too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
