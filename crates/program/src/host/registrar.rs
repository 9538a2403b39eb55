//! Registrations of a daemon's names, renewed for as long as the daemon runs.
//!
//! A nameserver that has forgotten names (a restart, a lost disk) gets them again with the next
//! pass; one that is away when the daemon starts gets them when it comes. In a nameserver that
//! knows leases the names lapse after [`LEASE`] without a renewal; from others the supervisor
//! removes them when the daemon has died. One name is the subject
//! of [`registered_name`](super::registered_name). Never keeps a daemon from serving.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lab_config::Service;
use py_worker::PartIds;
use remote::{
    ClientTls, ConnectError, Error, Exception, LeaseConflict, LeasedName, Location, NameServer,
    Takeover, Uri,
};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::host::address::address_for_nameserver;
use crate::host::nameserver_turns::{NameserverTurns, Turn};
use crate::host::registered_name::{Name, RegisteredName};
use crate::host::registration::{
    RegistrationOutcome, RegistrationReport, RegistrationState, UnleasedNames,
};

/// Time for one answer of a nameserver. With the pauses below, names are back within 5 s of a
/// nameserver's return, also of one whose host had lost its power.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Between two passes over a nameserver that has our names.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(2);
/// How long names stay without a renewal: two may wait for [`ANSWER_TIMEOUT`] in vain, and the
/// next one as long for its connection. Names of a dead host are gone within 15 s, the nameserver's
/// pause included.
const LEASE: Duration = Duration::from_secs(12);
const _: () = {
    let failed_renewals = 2 * (ANSWER_TIMEOUT.as_secs() + REGISTRATION_RETRY_INTERVAL.as_secs());
    assert!(
        LEASE.as_secs() > RENEWAL_INTERVAL.as_secs() + failed_renewals + ANSWER_TIMEOUT.as_secs()
    );
};
/// Names in one renewal, at most: with the longest description each, half of what a request holds.
const NAMES_PER_RENEWAL: usize = 500;
/// Between two tries while host and daemons start together,
const EAGER_RETRY: Duration = Duration::from_millis(50);
/// which is for so long,
const EAGER_TIME: Duration = Duration::from_secs(3);
/// and between two tries after that.
const REGISTRATION_RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Time to find out which holders of our names are dead, per pass: the daemon's other names wait.
const SEIZING: Duration = Duration::from_secs(1);
/// Time to remove the names at the end: the daemon's stop waits for it.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(2);

/// Reads the files with the TLS settings for a nameserver.
pub(super) type LoadTls = Arc<dyn Fn() -> Result<Option<ClientTls>, String> + Send + Sync>;

/// A nameserver to register with.
#[derive(Clone)]
pub(super) struct Target {
    /// Its name in the configuration.
    pub(super) name: String,
    pub(super) location: Location,
    /// Other nameservers of the same directory, for when this one does not answer.
    pub(super) replicas: Vec<Location>,
    /// TLS for it. A nameserver that starts at the same time may still be making its certificate.
    pub(super) tls: LoadTls,
    /// The id of the lab that it must belong to, if it must.
    pub(super) lab: Option<String>,
    /// The id of this lab among those whose nameservers share a directory.
    pub(super) host: Option<String>,
}

