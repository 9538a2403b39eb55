//! One request of a [`Proxy`] and what comes of it.
//!
//! Owns what is checked before a request is sent, when it is sent again, and what its outcome means
//! for the connection.

use std::future::Future;
use std::time::Duration;

use wire::exception::Exception;
use wire::message::{Annotations, Flags};
use wire::serializer::{CallRef, Serializer};
use wire::value::Value;

use crate::client::connection::{Content, Failure, Response};
use crate::client::proxy::{Connected, Proxy};
use crate::error::Error;
use crate::object::Blob;

/// The daemon's method that takes the next item from a stream.
pub(super) const NEXT_ITEM: &str = "get_next_stream_item";

/// What is asked of the daemon.
pub(super) struct Asked<'a> {
    /// The object; the proxy's own if absent.
    pub(super) object: Option<&'a str>,
    pub(super) method: &'a str,
    pub(super) what: What<'a>,
    pub(super) flags: Flags,
}

pub(super) enum What<'a> {
    Call { args: &'a [Value], kwargs: &'a [(String, Value)] },
    Blob(&'a Blob),
}

/// What an answer is.
pub(super) enum Got {
    Value(Value),
    /// The id of an item stream.
    Stream(String),
}

impl Proxy {
    /// The flags for a method of the object.
    pub(super) async fn known_method(&mut self, method: &str) -> Result<Flags, Error> {
        self.connect_patiently().await?;
        let Some(Connected { metadata, .. }) = &self.connected else {
            return Err(lost(self.uri().to_string(), method));
        };
        let is_in = |names: &[String]| names.iter().any(|name| name == method);
        if !is_in(&metadata.methods) && !is_in(&metadata.oneway) {
            return Err(Error::Unexposed { uri: self.uri().to_string(), name: method.to_owned() });
        }
        Ok(if is_in(&metadata.oneway) { Flags::ONEWAY } else { Flags::default() })
    }

    pub(super) async fn known_property(&mut self, property: &str) -> Result<(), Error> {
        self.connect_patiently().await?;
        let known = self
            .connected
            .as_ref()
            .is_some_and(|connected| connected.metadata.attrs.iter().any(|name| name == property));
        if known {
            return Ok(());
        }
        Err(Error::Unexposed { uri: self.uri().to_string(), name: property.to_owned() })
    }

    pub(super) async fn invoke(
        &mut self,
        method: &str,
        args: &[Value],
        flags: Flags,
    ) -> Result<Value, Error> {
        let what = What::Call { args, kwargs: &[] };
        self.value(Asked { object: None, method, what, flags }).await
    }

    pub(super) async fn value(&mut self, asked: Asked<'_>) -> Result<Value, Error> {
        let method = asked.method;
        match self.ask(asked).await? {
            Got::Value(value) => Ok(value),
            Got::Stream(id) => {
                self.leave(id);
                Err(Error::IsStream { operation: method.to_owned() })
            }
        }
    }

    pub(super) async fn ask(&mut self, asked: Asked<'_>) -> Result<Got, Error> {
        // What the stream has given for an answer that is lost is gone: asked again, it would give
        // the next item, and nobody would know of the one in between.
        let takes = asked.object.is_some() && asked.method == NEXT_ITEM;
        let mut left = if takes { 0 } else { self.retries };
        loop {
            match self.ask_once(&asked).await {
                Err(error) if left > 0 && error.is_transient() => left -= 1,
                done => return done,
            }
        }
    }

    async fn ask_once(&mut self, asked: &Asked<'_>) -> Result<Got, Error> {
        self.connect().await?;
        if !self.left.is_empty() {
            self.close_left().await?;
        }
        self.exchange(asked).await
    }

    /// Connects, trying again as often as the user has allowed.
    async fn connect_patiently(&mut self) -> Result<(), Error> {
        let mut left = self.retries;
        loop {
            match self.connect().await {
                Err(error) if left > 0 && error.is_transient() => left -= 1,
                done => return done,
            }
        }
    }

