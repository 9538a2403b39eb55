//! `Proxy`: calls on a remote object.
//!
//! Owns one connection, made at the first use and made again after it was lost. A call that was
//! sent is never sent twice by itself: an instrument must not move twice.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use wire::exception::{Exception, unwrap_from_batch};
use wire::message::Flags;
use wire::serializer::{CallRef, Serializer};
use wire::uri::Uri;
use wire::value::Value;

use crate::client::connection::{Connection, Failure, Response};
use crate::client::nameserver;
use crate::error::{ConnectError, Error};
use crate::object::{Metadata, MethodCall};

/// A client's stand-in for a remote object. One call at a time; make another proxy for more.
pub struct Proxy {
    uri: Uri,
    serializer: Serializer,
    timeout: Option<Duration>,
    handshake: Value,
    connected: Option<Connected>,
}

struct Connected {
    connection: Connection,
    object: String,
    metadata: Metadata,
}

impl Proxy {
    /// A proxy for the object at `uri` (`PYRO:`, `PYRONAME:` or `PYROMETA:`); connects at the
    /// first call.
    ///
    /// # Errors
    /// `uri` is not a Pyro URI.
    pub fn new(uri: &str) -> Result<Self, Error> {
        Ok(Self::from(uri.parse::<Uri>()?))
    }

    /// The same proxy with a limit on connecting and on each call.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The same proxy with another serializer than serpent.
    #[must_use]
    pub fn with_serializer(mut self, serializer: Serializer) -> Self {
        self.serializer = serializer;
        self
    }

    /// The same proxy with data for the daemon's handshake (`_pyroHandshake`).
    #[must_use]
    pub fn with_handshake(mut self, data: Value) -> Self {
        self.handshake = data;
        self
    }

    /// The URI that the proxy was made for.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Calls a method and waits for its result.
    ///
    /// # Errors
    /// [`Error::Remote`] with what the method raised; everything else is about the way there.
    pub async fn call(
        &mut self,
        method: &str,
        args: Vec<Value>,
        kwargs: Vec<(String, Value)>,
    ) -> Result<Value, Error> {
        self.invoke(method, &args, &kwargs, Flags::default()).await
    }

    /// Calls a method without waiting for it.
    ///
    /// # Errors
    /// The request could not be sent.
    pub async fn call_oneway(
        &mut self,
        method: &str,
        args: Vec<Value>,
        kwargs: Vec<(String, Value)>,
    ) -> Result<(), Error> {
        self.invoke(method, &args, &kwargs, Flags::ONEWAY).await.map(drop)
    }

    /// Reads a property.
    ///
    /// # Errors
    /// As [`Proxy::call`].
    pub async fn get(&mut self, property: &str) -> Result<Value, Error> {
        self.invoke("__getattr__", &[property.into()], &[], Flags::default()).await
    }

    /// Sets a property.
    ///
    /// # Errors
    /// As [`Proxy::call`].
    pub async fn set(&mut self, property: &str, value: Value) -> Result<(), Error> {
        self.invoke("__setattr__", &[property.into(), value], &[], Flags::default()).await.map(drop)
    }

    /// Calls several methods in one message, in order; ends behind the first that raises.
    ///
    /// # Errors
    /// Those of the way there; what a method raised is in the list.
    pub async fn batch(
        &mut self,
        calls: Vec<MethodCall>,
    ) -> Result<Vec<Result<Value, Exception>>, Error> {
        let entries: Vec<Value> = calls
            .into_iter()
            .map(|call| {
                let kwargs =
                    call.kwargs.into_iter().map(|(key, value)| (Value::from(key), value)).collect();
                Value::Tuple(vec![call.method.into(), Value::Tuple(call.args), Value::Dict(kwargs)])
            })
            .collect();
        let results = self.invoke("<batch>", &entries, &[], Flags::BATCH).await?;
        let (Value::List(results) | Value::Tuple(results)) = results else {
            return Err(self.malformed("<batch>", "the results are not a list"));
        };
        Ok(results.into_iter().map(unwrap_batch_result).collect())
    }

    /// Calls a method of the daemon that the object lives in (`Pyro.Daemon`).
    ///
    /// # Errors
    /// As [`Proxy::call`].
    pub async fn call_daemon(&mut self, method: &str, args: Vec<Value>) -> Result<Value, Error> {
        self.connect().await?;
        self.exchange(Some(crate::DAEMON_NAME), method, &args, &[], Flags::default()).await
    }

    /// Asks the daemon, not the object, for a sign of life.
    ///
    /// # Errors
    /// There is none.
    pub async fn ping(&mut self) -> Result<(), Error> {
        self.connect().await?;
        let (uri, timeout) = (self.uri.to_string(), self.timeout);
        let Some(connected) = &mut self.connected else {
            return Err(lost(uri, "ping"));
        };
        let outcome = limited(timeout, connected.connection.ping()).await;
        self.settle(outcome, "ping")
    }

