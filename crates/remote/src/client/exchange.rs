//! Request of a [`Proxy`] and its outcome.
//!
//! A member is checked before a request is sent. A failed request is repeated only as often as the
//! user allowed, and a failure may close the connection.

use std::future::Future;
use std::time::Duration;

use wire::exception::Exception;
use wire::message::{Annotations, Flags};
use wire::serializer::{CallRef, Serializer};
use wire::value::Value;

use crate::client::connection::{ProxyResponse, RequestContent, RequestFailure};
use crate::client::proxy::{Connected, Proxy};
use crate::error::Error;
use crate::object::Blob;

/// The daemon's method that takes the next item from a stream.
pub(super) const NEXT_ITEM: &str = "get_next_stream_item";

/// Request to a daemon.
pub(super) struct ProxyRequest<'a> {
    /// The object's id; `None` for the proxy's object.
    pub(super) object: Option<&'a str>,
    pub(super) method: &'a str,
    pub(super) payload: Payload<'a>,
    pub(super) flags: Flags,
}

impl<'a> ProxyRequest<'a> {
    /// A call of the proxy's object.
    pub(super) fn call(
        method: &'a str,
        args: &'a [Value],
        kwargs: &'a [(String, Value)],
        flags: Flags,
    ) -> Self {
        ProxyRequest { object: None, method, payload: Payload::Call { args, kwargs }, flags }
    }
}

pub(super) enum Payload<'a> {
    Call { args: &'a [Value], kwargs: &'a [(String, Value)] },
    Blob(&'a Blob),
}

/// Content of an answer.
pub(super) enum CallOutcome {
    Value(Value),
    /// The id of an item stream.
    Stream(String),
}

impl Proxy {
    /// Checks that the object has a method, and returns the flags of its requests.
    pub(super) async fn check_method(&mut self, method: &str) -> Result<Flags, Error> {
        self.connect_with_retries().await?;
        let Some(Connected { metadata, .. }) = &self.connected else {
            return Err(not_connected(self.uri().to_string(), method));
        };
        let is_in = |names: &[String]| names.iter().any(|name| name == method);
        if !is_in(&metadata.methods) && !is_in(&metadata.oneway) {
            return Err(Error::Unexposed { uri: self.uri().to_string(), name: method.to_owned() });
        }
        Ok(if is_in(&metadata.oneway) { Flags::ONEWAY } else { Flags::default() })
    }

    pub(super) async fn check_property(&mut self, property: &str) -> Result<(), Error> {
        self.connect_with_retries().await?;
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
        self.request_value(ProxyRequest::call(method, args, &[], flags)).await
    }

    pub(super) async fn request_value(
        &mut self,
        request: ProxyRequest<'_>,
    ) -> Result<Value, Error> {
        let method = request.method;
        match self.request(request).await? {
            CallOutcome::Value(value) => Ok(value),
            CallOutcome::Stream(id) => {
                self.abandon_stream(id);
                Err(Error::IsStream { operation: method.to_owned() })
            }
        }
    }

    pub(super) async fn request(
        &mut self,
        request: ProxyRequest<'_>,
    ) -> Result<CallOutcome, Error> {
        // Never for a stream's item: if its answer is lost, the item is lost, and a repeated
        // request would skip it silently.
        let takes_item = request.object.is_some() && request.method == NEXT_ITEM;
        let mut retries = if takes_item { 0 } else { self.retries };
        loop {
            match self.request_once(&request).await {
                Err(error) if retries > 0 && error.is_transient() => retries -= 1,
                done => return done,
            }
        }
    }

    async fn request_once(&mut self, request: &ProxyRequest<'_>) -> Result<CallOutcome, Error> {
        self.connect().await?;
        if !self.abandoned_streams.is_empty() {
            self.close_abandoned_streams().await?;
        }
        self.exchange(request).await
    }

    /// Connects, with as many retries as the user allowed.
    async fn connect_with_retries(&mut self) -> Result<(), Error> {
        let mut retries = self.retries;
        loop {
            match self.connect().await {
                Err(error) if retries > 0 && error.is_transient() => retries -= 1,
                done => return done,
            }
        }
    }