    pub(super) async fn exchange(&mut self, asked: &Asked<'_>) -> Result<Got, Error> {
        let Asked { object, method, what, flags } = asked;
        let Some(connected) = &self.connected else {
            return Err(lost(self.uri().to_string(), method));
        };
        let object = object.unwrap_or(&connected.object).to_owned();
        let mut about_blob = Annotations::new();
        let (content, annotations) = match what {
            What::Call { args, kwargs } => {
                let call = CallRef { object: &object, method, args, kwargs };
                (Content::Call(call), &self.settings.annotations)
            }
            What::Blob(blob) => {
                about_blob.clone_from(&self.settings.annotations);
                about_blob.push((*b"BLBI", about(blob, &object)?));
                (Content::Serialized(&blob.payload), &about_blob)
            }
        };
        // Taken for the time of the exchange: where this future is dropped in the middle of it,
        // the connection goes too, and nobody takes the late answer for another call's.
        let Some(mut connected) = self.connected.take() else {
            return Err(lost(self.uri().to_string(), method));
        };
        let request = connected.connection.request(content, *flags, annotations, &self.settings);
        let outcome = limited(self.timeout, request).await;
        if matches!(outcome, Ok(Ok(_) | Err(Failure::Arguments(_)))) {
            self.connected = Some(connected);
        }
        match self.settle(outcome, method)? {
            None => Ok(Got::Value(Value::None)),
            Some(response) => self.result(response, method),
        }
    }

    fn result(&mut self, response: Response, method: &str) -> Result<Got, Error> {
        let Response { value, flags, annotations } = response;
        self.received = annotations;
        if flags.contains(Flags::ITEMSTREAMRESULT) {
            let id = self.received.iter().find(|(id, _)| id == b"STRM");
            return match id.map(|(_, data)| String::from_utf8(data.clone())) {
                Some(Ok(id)) => Ok(Got::Stream(id)),
                _ => Err(self.malformed(method, "a stream of items without an id")),
            };
        }
        if !flags.contains(Flags::EXCEPTION) {
            return Ok(Got::Value(value));
        }
        match Exception::from_value(&value) {
            Some(exception) => Err(Error::Remote(exception)),
            None => Err(self.malformed(method, "an exception that is not one")),
        }
    }

    /// Gives up the connection where the outcome says that it cannot be trusted any more.
    pub(super) fn settle<T>(
        &mut self,
        outcome: Result<Result<T, Failure>, Duration>,
        operation: &str,
    ) -> Result<T, Error> {
        let operation = operation.to_owned();
        let uri = self.uri().to_string();
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

    pub(super) fn malformed(&self, operation: &str, reason: &str) -> Error {
        Error::Protocol {
            uri: self.uri().to_string(),
            operation: operation.to_owned(),
            reason: reason.to_owned(),
        }
    }
}

pub(super) async fn limited<T>(
    timeout: Option<Duration>,
    work: impl Future<Output = T>,
) -> Result<T, Duration> {
    match timeout {
        None => Ok(work.await),
        Some(limit) => tokio::time::timeout(limit, work).await.map_err(|_| limit),
    }
}

pub(super) fn lost(uri: String, operation: &str) -> Error {
    Error::Lost {
        uri,
        operation: operation.to_owned(),
        source: std::io::ErrorKind::NotConnected.into(),
    }
}

/// What the annotation of a blob says: whom it is for, with `marshal` and whatever the serializer.
fn about(blob: &Blob, object: &str) -> Result<Vec<u8>, Error> {
    let about = Value::Tuple(vec![blob.info.clone(), object.into(), blob.method.as_str().into()]);
    let mut bytes = Vec::new();
    Serializer::Marshal.encode(&about, &mut bytes).map_err(|error| Error::Arguments {
        operation: blob.method.clone(),
        reason: format!("the blob's information: {error}"),
    })?;
    Ok(bytes)
}
