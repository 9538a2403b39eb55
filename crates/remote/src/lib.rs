//! Pyro5 over tokio: daemons that serve objects, and proxies that call them.
//!
//! Owns connections: handshakes, places, sessions, the order of calls, streams of items, and the
//! client's side of the same. The bytes are [`wire`]'s; what an object does is its own business.
//!
//! A daemon with one object, and a proxy that calls it:
//!
//! ```
//! use std::sync::Arc;
//! use remote::{Answer, Daemon, DaemonConfig, Exception, Metadata, Object, Operation, Proxy};
//! use remote::{Request, Session, Value};
//!
//! struct Thermometer;
//!
//! impl Object for Thermometer {
//!     fn metadata(&self) -> Result<Metadata, Exception> {
//!         Ok(Metadata::methods(["celsius"]))
//!     }
//!     fn call(&self, _session: &Arc<Session>, request: Request) -> Answer {
//!         match request.operation {
//!             Operation::Call(call) if call.method == "celsius" => Answer::value(21.5),
//!             operation => Answer::exception(operation.unexposed()),
//!         }
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let daemon = Daemon::new(DaemonConfig::default());
//! daemon.register("thermometer", Arc::new(Thermometer))?;
//! let listener = remote::Listener::bind_tcp("localhost", 0).await?;
//! let uri = daemon.uri_for("thermometer", &listener);
//! let stop = tokio_util::sync::CancellationToken::new();
//! let serving = tokio::spawn(daemon.serve(listener, stop.clone()));
//!
//! let mut proxy = Proxy::new(&uri.to_string())?;
//! assert_eq!(proxy.call("celsius", Vec::new(), Vec::new()).await?, Value::Float(21.5));
//!
//! drop(proxy);
//! stop.cancel();
//! serving.await?;
//! # Ok(())
//! # }
//! ```

mod arguments;
mod client;
mod daemon;
mod error;
mod frames;
mod instance;
pub mod native;
mod net;
mod object;
mod session;

pub use arguments::Signature;
pub use client::nameserver::{NAMESERVER_NAME, NameServer, Registration, resolve};
pub use client::proxy::Proxy;
pub use daemon::config::{DaemonConfig, ServerType};
pub use daemon::streams::StreamLimits;
pub use daemon::{DAEMON_NAME, Daemon, RegisterError};
pub use error::{ConnectError, Error};
pub use instance::{PerCall, PerSession};
pub use native::{
    Caller, Expose, Exposed, FromValue, IntoException, IntoResult, IntoValue, Mismatch,
};
pub use net::{BindError, Listener};
pub use object::{
    Answer, BoxFuture, CallResult, Context, ItemStream, Metadata, MethodCall, Object, Operation,
    Reply, ReplyBody, Request, batch, batch_now,
};
pub use remote_macros::{IntoException, expose};
pub use session::{Peer, Session};
pub use wire::Limits;
pub use wire::exception::Exception;
pub use wire::serializer::Serializer;
pub use wire::uri::{Location, Uri};
pub use wire::value::{Dict, Value};
