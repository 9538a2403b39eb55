//! Calls of a proxy: methods, properties, batches, streams, oneway.

use wire::exception::{Exception, unwrap_from_batch};
use wire::message::Flags;
use wire::value::Value;

use crate::client::exchange::{CallOutcome, Payload, ProxyRequest, not_connected, within_timeout};
use crate::client::items::Items;
use crate::client::proxy::Proxy;
use crate::error::Error;
use crate::object::{Blob, MethodCall};

/// The result of a call: see [`Proxy::call_or_stream`].
#[derive(Debug)]
pub enum Called<'a> {
    /// A value.
    Value(Value),
    /// The items of an iterator or a generator.
    Items(Items<'a>),
}

impl Proxy {
    /// Calls a method and waits for its result, unless the object exposes it as oneway.
    ///
    /// # Errors
    /// [`Error::Remote`] with the method's exception; [`Error::Unexposed`] for a method that the
    /// object does not have; [`Error::IsStream`] for one that returns an iterator (see
    /// [`Proxy::stream`]); other errors for the connection and the protocol.
    pub async fn call(
        &mut self,
        method: &str,
        args: Vec<Value>,
        kwargs: Vec<(String, Value)>,
    ) -> Result<Value, Error> {
        let flags = self.check_method(method).await?;
        self.request_value(ProxyRequest::call(method, &args, &kwargs, flags)).await
    }

