//! Calls of a proxy.

use wire::exception::{Exception, unwrap_from_batch};
use wire::message::Flags;
use wire::value::Value;

use crate::client::exchange::{CallOutcome, Payload, ProxyRequest, not_connected, within_timeout};
use crate::client::items::Items;
use crate::client::proxy::Proxy;
use crate::error::Error;
use crate::object::{Blob, MethodCall};

impl Proxy {
    /// Calls a method and waits for its result; does not wait if the object calls it oneway.
    ///
    /// # Errors
    /// [`Error::Remote`] with what the method raised, [`Error::Unexposed`] for a method that the
    /// object does not have, [`Error::IsStream`] for one that returns an iterator (see
    /// [`Proxy::stream`]); everything else is about the way there.
    pub async fn call(
        &mut self,
        method: &str,
        args: Vec<Value>,
        kwargs: Vec<(String, Value)>,
    ) -> Result<Value, Error> {
        let flags = self.check_method(method).await?;
        let payload = Payload::Call { args: &args, kwargs: &kwargs };
        self.request_value(ProxyRequest { object: None, method, payload, flags }).await
    }

    /// Calls a method that returns an iterator or a generator, to read its items.
    ///
    /// # Errors
    /// As [`Proxy::call`]; [`Error::Protocol`] where the result is no iterator.
    pub async fn stream(
        &mut self,
        method: &str,
        args: Vec<Value>,
        kwargs: Vec<(String, Value)>,
    ) -> Result<Items<'_>, Error> {
        let flags = self.check_method(method).await?;
        let payload = Payload::Call { args: &args, kwargs: &kwargs };
        let request = ProxyRequest { object: None, method, payload, flags };
        match self.request(request).await? {
            CallOutcome::Stream(id) => Ok(Items::new(self, id)),
            CallOutcome::Value(value) => Err(self.protocol_error(
                method,
                &format!("not an iterator, but {} (see Proxy::call)", value.type_name()),
            )),
        }
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
        self.check_method(method).await?;
        let payload = Payload::Call { args: &args, kwargs: &kwargs };
        self.request_value(ProxyRequest { object: None, method, payload, flags: Flags::ONEWAY })
            .await
            .map(drop)
    }

    /// Passes a blob on as it came (Pyro5's `SerializedBlob`): only who wants to know its content
    /// deserializes it. The proxy must use the blob's serializer.
    ///
    /// # Errors
    /// As [`Proxy::call`]; [`Error::Arguments`] where the serializers are not the same.
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

    /// Calls several methods in one message, in order; ends behind the first that raises.
    ///
    /// # Errors
    /// Those of the way there; what a method raised is in the list.
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
    /// The request could not be sent.
    pub async fn batch_oneway(&mut self, calls: Vec<MethodCall>) -> Result<(), Error> {
        let flags = Flags::BATCH | Flags::ONEWAY;
        self.invoke("<batch>", &batch_entries(calls), flags).await.map(drop)
    }

    /// Calls a method of the daemon that the object lives in (`Pyro.Daemon`).
    ///
    /// # Errors
    /// As [`Proxy::call`].
    pub async fn call_daemon(&mut self, method: &str, args: Vec<Value>) -> Result<Value, Error> {
        let payload = Payload::Call { args: &args, kwargs: &[] };
        let object = Some(crate::DAEMON_NAME);
        self.request_value(ProxyRequest { object, method, payload, flags: Flags::default() }).await
    }

    /// Asks the daemon, not the object, for a sign of life.
    ///
    /// # Errors
    /// There is none.
    pub async fn ping(&mut self) -> Result<(), Error> {
        self.connect().await?;
        // Away for the time of the exchange, as in every other.
        let Some(mut connected) = self.connected.take() else {
            return Err(not_connected(self.uri.to_string(), "ping"));
        };
        let outcome = within_timeout(self.timeout, connected.connection.ping()).await;
        self.check_outcome(outcome, "ping")?;
        self.connected = Some(connected);
        Ok(())
    }

    /// Closes the streams that were left.
    pub(super) async fn close_abandoned_streams(&mut self) -> Result<(), Error> {
        for id in std::mem::take(&mut self.abandoned_streams) {
            // Behind a connection that was lost, the daemon closes them by itself.
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
