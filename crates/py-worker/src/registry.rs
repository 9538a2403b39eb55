//! The daemon, as workers need it: where it listens, and objects that come while it serves.
//!
//! Knows nothing of workers or sockets.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use remote::{Daemon, Listener, Location, Object, Uri, Value, public_address};
use tokio::sync::watch;

/// The daemon, as workers need it.
pub trait Registry: Send + Sync + 'static {
    /// Where the daemon listens, and its address beyond a router if it has one.
    fn location(&self) -> DaemonLocation;

    /// Serves `object` under `id`, as a part of the object `with`.
    ///
    /// # Errors
    /// The id is taken; the text says so.
    fn register(&self, id: &str, object: Arc<dyn Object>, with: Option<&str>)
    -> Result<(), String>;

    /// The methods that the object of that id has beside its own.
    fn added(&self, id: &str) -> Vec<String>;

    /// Ends the serving of the object of that id.
    fn unregister(&self, id: &str);

    /// Says which parts a service has: their ids are names in its nameservers, too.
    fn set_parts(&self, service: &str, ids: Vec<String>);
}

/// Where the objects of a daemon are, as URIs have it after their `@`.
#[derive(Clone, Debug)]
pub struct DaemonLocation {
    /// Where the daemon listens; of all addresses of this host, the one for others.
    pub location: String,
    /// Its address beyond a router, if it has one.
    pub nat_location: Option<String>,
    /// The port, where the daemon listens at all addresses: a client is told the one that it has
    /// reached.
    pub port_everywhere: Option<u16>,
}

/// Wrapper of an object that is to be served under an id.
pub(crate) type WrapObject = Box<dyn Fn(&str, Arc<dyn Object>) -> Arc<dyn Object> + Send + Sync>;

/// The registry of a daemon at one address, or at all addresses of this host.
pub struct DaemonObjects {
    daemon: Daemon,
    wrap: WrapObject,
    location: Location,
    nat_location: Option<String>,
    parts: watch::Sender<PartIds>,
}

/// The ids of parts, by service.
pub type PartIds = BTreeMap<String, Vec<String>>;

impl DaemonObjects {
    /// The objects of `daemon`, which serves at `listener`; each is passed through `wrap` first.
    pub fn new(daemon: &Daemon, listener: &Listener, wrap: WrapObject) -> Arc<Self> {
        let location = listener.location().clone();
        let public = match daemon.uri_for("", listener) {
            Uri::Pyro { location, .. } => location,
            Uri::PyroName { .. } | Uri::PyroMeta { .. } => location.clone(),
        };
        let nat_location = (public != location).then(|| in_a_uri(public));
        let parts = watch::Sender::new(PartIds::new());
        Arc::new(DaemonObjects { daemon: daemon.clone(), wrap, location, nat_location, parts })
    }

    /// The parts that services have, now and whenever that changes.
    pub fn parts(&self) -> watch::Receiver<PartIds> {
        self.parts.subscribe()
    }
}

/// A location as URIs have it after their `@`.
fn in_a_uri(location: Location) -> String {
    let uri = Uri::Pyro { object: String::new(), location };
    let host = if uri.is_everywhere() { public_address() } else { None };
    let uri = uri.reached_at(host.unwrap_or(Ipv4Addr::LOCALHOST.into())).to_string();
    uri.split_once('@').map(|(_, place)| place.to_owned()).unwrap_or_default()
}

impl Registry for DaemonObjects {
    fn location(&self) -> DaemonLocation {
        let port_everywhere = match &self.location {
            Location::Tcp { port, .. } if self.location.is_everywhere() => Some(*port),
            _ => None,
        };
        let (location, nat_location) = (in_a_uri(self.location.clone()), self.nat_location.clone());
        DaemonLocation { location, nat_location, port_everywhere }
    }

    fn register(
        &self,
        id: &str,
        object: Arc<dyn Object>,
        with: Option<&str>,
    ) -> Result<(), String> {
        let object = (self.wrap)(id, object);
        let registered = match with {
            Some(with) => self.daemon.register_part(id, object, with),
            None => self.daemon.register(id, object),
        };
        registered.map_err(|error| error.to_string())
    }

    fn added(&self, id: &str) -> Vec<String> {
        self.daemon.lock_methods(id).iter().map(|name| (*name).to_owned()).collect()
    }

    fn unregister(&self, id: &str) {
        self.daemon.unregister(id);
    }

    fn set_parts(&self, service: &str, ids: Vec<String>) {
        self.parts.send_if_modified(|parts| match parts.get(service) {
            Some(known) if *known == ids => false,
            None if ids.is_empty() => false,
            _ => {
                parts.insert(service.to_owned(), ids);
                true
            }
        });
    }
}

pub(crate) fn added(methods: Vec<String>) -> Value {
    Value::List(methods.into_iter().map(Value::from).collect())
}
