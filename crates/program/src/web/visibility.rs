//! Visibility of the lab for a client of this server, by the rules of `access`.
//!
//! This process reads the daemons for all its clients, so it decides what each of them is shown. A
//! browser that has logged in has the role of its user, all others that of their address. Calls,
//! sets and locks are decided by the daemons, as with every client.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use lab_config::Access;
use remote::access::{AccessKind, Decision, Rights};
use serde_json::Value as Json;

use super::server::ClientAddress;
use super::sessions::BrowserSession;
use crate::access::{AccessClient, LabAccess, UserTable};
use crate::host::feed::event::property;
use crate::metrics::Snapshot;
use crate::supervise::control::{LAB_ITSELF, Listing, Visible};

/// The rules of this server; none without `access`.
pub(super) struct VisibilityRules(RwLock<Option<Arc<LabAccess>>>);

/// The part of the lab that one client may see.
pub(super) struct Visibility {
    client: AccessClient,
    /// None where it may see everything.
    limits: Option<Limits>,
}

/// Rights of a client that may not see everything.
struct Limits {
    rules: Arc<LabAccess>,
    /// By service, as far as they have been asked for.
    rights: Mutex<HashMap<String, Arc<Rights>>>,
}

impl VisibilityRules {
    pub(super) fn new(access: Option<&Access>, users: &Arc<UserTable>) -> Self {
        let rules = VisibilityRules(RwLock::default());
        rules.change(access, users);
        rules
    }

    /// Applies these rules from now on.
    pub(super) fn change(&self, access: Option<&Access>, users: &Arc<UserTable>) {
        let rules = access.map(|access| Arc::new(LabAccess::new(access, Arc::clone(users))));
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// The visibility for a client by the rules as they are now.
    pub(super) fn of(&self, client: AccessClient) -> Visibility {
        let rules = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        let rules = rules.filter(|rules| !rules.shows_all(&client));
        let limits = rules.map(|rules| Limits { rules, rights: Mutex::default() });
        Visibility { client, limits }
    }
}

/// A client by its address and its session.
pub(super) fn client(
    address: Option<&ClientAddress>,
    session: Option<&BrowserSession>,
) -> AccessClient {
    let session = session.filter(|session| session.login_token().is_some());
    let is_local = address.is_some_and(|client| client.is_local);
    let ip = address.map(|client| client.address.ip().to_string()).unwrap_or_default();
    let address = if is_local { "localhost".to_owned() } else { ip };
    AccessClient { user: session.map(|session| session.user.clone()), address, is_local }
}

impl Visibility {
    /// The client.
    pub(super) fn client(&self) -> &AccessClient {
        &self.client
    }

    /// Whether it may see processes, problems and the log of the lab itself, and other labs: no
    /// grant here is for a service of another one.
    pub(super) fn shows_lab(&self) -> bool {
        self.shows_service(LAB_ITSELF)
    }

    /// Whether it may see a service.
    pub(super) fn shows_service(&self, service: &str) -> bool {
        self.may(service, "", AccessKind::Describe)
    }

    /// Whether it may see a line of a log: of a service, or of the lab itself for "".
    pub(super) fn shows_line(&self, service: &str) -> bool {
        if service.is_empty() { self.shows_lab() } else { self.shows_service(service) }
    }

    /// Whether it may see a value: of a member, or a part of its value.
    pub(super) fn shows_value(&self, service: &str, member: &str) -> bool {
        self.may(service, property(member), AccessKind::Read)
    }

    /// Whether there is nothing in a lab that it may see.
    pub(super) fn shows_nothing(&self, listing: &Listing) -> bool {
        self.limits.is_some()
            && !self.shows_lab()
            && !listing.services.iter().any(|row| self.shows_service(&row.name))
    }

    fn may(&self, service: &str, member: &str, kind: AccessKind) -> bool {
        let Some(limits) = &self.limits else { return true };
        let mut known = limits.rights.lock().unwrap_or_else(PoisonError::into_inner);
        let rights = match known.get(service) {
            Some(rights) => Arc::clone(rights),
            None => {
                let rights = Arc::new(limits.rules.rights(&self.client, service));
                known.insert(service.to_owned(), Arc::clone(&rights));
                rights
            }
        };
        rights.decide(member, kind) == Decision::Allowed
    }