    pub(super) async fn exchange(
        &mut self,
        request: &ProxyRequest<'_>,
    ) -> Result<CallOutcome, Error> {
        let ProxyRequest { object, method, payload, flags } = request;
        let Some(connected) = &self.connected else {
            return Err(not_connected(self.uri().to_string(), method));
        };
        let object = object.unwrap_or(&connected.object).to_owned();
        let mut about_blob = Annotations::new();
        let (content, annotations) = match payload {
            Payload::Call { args, kwargs } => {
                let call = CallRef { object: &object, method, args, kwargs };
                (RequestContent::Call(call), &self.settings.annotations)
            }
            Payload::Blob(blob) => {
                about_blob.clone_from(&self.settings.annotations);
                about_blob.push((*b"BLBI", blob_annotation(blob, &object)?));
                (RequestContent::Serialized(&blob.payload), &about_blob)
            }
        };
        // Taken out during the exchange. If this future is dropped in the middle of it, the
        // connection is dropped too, so the late answer cannot be taken for another call's.
        let Some(mut connected) = self.connected.take() else {
            return Err(not_connected(self.uri().to_string(), method));
        };
        let request = connected.connection.request(content, *flags, annotations, &self.settings);
        let outcome = within_timeout(self.timeout, request).await;
        if matches!(outcome, Ok(Ok(_) | Err(RequestFailure::Arguments(_)))) {
            self.connected = Some(connected);
        }
        match self.check_outcome(outcome, method)? {
            None => Ok(CallOutcome::Value(Value::None)),
            Some(response) => self.read_response(response, method),
        }
    }

    fn read_response(
        &mut self,
        response: ProxyResponse,
        method: &str,
    ) -> Result<CallOutcome, Error> {
        let ProxyResponse { value, flags, annotations } = response;
        self.received_annotations = annotations;
        if flags.contains(Flags::ITEMSTREAMRESULT) {
            let id = self.received_annotations.iter().find(|(id, _)| id == b"STRM");
            return match id.map(|(_, data)| String::from_utf8(data.clone())) {
                Some(Ok(id)) => Ok(CallOutcome::Stream(id)),
                _ => Err(self.protocol_error(method, "a stream of items without an id")),
            };
        }
        if !flags.contains(Flags::EXCEPTION) {
            return Ok(CallOutcome::Value(value));
        }
        match Exception::from_value(&value) {
            Some(exception) => Err(Error::Remote(exception)),
            None => Err(self.protocol_error(method, "an exception that is not one")),
        }
    }

    /// The value of an exchange, or its error. Closes the connection if it can no longer be used.
    pub(super) fn check_outcome<T>(
        &mut self,
        outcome: Result<Result<T, RequestFailure>, Duration>,
        operation: &str,
    ) -> Result<T, Error> {
        let operation = operation.to_owned();
        let uri = self.uri().to_string();
        let error = match outcome {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(RequestFailure::Arguments(reason))) => {
                return Err(Error::Arguments { operation, reason });
            }
            Ok(Err(RequestFailure::Lost(source))) => Error::Lost { uri, operation, source },
            Ok(Err(RequestFailure::Protocol(reason))) => Error::Protocol { uri, operation, reason },
            Err(timeout) => Error::Timeout { uri, operation, timeout },
        };
        self.connected = None;
        Err(error)
    }

    pub(super) fn protocol_error(&self, operation: &str, reason: &str) -> Error {
        Error::Protocol {
            uri: self.uri().to_string(),
            operation: operation.to_owned(),
            reason: reason.to_owned(),
        }
    }
}

pub(super) async fn within_timeout<T>(
    timeout: Option<Duration>,
    work: impl Future<Output = T>,
) -> Result<T, Duration> {
    match timeout {
        None => Ok(work.await),
        Some(limit) => tokio::time::timeout(limit, work).await.map_err(|_| limit),
    }
}

pub(super) fn not_connected(uri: String, operation: &str) -> Error {
    Error::Lost {
        uri,
        operation: operation.to_owned(),
        source: std::io::ErrorKind::NotConnected.into(),
    }
}

/// The `BLBI` annotation of a blob: its information, object and method, always with `marshal`.
fn blob_annotation(blob: &Blob, object: &str) -> Result<Vec<u8>, Error> {
    let about = Value::Tuple(vec![blob.info.clone(), object.into(), blob.method.as_str().into()]);
    let mut bytes = Vec::new();
    Serializer::Marshal.encode(&about, &mut bytes).map_err(|error| Error::Arguments {
        operation: blob.method.clone(),
        reason: format!("the blob's information: {error}"),
    })?;
    Ok(bytes)
}