impl Target {
    /// The client of the nameserver with this number: the first, then its replicas.
    fn nameserver(&self, number: usize) -> NameServer {
        let replica = number.checked_sub(1).and_then(|number| self.replicas.get(number));
        let location = replica.unwrap_or(&self.location).clone();
        // The lab's id is for the lab's own nameserver only.
        let lab = self.lab.clone().filter(|_| replica.is_none());
        let nameserver = NameServer::at(location, Some(ANSWER_TIMEOUT));
        nameserver.of_lab(lab).of_host(self.host.clone())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The tags of services, by name.
pub(crate) type ServiceTags = BTreeMap<String, Vec<String>>;

/// The tags that services have in nameservers: their descriptions.
pub(super) fn service_tags(services: &[Service]) -> ServiceTags {
    let tags = |service: &Service| {
        let description = Some(service.description.clone());
        Vec::from_iter(description.filter(|description| !description.is_empty()))
    };
    services.iter().map(|service| (service.name.clone(), tags(service))).collect()
}

/// Starts to keep `names` registered, and to take back those that somebody else overwrites if
/// `reclaim` says so. The names of parts are kept wherever their service's name is; `tags` may
/// change. The receiver tells how it stands.
pub(crate) fn start(
    names: BTreeMap<String, (Target, Vec<Name>)>,
    parts: &watch::Receiver<PartIds>,
    tags: &watch::Receiver<ServiceTags>,
    reclaim: bool,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> watch::Receiver<RegistrationReport> {
    let pending = || RegistrationOutcome { state: RegistrationState::Pending, unleased: None };
    let (report, receiver) = watch::channel::<RegistrationReport>(
        names.keys().map(|name| (name.clone(), pending())).collect(),
    );
    for (target, names) in names.into_values() {
        let mut parts = parts.clone();
        parts.mark_changed();
        let registrar = Registrar {
            nameserver: target.nameserver(0),
            current: 0,
            turns: NameserverTurns::default(),
            target,
            has_tls: false,
            names: names.into_iter().map(RegisteredName::new).collect(),
            parts,
            tags: tags.clone(),
            part_names: BTreeSet::new(),
            gone: Vec::new(),
            reclaim,
            report: report.clone(),
        };
        tasks.spawn(registrar.run(stop.clone()));
    }
    receiver
}

/// The names of a daemon in one nameserver.
struct Registrar {
    target: Target,
    nameserver: NameServer,
    /// The number of the nameserver among the target's.
    current: usize,
    turns: NameserverTurns,
    /// Whether the client has its TLS settings.
    has_tls: bool,
    names: Vec<RegisteredName>,
    parts: watch::Receiver<PartIds>,
    tags: watch::Receiver<ServiceTags>,
    /// Those of `names` that are parts'.
    part_names: BTreeSet<String>,
    /// Names of parts that are there no longer, to be removed.
    gone: Vec<RegisteredName>,
    reclaim: bool,
    report: watch::Sender<RegistrationReport>,
}

impl Registrar {
    async fn run(mut self, stop: CancellationToken) {
        let started = Instant::now();
        loop {
            let Some(outcome) = stop.run_until_cancelled(self.renew_with_tls()).await else {
                break;
            };
            let pause = match (&outcome, started.elapsed() < EAGER_TIME) {
                (Ok(_), _) => RENEWAL_INTERVAL,
                (Err(_), true) => EAGER_RETRY,
                (Err(_), false) => REGISTRATION_RETRY_INTERVAL,
            };
            self.tell(outcome.unwrap_or_else(RegistrationState::Failed));
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                break;
            }
        }
        if tokio::time::timeout(REMOVAL_TIMEOUT, self.remove()).await.is_err() {
            warn!(nameserver = self.target.name, "no time to remove the names from the nameserver");
        }
    }

    /// Renews every name, after reading the TLS settings if they are not known, or have failed.
    async fn renew_with_tls(&mut self) -> Result<RegistrationState, String> {
        if !self.has_tls {
            self.nameserver.set_tls((self.target.tls)()?);
            self.has_tls = true;
        }
        let renewed = self.renew().await;
        if let Err(Error::Connect {
            source: ConnectError::Tls(_) | ConnectError::Refused(_), ..
        }) = renewed
        {
            // Its certificate, or ours, may be another one now.
            self.has_tls = false;
        }
        let turn = self.turns.after(renewed.as_ref().err(), self.target.replicas.len() + 1);
        renewed.map_err(|error| {
            let text = error.to_string();
            if let Some(turn) = turn {
                self.go_over(turn, &text);
            }
            text
        })
    }

    /// Goes over to the next nameserver of the directory.
    fn go_over(&mut self, turn: Turn, reason: &str) {
        let from = self.nameserver.location().clone();
        self.current = (self.current + 1) % (self.target.replicas.len() + 1);
        self.nameserver = self.target.nameserver(self.current);
        self.has_tls = false;
        let to = self.nameserver.location();
        let nameserver = &self.target.name;
        match turn.is_news {
            true => info!(nameserver, %from, %to, reason, "going over to another nameserver"),
            false => debug!(nameserver, %from, %to, reason, "trying on with another nameserver"),
        }
    }

    /// Renews every name; what to report if all went well.
    async fn renew(&mut self) -> Result<RegistrationState, Error> {
        self.follow_parts();
        self.follow_tags();
        let has_leases = self.nameserver.has_leases().await?;
        // While there is no connection, all stays as it was told last.
        if self.names.iter().any(RegisteredName::is_everywhere) {
            let address = address_for_nameserver(self.nameserver.local_ip());
            self.names.iter_mut().for_each(|name| name.move_to(address));
        }
        self.tell_unleased(!has_leases);
        let refused = match has_leases {
            true => self.renew_leases().await?,
            false => self.register_each().await?,
        };
        while let Some(name) = self.gone.last() {
            match remove_name(&mut self.nameserver, name).await {
                Ok(_) | Err(Error::Remote(_)) => drop(self.gone.pop()),
                Err(error) => return Err(error),
            }
        }
        if let Some(error) = refused {
            return Err(error);
        }
        let (title, now) = (&self.target.name, Instant::now());
        let names = self.names.iter();
        let texts: Vec<String> =
            names.filter_map(|name| name.contested(title, self.reclaim, now)).collect();
        Ok(if texts.is_empty() {
            RegistrationState::Registered
        } else {
            RegistrationState::Contested(texts.join("; "))
        })
    }

    /// Takes in the tags that the services have now.
    fn follow_tags(&mut self) {
        if !self.tags.has_changed().unwrap_or(false) {
            return;
        }
        let tags = self.tags.borrow_and_update();
        for name in &mut self.names {
            if let Some(tags) = tags.get(&name.name().name) {
                name.set_metadata(tags.clone());
            }
        }
    }

    /// Takes in the parts that the services have now.
    fn follow_parts(&mut self) {
        if !self.parts.has_changed().unwrap_or(false) {
            return;
        }
        let parts = self.parts.borrow_and_update().clone();
        let mut wanted: BTreeMap<String, Name> = BTreeMap::new();
        for registered in &self.names {
            let service = registered.name();
            let (Some(ids), Uri::Pyro { location, .. }) = (parts.get(&service.name), &service.uri)
            else {
                continue;
            };
            wanted.extend(ids.iter().map(|id| {
                let uri = Uri::Pyro { object: id.clone(), location: location.clone() };
                // Its address then changes with the service's.
                let uri = if registered.is_everywhere() { uri.everywhere() } else { uri };
                let metadata = vec![format!("Part of {}", service.name)];
                (id.clone(), Name { name: id.clone(), uri, metadata })
            }));
        }
        let gone = self.names.extract_if(.., |name| {
            let name = &name.name().name;
            let is_wanted = wanted.remove(name).is_some();
            !is_wanted && self.part_names.remove(name)
        });
        self.gone.extend(gone);
        self.gone.retain(|name| !wanted.contains_key(&name.name().name));
        self.part_names.extend(wanted.keys().cloned());
        self.names.extend(wanted.into_values().map(RegisteredName::new));
    }

    /// Renews the leases. A refusal of one name, or of one call, says nothing about the others: the
    /// first such error is returned when all are done.
    async fn renew_leases(&mut self) -> Result<Option<Error>, Error> {
        let mut refused = None;
        for names in self.names.chunks_mut(NAMES_PER_RENEWAL) {
            let leased: Vec<_> = names.iter().map(|name| name.leased(self.reclaim)).collect();
            let everywhere = names.iter().any(RegisteredName::is_everywhere);
            let renewing = renew_or_seize(&mut self.nameserver, names, &leased, everywhere);
            let conflicts = match renewing.await {
                Ok(conflicts) => conflicts,
                Err(error @ Error::Remote(_)) => {
                    refused = refused.or(Some(error));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let mut conflicts: BTreeMap<_, _> =
                conflicts.into_iter().map(|conflict| (conflict.name.clone(), conflict)).collect();
            for name in names {
                let conflict = conflicts.remove(&name.name().name);
                let wanted = conflict.as_ref().filter(|conflict| conflict.is_wanted);
                let rival = wanted.and_then(|conflict| conflict.theirs.clone());
                name.set_rival(&self.target.name, rival);
                let conflict = conflict.filter(|conflict| !conflict.is_wanted);
                let (theirs, error, holds) = conflict.map_or((None, None, false), |conflict| {
                    (conflict.theirs, conflict.error, conflict.is_held)
                });
                match error {
                    None => name.settle(&self.target.name, theirs, holds, self.reclaim),
                    Some(error) => {
                        let error = Error::Remote(Exception::naming_error(error));
                        refused = refused.or(Some(error));
                    }
                }
            }
        }
        Ok(refused)
    }

    /// The same with a nameserver that knows no leases.
    async fn register_each(&mut self) -> Result<Option<Error>, Error> {
        let mut refused = None;
        for name in &mut self.names {
            let registering = name.register(&self.target.name, &mut self.nameserver, self.reclaim);
            match registering.await {
                Ok(()) => {}
                Err(error @ Error::Remote(_)) => refused = refused.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        Ok(refused)
    }

    /// Removes the names that still point to this process.
    async fn remove(&mut self) {
        for name in &self.names {
            match remove_name(&mut self.nameserver, name).await {
                Ok(_) | Err(Error::Remote(_)) => {}
                // It does not answer. Leased names lapse; the supervisor removes the others.
                Err(_) => break,
            }
        }
    }

    /// Publishes what stays in the nameserver if this process dies.
    fn tell_unleased(&self, is_unleased: bool) {
        let unleased = match &self.target.location {
            Location::Tcp { host, port } if is_unleased => {
                let names = self.names.iter().map(RegisteredName::name);
                let names = names.map(|name| (name.name.clone(), name.uri.to_string()));
                Some(UnleasedNames { host: host.clone(), port: *port, names: names.collect() })
            }
            _ => None,
        };
        self.report.send_if_modified(|report| match report.get_mut(&self.target.name) {
            Some(standing) if standing.unleased != unleased => {
                standing.unleased = unleased;
                true
            }
            _ => false,
        });
    }

    /// Publishes the outcome of a pass, and logs it where it is news.
    fn tell(&self, state: RegistrationState) {
        let Target { name, location, .. } = &self.target;
        self.report.send_if_modified(|report| {
            let Some(standing) = report.get_mut(name) else { return false };
            let known = &standing.state;
            if *known == state {
                return false;
            }
            match (&state, known) {
                (RegistrationState::Failed(error), RegistrationState::Failed(_)) => {
                    debug!(nameserver = name, error, "still not registered");
                }
                (RegistrationState::Failed(error), _) => {
                    warn!(nameserver = name, %location, error, "cannot register; trying on");
                }
                (
                    RegistrationState::Registered | RegistrationState::Contested(_),
                    RegistrationState::Pending | RegistrationState::Failed(_),
                ) => {
                    info!(nameserver = name, %location, "registered");
                }
                _ => {}
            }
            standing.state = state;
            true
        });
    }
}

/// Removes a name if it still points to this process.
async fn remove_name(nameserver: &mut NameServer, name: &RegisteredName) -> Result<bool, Error> {
    let Name { name: title, uri, .. } = name.name();
    let removed = nameserver.remove_own(title, uri).await;
    match nameserver.local_ip() {
        // A nameserver of this host gives it with the address that it is asked at.
        Some(address) if name.is_everywhere() && matches!(removed, Ok(false)) => {
            let told = uri.clone().everywhere().reached_at(address);
            nameserver.remove_own(title, &told).await
        }
        _ => removed,
    }
}

/// Renews leases; names that a dead process still holds are seized.
async fn renew_or_seize(
    nameserver: &mut NameServer,
    names: &[RegisteredName],
    leased: &[LeasedName<'_>],
    everywhere: bool,
) -> Result<Vec<LeaseConflict>, Error> {
    let mut conflicts = nameserver.renew_leases(leased, LEASE, everywhere).await?;
    let deadline = Instant::now() + SEIZING;
    let mut seized = Vec::new();
    for conflict in conflicts.iter().filter(|conflict| conflict.is_held) {
        let Some(theirs) = &conflict.theirs else { continue };
        let Some(name) = names.iter().find(|name| name.name().name == conflict.name) else {
            continue;
        };
        // The names that are left wait for the end of their leases.
        if Instant::now() < deadline && name.may_seize(theirs).await {
            let Name { name, uri, metadata } = name.name();
            seized.push(LeasedName { name, uri, tags: metadata, takeover: Takeover::Seize });
        }
    }
    if !seized.is_empty() {
        conflicts.retain(|conflict| !seized.iter().any(|name| name.name == conflict.name));
        conflicts.extend(nameserver.renew_leases(&seized, LEASE, everywhere).await?);
    }
    Ok(conflicts)
}