    /// Calls a method that returns an iterator or a generator, to read its items.
    ///
    /// # Errors
    /// As [`Proxy::call`]; [`Error::Protocol`] if the result is not an iterator.
    pub async fn stream(
        &mut self,
        method: &str,
        args: Vec<Value>,
        kwargs: Vec<(String, Value)>,
    ) -> Result<Items<'_>, Error> {
        let flags = self.check_method(method).await?;
        match self.request(ProxyRequest::call(method, &args, &kwargs, flags)).await? {
            CallOutcome::Stream(id) => Ok(Items::new(self, id)),
            CallOutcome::Value(value) => Err(self.protocol_error(
                method,
                &format!("not an iterator, but {} (see Proxy::call)", value.type_name()),
            )),
        }
    }

    /// Calls a method whose result may be a value or an iterator.
    ///
    /// # Errors
    /// As [`Proxy::call`], but for [`Error::IsStream`].
    pub async fn call_or_stream(
        &mut self,
        method: &str,
        args: Vec<Value>,
        kwargs: Vec<(String, Value)>,
    ) -> Result<Called<'_>, Error> {
        let flags = self.check_method(method).await?;
        Ok(match self.request(ProxyRequest::call(method, &args, &kwargs, flags)).await? {
            CallOutcome::Stream(id) => Called::Items(Items::new(self, id)),
            CallOutcome::Value(value) => Called::Value(value),
        })
    }

    /// Calls a method without waiting for its result.
    ///
    /// # Errors
    /// The request cannot be sent.
    pub async fn call_oneway(
        &mut self,
        method: &str,
        args: Vec<Value>,
        kwargs: Vec<(String, Value)>,
    ) -> Result<(), Error> {
        self.check_method(method).await?;
        let request = ProxyRequest::call(method, &args, &kwargs, Flags::ONEWAY);
        self.request_value(request).await.map(drop)
    }

    /// Forwards a blob without deserializing it (Pyro5's `SerializedBlob`). The proxy must use the
    /// blob's serializer.
    ///
    /// # Errors
    /// As [`Proxy::call`]; [`Error::Arguments`] if the serializers differ.
    pub async fn call_blob(&mut self, blob: &Blob) -> Result<Value, Error> {
        let flags = self.check_method(&blob.method).await?.union(Flags::KEEPSERIALIZED);
        if blob.serializer != self.settings.serializer {
            return Err(Error::Arguments {
                operation: blob.method.clone(),
                reason: format!(
                    "the blob is serialized with {}, and this proxy uses {}",
                    blob.serializer.name(),
                    self.settings.serializer.name()
                ),
            });
        }
        let payload = Payload::Blob(blob);
        self.request_value(ProxyRequest { object: None, method: &blob.method, payload, flags })
            .await
    }

    /// Reads a property.
    ///
    /// # Errors
    /// As [`Proxy::call`].
    pub async fn get(&mut self, property: &str) -> Result<Value, Error> {
        self.check_property(property).await?;
        self.invoke("__getattr__", &[property.into()], Flags::default()).await
    }

    /// Sets a property.
    ///
    /// # Errors
    /// As [`Proxy::call`].
    pub async fn set(&mut self, property: &str, value: Value) -> Result<(), Error> {
        self.check_property(property).await?;
        self.invoke("__setattr__", &[property.into(), value], Flags::default()).await.map(drop)
    }

    /// Calls several methods in one message, in order, up to the first that raises an exception.
    ///
    /// # Errors
    /// Errors of the connection and the protocol. A method's exception is in the list.
    pub async fn batch(
        &mut self,
        calls: Vec<MethodCall>,
    ) -> Result<Vec<Result<Value, Exception>>, Error> {
        let results = self.invoke("<batch>", &batch_entries(calls), Flags::BATCH).await?;
        let (Value::List(results) | Value::Tuple(results)) = results else {
            return Err(self.protocol_error("<batch>", "the results are not a list"));
        };
        Ok(results.into_iter().map(unwrap_batch_result).collect())
    }

    /// As [`Proxy::batch`], without waiting for results.
    ///
    /// # Errors
    /// The request cannot be sent.
    pub async fn batch_oneway(&mut self, calls: Vec<MethodCall>) -> Result<(), Error> {
        let flags = Flags::BATCH | Flags::ONEWAY;
        self.invoke("<batch>", &batch_entries(calls), flags).await.map(drop)
    }

    /// Calls a method of the object's daemon (`Pyro.Daemon`).
    ///
    /// # Errors
    /// As [`Proxy::call`].
    pub async fn call_daemon(&mut self, method: &str, args: Vec<Value>) -> Result<Value, Error> {
        let payload = Payload::Call { args: &args, kwargs: &[] };
        let object = Some(crate::DAEMON_NAME);
        self.request_value(ProxyRequest { object, method, payload, flags: Flags::default() }).await
    }

    /// Sends a PING message, which the daemon answers without the object.
    ///
    /// # Errors
    /// As [`Proxy::connect`]; no answer.
    pub async fn ping(&mut self) -> Result<(), Error> {
        self.connect().await?;
        // Taken out during the exchange: see `exchange`.
        let Some(mut connected) = self.connected.take() else {
            return Err(not_connected(self.uri.to_string(), "ping"));
        };
        let outcome = within_timeout(self.timeout, connected.connection.ping()).await;
        self.check_outcome(outcome, "ping")?;
        self.connected = Some(connected);
        Ok(())
    }

    /// Asks the daemon to close the abandoned streams.
    pub(super) async fn close_abandoned_streams(&mut self) -> Result<(), Error> {
        for id in std::mem::take(&mut self.abandoned_streams) {
            // After a lost connection the daemon closes them by itself.
            if self.connected.is_some() {
                let args = [Value::from(id)];
                let payload = Payload::Call { args: &args, kwargs: &[] };
                let object = Some(crate::DAEMON_NAME);
                let flags = Flags::ONEWAY;
                self.exchange(&ProxyRequest { object, method: "close_stream", payload, flags })
                    .await?;
            }
        }
        Ok(())
    }
}

fn batch_entries(calls: Vec<MethodCall>) -> Vec<Value> {
    calls
        .into_iter()
        .map(|call| {
            let kwargs =
                call.kwargs.into_iter().map(|(key, value)| (Value::from(key), value)).collect();
            Value::Tuple(vec![call.method.into(), Value::Tuple(call.args), Value::Dict(kwargs)])
        })
        .collect()
}

fn unwrap_batch_result(value: Value) -> Result<Value, Exception> {
    match unwrap_from_batch(&value) {
        Some(exception) => Err(exception),
        None => Ok(value),
    }
}
