//! The object `ferrolab.Lab` at a nameserver's port: the lab as other hosts see it. It only reads.
//!
//! | method | result |
//! |---|---|
//! | `listing()` | the supervisor's listing, as `ferrolab ps --json` prints it |
//! | `values()` | `series`: latest values; `away`: silent daemons with reasons; `now`: the time |
//!
//! Where the lab has rules of access, a client gets what it may look at (the role `view`).

use std::sync::Arc;
use std::time::SystemTime;

use remote::access::AccessKind;
use remote::{
    AccessGate, Answer, Dict, Exception, Metadata, Object, Operation, Reply, Request, Session,
    Signature, Value,
};

use super::data::to_value;
use super::source::{LabCopy, LabSource, LabValues};
use crate::daemon_keys::DaemonKeys;
use crate::host::feed::event::{property, unix_seconds};
use crate::supervise::control::{LAB_ITSELF, Listing, Visible};

/// The object's id. No directory names it.
pub(crate) const LAB_OBJECT: &str = "ferrolab.Lab";

/// The object. Clones share the last answers.
#[derive(Clone)]
pub(crate) struct LabObject {
    lab: Arc<LabCopy>,
    access: Arc<AccessGate>,
}

impl LabObject {
    pub(crate) fn new(source: LabSource, access: Arc<AccessGate>) -> Self {
        LabObject { lab: Arc::new(LabCopy::new(source)), access }
    }

    /// Calls daemons with these keys from now on.
    pub(crate) fn set_keys(&self, keys: DaemonKeys) {
        self.lab.set_keys(keys);
    }

    fn client<'a>(&'a self, session: &'a Session) -> Client<'a> {
        Client { access: &self.access, session }
    }

    async fn listing(self, session: Arc<Session>) -> Result<Reply, Exception> {
        let listing = self.lab.listing().await.map_err(unreadable)?;
        let mut seen = listing.visible_to(&self.client(&session));
        // Files of this host are no business of others.
        for lab in &mut seen.labs {
            lab.hide_files();
        }
        let json = serde_json::to_value::<Listing>(seen).map_err(|error| {
            Exception::new("builtins.RuntimeError", format!("it cannot be shown: {error}"))
        })?;
        Ok(Reply::from(to_value(json)))
    }

    async fn values(self, session: Arc<Session>) -> Result<Reply, Exception> {
        let values = self.lab.values().await.map_err(unreadable)?;
        let LabValues { series, away } = &*values;
        let client = self.client(&session);
        let seen = series.iter().filter(|row| client.shows_value(&row.service, &row.sample.member));
        let away = away.iter().filter(|(daemon, _)| client.shows_process(daemon));
        let mut reasons = Dict::new();
        for (daemon, reason) in away {
            reasons.insert(daemon.as_str(), reason.as_str());
        }
        let mut dict = Dict::with_capacity(3);
        dict.insert("now", unix_seconds(SystemTime::now()));
        dict.insert("series", Value::List(seen.map(|row| row.to_value()).collect()));
        dict.insert("away", Value::Dict(reasons));
        Ok(Reply::from(Value::Dict(dict)))
    }
}

/// A client, by the lab's rules of access.
struct Client<'a> {
    access: &'a AccessGate,
    session: &'a Session,
}

impl Client<'_> {
    fn may(&self, id: &str, member: &str, kind: AccessKind) -> bool {
        self.access.may(self.session, id, member, kind)
    }
}

impl Visible for Client<'_> {
    fn shows_lab(&self) -> bool {
        self.shows_process(LAB_ITSELF)
    }

    fn shows_process(&self, name: &str) -> bool {
        self.may(name, "", AccessKind::Describe)
    }

    fn shows_service(&self, name: &str) -> bool {
        self.may(name, "", AccessKind::Describe)
    }

    fn shows_value(&self, service: &str, member: &str) -> bool {
        self.may(service, property(member), AccessKind::Read)
    }
}

impl Object for LabObject {
    fn metadata(&self) -> Result<Metadata, Exception> {
        Ok(Metadata::methods(["listing", "values"]))
    }

    fn is_internal(&self) -> bool {
        true
    }

    /// Each row is checked by itself.
    fn checks_access(&self) -> bool {
        true
    }

    fn call(&self, session: &Arc<Session>, request: Request) -> Answer {
        const LISTING: Signature = Signature::empty("Lab.listing");
        const VALUES: Signature = Signature::empty("Lab.values");
        let (object, session) = (self.clone(), Arc::clone(session));
        match request.operation {
            Operation::Call(call) if call.method == "listing" => match LISTING.bind(call) {
                Ok([]) => Answer::Pending(Box::pin(object.listing(session))),
                Err(exception) => Answer::exception(exception),
            },
            Operation::Call(call) if call.method == "values" => match VALUES.bind(call) {
                Ok([]) => Answer::Pending(Box::pin(object.values(session))),
                Err(exception) => Answer::exception(exception),
            },
            other => Answer::exception(other.unexposed()),
        }
    }
}

fn unreadable(reason: String) -> Exception {
    Exception::new("builtins.ConnectionError", format!("this lab cannot be read now: {reason}"))
}
