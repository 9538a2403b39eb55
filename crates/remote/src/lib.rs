//! Pyro5 over tokio: daemons that serve objects, and proxies that call them.
//!
//! Owns connections: handshakes, places, sessions, the order of calls, streams of items, and the
//! client's side of the same. The bytes are [`wire`]'s; what an object does is its own business.
//!
//! Both sides speak to Pyro5's own: a stock `Pyro5.api.Proxy` calls what a [`Daemon`] serves, and
//! a [`Proxy`] calls what a Python daemon serves.
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
//! [`PerSession`] and [`PerCall`] make instances as Pyro5's instance modes do. What is more than a
//! type with methods (a gateway, an object whose members are known at run time) implements
//! [`Object`] itself.
//!
//! # Call a Python daemon
//!
//! [`Proxy::new`] takes what Pyro5's takes: a `PYRO:` address, a `PYRONAME:` or a `PYROMETA:` that
//! a nameserver knows.
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
//! # Errors
//!
//! What the remote object raised is an answer like any other: [`Error::Remote`] has the class, the
//! arguments, the attributes and the remote traceback. Every other [`Error`] is about the way there.
//! On the serving side [`trait@IntoException`] names the class that an error becomes.
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
//! # Streams
//!
//! A method marked `#[stream]` returns an iterator, and its client reads it in a `for` loop, item
//! by item. A stream belongs to its connection; [`StreamLimits`] says how long it lives.
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
//! use remote::{Answer, Daemon, DaemonConfig, Exception, Metadata, Object, Operation, Request, Session};
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

mod arguments;
mod client;
mod daemon;
mod error;
mod frames;
mod instance;
#[doc(hidden)]
pub mod lock;
pub mod native;
mod net;
mod object;
mod session;
mod tls;

pub use arguments::Signature;
pub use client::discovery::{Search, locate_ns};
pub use client::items::Items;
pub use client::nameserver::{NAMESERVER_NAME, NameServer, Registration, resolve};
pub use client::proxy::Proxy;
pub use daemon::config::{DaemonConfig, ServerType};
pub use daemon::handshake::{Handshake, Welcome};
pub use daemon::streams::StreamLimits;
pub use daemon::{DAEMON_NAME, Daemon, RegisterError};
pub use error::{ConnectError, Error};
pub use instance::{PerCall, PerSession};
pub use lock::{
    Break, LockBreaker, LockEvent, LockLog, LockOwner, LockParty, LockRecord, LockSettings,
    LockStatus, LockWaiter,
};
pub use native::{
    Caller, Expose, Exposed, FromValue, IntoException, IntoResult, IntoValue, Mismatch, expose,
};
pub use net::{BindError, Listener};
pub use object::{
    Answer, Blob, BoxFuture, CallResult, Context, ItemStream, Metadata, MethodCall, Object,
    Operation, Reply, ReplyBody, Request, batch, batch_now,
};
pub use session::{Peer, Session};
pub use tls::{ClientTls, Identity, ServerTls, TlsError};
pub use wire::Limits;
pub use wire::exception::Exception;
pub use wire::message::Annotations;
pub use wire::serializer::Serializer;
pub use wire::uri::{Location, Uri};
pub use wire::value::{Dict, Value};

/// The examples in the README are run, too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
