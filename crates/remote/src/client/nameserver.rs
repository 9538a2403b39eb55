//! Client of a nameserver.

use std::net::IpAddr;
use std::time::Duration;

use wire::uri::{Location, Uri};
use wire::value::Value;

use crate::client::login::ClientLogin;
use crate::client::proxy::Proxy;
use crate::error::Error;
use crate::tls::ClientTls;

/// Object id of every nameserver.
pub const NAMESERVER_NAME: &str = "Pyro.NameServer";

/// Default port of a nameserver (Pyro5's `NS_PORT`).
pub(crate) const DEFAULT_PORT: u16 = 9090;

/// Client of a nameserver.
#[derive(Debug)]
pub struct NameServer {
    location: Location,
    pub(super) proxy: Proxy,
    /// The id of the lab whose nameserver it must be.
    pub(super) lab: Option<String>,
    /// The id of this host among those that share a directory.
    pub(super) host: Option<String>,
}

impl NameServer {
    /// A client of the nameserver at `location`; connects at the first call.
    pub fn at(location: Location, timeout: Option<Duration>) -> Self {
        let object = NAMESERVER_NAME.to_owned();
        let proxy = Proxy::from(Uri::Pyro { object, location: location.clone() });
        NameServer {
            location,
            proxy: match timeout {
                None => proxy,
                Some(timeout) => proxy.with_timeout(timeout),
            },
            lab: None,
            host: None,
        }
    }

    /// The same, over TLS if `tls` is given.
    #[must_use]
    pub fn with_tls(mut self, tls: Option<ClientTls>) -> Self {
        self.set_tls(tls);
        self
    }

    /// Replaces the TLS settings of the next connections.
    pub fn set_tls(&mut self, tls: Option<ClientTls>) {
        self.proxy.settings.tls = tls;
    }

    /// The same, with a login in its lab if `login` is given.
    #[must_use]
    pub fn with_login(mut self, login: Option<ClientLogin>) -> Self {
        self.proxy.settings.login = login;
        self
    }

    /// The same, for [leases](Self::renew_leases) in the nameserver of the lab with this id only:
    /// one of another lab, which has the port, refuses them.
    #[must_use]
    pub fn of_lab(self, lab: Option<String>) -> Self {
        NameServer { lab, ..self }
    }

    /// The same, for [leases](Self::renew_leases) of this host, where several nameservers share one
    /// directory.
    #[must_use]
    pub fn of_host(self, host: Option<String>) -> Self {
        NameServer { host, ..self }
    }

    /// The nameserver's address.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The address of this host from which the nameserver is reached; `None` while there is no
    /// connection.
    pub fn local_ip(&self) -> Option<IpAddr> {
        self.proxy.connected.as_ref().and_then(|connected| connected.connection.local_ip())
    }

    /// Whether the nameserver is connected, and on this host.
    pub fn is_here(&self) -> bool {
        self.proxy.connected.as_ref().is_some_and(|connected| connected.connection.leads_here())
    }

    /// The URI of a name.
    ///
    /// # Errors
    /// `NamingError` for an unknown name; other [`Error`]s as by [`Proxy::call`].
    pub async fn lookup(&mut self, name: &str) -> Result<Uri, Error> {
        let answer = self.proxy.call("lookup", vec![name.into()], Vec::new()).await?;
        Uri::from_value(&answer).ok_or_else(|| bad_answer("lookup", "not a URI"))
    }

    /// The URI of a name, with its sorted metadata tags.
    ///
    /// # Errors
    /// As [`NameServer::lookup`].
    pub async fn lookup_with_tags(&mut self, name: &str) -> Result<(Uri, Vec<String>), Error> {
        let answer = self.proxy.call("lookup", vec![name.into(), true.into()], Vec::new()).await?;
        let entry = match answer.as_list() {
            Some([uri, tags]) => Uri::from_value(uri).zip(sorted_tags(tags)),
            _ => None,
        };
        entry.ok_or_else(|| bad_answer("lookup", "not (URI, metadata)"))
    }

    /// Registers `name`, replacing an earlier registration.
    ///
    /// # Errors
    /// `NamingError` for a refused name; other [`Error`]s as by [`Proxy::call`].
    pub async fn register(
        &mut self,
        name: &str,
        uri: &Uri,
        metadata: &[String],
    ) -> Result<(), Error> {
        self.register_with(name, uri, metadata, false).await
    }

    /// Registers `name` if it is free.
    ///
    /// # Errors
    /// `NamingError` for a name that is taken; otherwise as [`NameServer::register`].
    pub async fn register_new(
        &mut self,
        name: &str,
        uri: &Uri,
        metadata: &[String],
    ) -> Result<(), Error> {
        self.register_with(name, uri, metadata, true).await
    }

    async fn register_with(
        &mut self,
        name: &str,
        uri: &Uri,
        metadata: &[String],
        safe: bool,
    ) -> Result<(), Error> {
        let args = vec![name.into(), uri.to_string().into()];
        let kwargs = vec![
            ("safe".to_owned(), Value::Bool(safe)),
            ("metadata".to_owned(), tag_set(metadata)),
        ];
        self.proxy.call("register", args, kwargs).await.map(drop)
    }

    /// Replaces the metadata tags of a name.
    ///
    /// # Errors
    /// `NamingError` for an unknown name; other [`Error`]s as by [`Proxy::call`].
    pub async fn set_metadata(&mut self, name: &str, metadata: &[String]) -> Result<(), Error> {
        let args = vec![name.into(), tag_set(metadata)];
        self.proxy.call("set_metadata", args, Vec::new()).await.map(drop)
    }