    /// A listing without what it may not see.
    pub(super) fn listing(&self, listing: &Listing) -> Listing {
        if self.limits.is_none() {
            return listing.clone();
        }
        let mut shown = listing.visible_to(self);
        // The page shows other labs to those who may see this one as a whole.
        if !self.shows_lab() {
            shown.labs.clear();
        }
        shown
    }

    /// Takes what it may not see out of a snapshot for metrics.
    pub(super) fn limit_snapshot(&self, snapshot: &mut Snapshot) {
        if self.limits.is_some() {
            snapshot.listing = self.listing(&snapshot.listing);
            snapshot.calls.retain(|service, _| self.shows_service(service));
            snapshot.values.retain(|value| self.shows_value(&value.service, &value.member));
        }
    }

    /// Takes what it may not see out of the data of an answer or an event, by the keys that those
    /// have.
    pub(super) fn limit_json(&self, json: &mut Json) {
        let Json::Object(fields) = json else { return };
        if self.limits.is_none() {
            return;
        }
        for (key, value) in fields {
            match (key.as_str(), value) {
                ("services", Json::Array(rows)) => {
                    rows.retain_mut(|row| self.limit_service(row));
                }
                ("values" | "alarms", Json::Array(rows)) => {
                    rows.retain(|row| self.shows_value(text(row, "service"), text(row, "member")));
                }
                ("calls" | "ended" | "lines", Json::Array(rows)) => {
                    rows.retain(|row| self.shows_line(text(row, "service")));
                }
                ("locks", Json::Object(locks)) => {
                    locks.retain(|service, _| self.shows_service(service));
                }
                ("removed", Json::Object(removed)) => {
                    for (kind, names) in removed.iter_mut() {
                        let Json::Array(names) = names else { continue };
                        names.retain(|name| match kind.as_str() {
                            "services" => self.shows_service(name.as_str().unwrap_or_default()),
                            _ => self.shows_lab(),
                        });
                    }
                }
                (
                    "nameservers" | "daemons" | "processes" | "problems" | "labs",
                    Json::Array(rows),
                ) if !self.shows_lab() => {
                    rows.clear();
                }
                _ => {}
            }
        }
    }

    /// Takes the values that it may not see out of a service's row; whether it may see the service.
    pub(super) fn limit_service(&self, row: &mut Json) -> bool {
        let name = text(row, "name").to_owned();
        if let Some(Json::Array(series)) = row.get_mut("series") {
            series.retain(|one| self.shows_value(&name, text(one, "member")));
        }
        self.shows_service(&name)
    }

    /// The data of an event of the stream, with what it may see only; `None` where that is nothing.
    pub(super) fn event(&self, kind: &str, data: &Arc<str>) -> Option<Arc<str>> {
        if self.limits.is_none() {
            return Some(Arc::clone(data));
        }
        if kind == "labs" {
            return self.shows_lab().then(|| Arc::clone(data));
        }
        let rows = match kind {
            "sample" => Some("values"),
            "log" => Some("lines"),
            _ => None,
        };
        let mut json: Json = serde_json::from_str(data).ok()?;
        if let Some(key) = rows {
            json = serde_json::json!({ key: json });
        }
        self.limit_json(&mut json);
        if let Some(key) = rows {
            json = json.get_mut(key)?.take();
            if json.as_array().is_some_and(Vec::is_empty) {
                return None;
            }
        }
        Some(json.to_string().into())
    }
}

impl Visible for Visibility {
    fn shows_lab(&self) -> bool {
        Visibility::shows_lab(self)
    }

    /// The page shows processes as a part of the lab itself.
    fn shows_process(&self, _: &str) -> bool {
        Visibility::shows_lab(self)
    }

    fn shows_service(&self, name: &str) -> bool {
        Visibility::shows_service(self, name)
    }

    fn shows_value(&self, service: &str, member: &str) -> bool {
        Visibility::shows_value(self, service, member)
    }
}

fn text<'a>(row: &'a Json, key: &str) -> &'a str {
    row.get(key).and_then(Json::as_str).unwrap_or_default()
}
