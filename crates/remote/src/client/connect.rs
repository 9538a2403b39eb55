//! Connecting a proxy: the name is resolved, the connection opened, the handshake checked.

use std::time::Duration;

use wire::uri::{Location, Uri};

use crate::client::connection::{ClientConnection, Greeting};
use crate::client::discovery::{Search, locate_ns};
use crate::client::exchange::within_timeout;
use crate::client::nameserver::NameServer;
use crate::client::proxy::{Connected, Proxy};
use crate::error::{ConnectError, Error};
use crate::object::Metadata;
use crate::tls::ClientTls;

impl Proxy {
    /// Connects the proxy if it is not connected.
    ///
    /// # Errors
    /// [`Error::Connect`]; for a name, those of [`resolve`].
    pub async fn connect(&mut self) -> Result<(), Error> {
        if self.connected.is_some() {
            return Ok(());
        }
        let tls = self.settings.tls.as_ref();
        let resolved = Box::pin(resolve_with(&self.uri, self.timeout, tls)).await?;
        let Uri::Pyro { object, location } = &resolved else {
            return Err(self.protocol_error("connect", "the nameserver gave no address"));
        };
        let opening = ClientConnection::open(location, object, &self.settings);
        let opened = match within_timeout(self.timeout, opening).await {
            Ok(opened) => opened,
            Err(limit) => Err(ConnectError::Timeout(limit)),
        };
        let checked = opened.and_then(|(connection, greeting)| {
            let check = self.handshake_check.as_ref();
            check
                .map_or(Ok(()), |check| check(&greeting.response))
                .map_err(ConnectError::HandshakeCheck)?;
            Ok((connection, greeting))
        });
        let (connection, Greeting { metadata, annotations, .. }) =
            checked.map_err(|source| Error::Connect { uri: resolved.to_string(), source })?;
        self.received_annotations = annotations;
        self.connected = Some(Connected { connection, object: object.clone(), metadata });
        Ok(())
    }

    /// Closes the connection and opens a new one, in up to `tries` attempts with a `pause` between
    /// them: for a daemon that is being restarted.
    ///
    /// # Errors
    /// The error of the last attempt.
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

    /// The object's members, from the handshake. Connects the proxy if it is not connected.
    ///
    /// # Errors
    /// As [`Proxy::connect`].
    pub async fn metadata(&mut self) -> Result<Metadata, Error> {
        self.connect().await?;
        Ok(self.connected.as_ref().map(|connected| connected.metadata.clone()).unwrap_or_default())
    }
}

/// Resolves `PYRONAME:` and `PYROMETA:` URIs into `PYRO:` ones, by a nameserver.
///
/// # Errors
/// `NamingError` from the nameserver for an unknown name; [`Error`] if it cannot be asked.
pub async fn resolve(uri: &Uri, timeout: Option<Duration>) -> Result<Uri, Error> {
    resolve_with(uri, timeout, None).await
}

/// As [`resolve`], by a nameserver with TLS where `tls` is given.
///
/// # Errors
/// As [`resolve`].
pub async fn resolve_with(
    uri: &Uri,
    timeout: Option<Duration>,
    tls: Option<&ClientTls>,
) -> Result<Uri, Error> {
    match uri {
        Uri::Pyro { .. } => Ok(uri.clone()),
        Uri::PyroName { name, location } => {
            find_nameserver(location, timeout, tls).await?.lookup(name).await
        }
        Uri::PyroMeta { tags, location } => {
            let mut found = find_nameserver(location, timeout, tls).await?.with_tags(tags).await?;
            // A random one, so that equal services share the load.
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
    tls: Option<&ClientTls>,
) -> Result<NameServer, Error> {
    match location {
        Some(location) => Ok(NameServer::at(location.clone(), timeout).with_tls(tls.cloned())),
        None => locate_ns(&Search { timeout, tls: tls.cloned(), ..Search::default() }).await,
    }
}