    /// Removes a name; true if it existed.
    ///
    /// # Errors
    /// As [`Proxy::call`].
    pub async fn remove(&mut self, name: &str) -> Result<bool, Error> {
        let removed = self.proxy.call("remove", vec![name.into()], Vec::new()).await?;
        Ok(removed.as_i64() == Some(1))
    }

    /// Removes a name if it points to `uri`; true if it did.
    ///
    /// # Errors
    /// What the nameserver refuses; [`Error`] for the way there.
    pub async fn remove_own(&mut self, name: &str, uri: &Uri) -> Result<bool, Error> {
        match self.lookup(name).await {
            Ok(known) if known == *uri => self.remove(name).await,
            // It points elsewhere, or does not exist.
            Ok(_) | Err(Error::Remote(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The registrations whose names begin with `prefix`; all if it is `None`.
    ///
    /// # Errors
    /// As [`Proxy::call`].
    pub async fn list(&mut self, prefix: Option<&str>) -> Result<Vec<Registration>, Error> {
        self.query("list", "prefix", prefix.into()).await
    }

    /// The registrations whose names match the regular expression `regex` at their beginning.
    ///
    /// # Errors
    /// `NamingError` for an invalid expression; other [`Error`]s as by [`Proxy::call`].
    pub async fn matching(&mut self, regex: &str) -> Result<Vec<Registration>, Error> {
        self.query("list", "regex", regex.into()).await
    }

    /// The registrations with all of `tags`.
    ///
    /// # Errors
    /// As [`Proxy::call`].
    pub async fn with_tags(&mut self, tags: &[String]) -> Result<Vec<Registration>, Error> {
        self.query("yplookup", "meta_all", tag_list(tags)).await
    }

    /// The registrations with at least one of `tags`.
    ///
    /// # Errors
    /// As [`Proxy::call`].
    pub async fn with_any_tag(&mut self, tags: &[String]) -> Result<Vec<Registration>, Error> {
        self.query("yplookup", "meta_any", tag_list(tags)).await
    }

    /// The registrations that a replica of a shared directory hides, because their hosts are away:
    /// those that begin with `prefix`, or match the regular expression `regex`. Other nameservers
    /// hide no registrations.
    ///
    /// # Errors
    /// As [`NameServer::matching`].
    pub async fn hidden(
        &mut self,
        prefix: Option<&str>,
        regex: Option<&str>,
    ) -> Result<Vec<Registration>, Error> {
        const METHOD: &str = "list_hidden";
        if !self.proxy.metadata().await?.methods.iter().any(|method| method == METHOD) {
            return Ok(Vec::new());
        }
        match regex {
            Some(regex) => self.query(METHOD, "regex", regex.into()).await,
            None => self.query(METHOD, "prefix", prefix.into()).await,
        }
    }

    /// Removes a hidden registration for ever; true if it existed.
    ///
    /// # Errors
    /// As [`Proxy::call`].
    pub async fn remove_hidden(&mut self, name: &str) -> Result<bool, Error> {
        let removed = self.proxy.call("remove_hidden", vec![name.into()], Vec::new()).await?;
        Ok(removed.as_i64() == Some(1))
    }

    async fn query(
        &mut self,
        method: &'static str,
        filter: &str,
        value: Value,
    ) -> Result<Vec<Registration>, Error> {
        let kwargs = vec![(filter.to_owned(), value), ("return_metadata".to_owned(), true.into())];
        let answer = self.proxy.call(method, Vec::new(), kwargs).await?;
        registrations(method, answer)
    }

    /// Checks that the nameserver answers.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn ping(&mut self) -> Result<(), Error> {
        self.proxy.call("ping", Vec::new(), Vec::new()).await.map(drop)
    }
}

/// Registration of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The name.
    pub name: String,
    /// The URI, as it was registered.
    pub uri: String,
    /// The metadata tags, sorted.
    pub metadata: Vec<String>,
}

/// Metadata tags for the wire.
pub(super) fn tag_set(tags: &[String]) -> Value {
    match tags {
        // Serpent cannot write an empty set.
        [] => Value::None,
        tags => Value::Set(tags.iter().map(|tag| Value::from(tag.as_str())).collect()),
    }
}

fn tag_list(tags: &[String]) -> Value {
    Value::List(tags.iter().map(Value::from).collect())
}

fn sorted_tags(metadata: &Value) -> Option<Vec<String>> {
    let mut tags: Vec<String> = match metadata {
        Value::Set(tags) | Value::FrozenSet(tags) => {
            tags.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        other => other.as_list()?.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
    };
    tags.sort();
    Some(tags)
}

fn registrations(operation: &'static str, answer: Value) -> Result<Vec<Registration>, Error> {
    let Value::Dict(answer) = answer else {
        return Err(bad_answer(operation, "not a dict"));
    };
    answer
        .into_iter()
        .map(|(name, entry)| {
            registration(&name, &entry)
                .ok_or_else(|| bad_answer(operation, "an entry is not (URI, metadata)"))
        })
        .collect()
}

fn registration(name: &Value, entry: &Value) -> Option<Registration> {
    let [uri, metadata] = entry.as_list()? else { return None };
    let metadata = sorted_tags(metadata)?;
    Some(Registration { name: name.as_str()?.to_owned(), uri: uri.as_str()?.to_owned(), metadata })
}

pub(super) fn bad_answer(operation: &'static str, reason: &str) -> Error {
    Error::Nameserver { operation, reason: reason.to_owned() }
}

impl Registration {
    /// The value of a nameserver's dict: `(uri, {tags})`.
    pub fn to_value(&self) -> Value {
        Value::Tuple(vec![
            self.uri.as_str().into(),
            Value::Set(self.metadata.iter().map(|tag| Value::from(tag.as_str())).collect()),
        ])
    }
}