    /// Connects now, where the proxy is not connected yet.
    ///
    /// # Errors
    /// [`Error::Connect`], or what the nameserver said for a name.
    pub async fn connect(&mut self) -> Result<(), Error> {
        if self.connected.is_some() {
            return Ok(());
        }
        let resolved = Box::pin(nameserver::resolve(&self.uri, self.timeout)).await?;
        let Uri::Pyro { object, location } = &resolved else {
            return Err(self.malformed("connect", "the nameserver gave no address"));
        };
        let opening = Connection::open(location, object, &self.handshake, self.serializer);
        let opened = match self.timeout {
            None => opening.await,
            Some(limit) => match tokio::time::timeout(limit, opening).await {
                Ok(opened) => opened,
                Err(_) => Err(ConnectError::Timeout(limit)),
            },
        };
        let (connection, metadata) =
            opened.map_err(|source| Error::Connect { uri: resolved.to_string(), source })?;
        self.connected = Some(Connected { connection, object: object.clone(), metadata });
        Ok(())
    }

    /// The object's members as the daemon told them at the handshake; connects for them.
    ///
    /// # Errors
    /// As [`Proxy::connect`].
    pub async fn metadata(&mut self) -> Result<Metadata, Error> {
        self.connect().await?;
        Ok(self.connected.as_ref().map(|connected| connected.metadata.clone()).unwrap_or_default())
    }

    /// Closes the connection; the next call makes a new one.
    pub fn release(&mut self) {
        self.connected = None;
    }

    async fn invoke(
        &mut self,
        method: &str,
        args: &[Value],
        kwargs: &[(String, Value)],
        flags: Flags,
    ) -> Result<Value, Error> {
        self.connect().await?;
        self.exchange(None, method, args, kwargs, flags).await
    }

    async fn exchange(
        &mut self,
        object: Option<&str>,
        method: &str,
        args: &[Value],
        kwargs: &[(String, Value)],
        flags: Flags,
    ) -> Result<Value, Error> {
        // Taken for the time of the exchange: where this future is dropped in the middle of it,
        // the connection goes too, and nobody takes the late answer for another call's.
        let Some(mut connected) = self.connected.take() else {
            return Err(lost(self.uri.to_string(), method));
        };
        let object = object.unwrap_or(&connected.object).to_owned();
        let call = CallRef { object: &object, method, args, kwargs };
        let outcome = limited(self.timeout, connected.connection.request(call, flags)).await;
        if matches!(outcome, Ok(Ok(_) | Err(Failure::Arguments(_)))) {
            self.connected = Some(connected);
        }
        match self.settle(outcome, method)? {
            None => Ok(Value::None),
            Some(response) => self.result(response, method),
        }
    }

    fn result(&self, response: Response, method: &str) -> Result<Value, Error> {
        let Response { value, flags, annotations } = response;
        if flags.contains(Flags::ITEMSTREAMRESULT) {
            // The id of the stream; its items come from Pyro.Daemon's get_next_stream_item.
            let id = annotations.into_iter().find(|(id, _)| id == b"STRM").map(|(_, data)| data);
            return match id.map(String::from_utf8) {
                Some(Ok(id)) => Ok(Value::from(id)),
                _ => Err(self.malformed(method, "a stream of items without an id")),
            };
        }
        if !flags.contains(Flags::EXCEPTION) {
            return Ok(value);
        }
        match Exception::from_value(&value) {
            Some(exception) => Err(Error::Remote(exception)),
            None => Err(self.malformed(method, "an exception that is not one")),
        }
    }

    /// Gives up the connection where the outcome says that it cannot be trusted any more.
    fn settle<T>(
        &mut self,
        outcome: Result<Result<T, Failure>, Duration>,
        operation: &str,
    ) -> Result<T, Error> {
        let operation = operation.to_owned();
        let uri = self.uri.to_string();
        let error = match outcome {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(Failure::Arguments(reason))) => {
                return Err(Error::Arguments { operation, reason });
            }
            Ok(Err(Failure::Lost(source))) => Error::Lost { uri, operation, source },
            Ok(Err(Failure::Protocol(reason))) => Error::Protocol { uri, operation, reason },
            Err(timeout) => Error::Timeout { uri, operation, timeout },
        };
        self.connected = None;
        Err(error)
    }

    fn malformed(&self, operation: &str, reason: &str) -> Error {
        Error::Protocol {
            uri: self.uri.to_string(),
            operation: operation.to_owned(),
            reason: reason.to_owned(),
        }
    }
}

impl From<Uri> for Proxy {
    fn from(uri: Uri) -> Self {
        Proxy {
            uri,
            serializer: Serializer::Serpent,
            timeout: None,
            handshake: Value::from("hello"),
            connected: None,
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("uri", &self.uri.to_string())
            .field("serializer", &self.serializer)
            .field("connected", &self.connected.is_some())
            .finish_non_exhaustive()
    }
}

async fn limited<T>(
    timeout: Option<Duration>,
    work: impl Future<Output = T>,
) -> Result<T, Duration> {
    match timeout {
        None => Ok(work.await),
        Some(limit) => tokio::time::timeout(limit, work).await.map_err(|_| limit),
    }
}

fn lost(uri: String, operation: &str) -> Error {
    Error::Lost {
        uri,
        operation: operation.to_owned(),
        source: std::io::ErrorKind::NotConnected.into(),
    }
}

fn unwrap_batch_result(value: Value) -> Result<Value, Exception> {
    match unwrap_from_batch(&value) {
        Some(exception) => Err(exception),
        None => Ok(value),
    }
}
