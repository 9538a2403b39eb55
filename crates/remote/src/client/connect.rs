//! Connecting a proxy.

use std::time::Duration;

use wire::uri::{Location, Uri};

use crate::client::connection::{ClientConnection, Greeting};
use crate::client::discovery::{Search, locate_ns};
use crate::client::exchange::within_timeout;
use crate::client::nameserver::NameServer;
use crate::client::proxy::{Connected, Proxy};
use crate::error::{ConnectError, Error};
use crate::object::Metadata;

impl Proxy {
    /// Connects now, where the proxy is not connected yet.
    ///
    /// # Errors
    /// [`Error::Connect`], or what the nameserver said for a name.
    pub async fn connect(&mut self) -> Result<(), Error> {
        if self.connected.is_some() {
            return Ok(());
        }
        let resolved = Box::pin(resolve(&self.uri, self.timeout)).await?;
        let Uri::Pyro { object, location } = &resolved else {
            return Err(self.protocol_error("connect", "the nameserver gave no address"));
        };
        let opening = ClientConnection::open(location, object, &self.settings);
        let opened = match within_timeout(self.timeout, opening).await {
            Ok(opened) => opened,
            Err(limit) => Err(ConnectError::Timeout(limit)),
        };
        let judged = opened.and_then(|(connection, greeting)| match &self.handshake_check {
            None => Ok((connection, greeting)),
            Some(judge) => match judge(&greeting.response) {
                Ok(()) => Ok((connection, greeting)),
                Err(reason) => Err(ConnectError::Unwelcome(reason)),
            },
        });
        let (connection, Greeting { metadata, annotations, .. }) =
            judged.map_err(|source| Error::Connect { uri: resolved.to_string(), source })?;
        self.received_annotations = annotations;
        self.connected = Some(Connected { connection, object: object.clone(), metadata });
        Ok(())
    }

    /// Closes the connection and makes a new one, trying up to `tries` times with a `pause` in
    /// between: for a daemon that is just being restarted.
    ///
    /// # Errors
    /// Why the last attempt failed.
    pub async fn reconnect(&mut self, tries: u32, pause: Duration) -> Result<(), Error> {
        self.release();
        let mut attempt = 1;
        loop {
            match self.connect().await {
                Err(_) if attempt < tries => tokio::time::sleep(pause).await,
                connected => return connected,
            }
            attempt += 1;
        }
    }

    /// The object's members as the daemon told them at the handshake; connects for them.
    ///
    /// # Errors
    /// As [`Proxy::connect`].
    pub async fn metadata(&mut self) -> Result<Metadata, Error> {
        self.connect().await?;
        Ok(self.connected.as_ref().map(|connected| connected.metadata.clone()).unwrap_or_default())
    }
}

/// The direct address that `uri` stands for, asking a nameserver where it must.
///
/// # Errors
/// What the nameserver said, or [`Error`] for the way there.
pub async fn resolve(uri: &Uri, timeout: Option<Duration>) -> Result<Uri, Error> {
    match uri {
        Uri::Pyro { .. } => Ok(uri.clone()),
        Uri::PyroName { name, location } => {
            find_nameserver(location, timeout).await?.lookup(name).await
        }
        Uri::PyroMeta { tags, location } => {
            let mut found = find_nameserver(location, timeout).await?.with_tags(tags).await?;
            // Any of them will do: by chance, so that equal services share the load.
            let chance = usize::from(uuid::Uuid::new_v4().as_bytes()[0]) % found.len().max(1);
            let chosen = (chance < found.len()).then(|| found.swap_remove(chance));
            let chosen = chosen.ok_or_else(|| {
                Error::Remote(wire::exception::Exception::naming_error(format!(
                    "no registrations available with desired metadata properties {}",
                    tags.join(", ")
                )))
            })?;
            Ok(chosen.uri.parse()?)
        }
    }
}

async fn find_nameserver(
    location: &Option<Location>,
    timeout: Option<Duration>,
) -> Result<NameServer, Error> {
    match location {
        Some(location) => Ok(NameServer::at(location.clone(), timeout)),
        None => locate_ns(&Search { timeout, ..Search::default() }).await,
    }
}
