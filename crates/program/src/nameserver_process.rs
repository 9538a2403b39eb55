//! The nameserver process: the nameserver of an entry of the configuration, under the supervisor.
//!
//! Owns how a nameserver starts and what it tells its supervisor. The rest is the crate
//! `nameserver`'s.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lab_config::{Access, Etcd, Host, Nameserver, Storage};
use nameserver::autoclean::{self, Patience};
use nameserver::registry::LastKnownFile;
use nameserver::{NameServerObject, Store, broadcast, leases};
use remote::{Daemon, DaemonConfig, Limits, Location, NAMESERVER_NAME, ServerType, Uri};
use serde::{Deserialize, Serialize};
use supervisor::Lifeline;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::access::{LOGIN_OBJECT, LoginObject, UserTable, rules};
use crate::audit::{Audit, AuditPlace};
use crate::authority::AuthorityFiles;
use crate::host::address::{
    self, ADDRESS_INTERVAL, address_of, public_address_for, unreachable_warning, uri_for_people,
};
use crate::host::{self, ChildReport, DaemonMessage, DaemonOrder, local_address, named_host};
use crate::labs::{LAB_OBJECT, LabObject, LabSource};
use crate::paths::last_known_names;
use crate::tls::{self, CertificateStanding, PortTls};
use crate::{files, os, state_file};
use outbound::etcd::EtcdRegistry;

/// A nameserver accepts every tag that a configuration may have.
const _: () = assert!(lab_config::LONGEST_TAG <= nameserver::MAX_TAG_BYTES);

/// Connections that a nameserver serves at once; they are many and idle.
const CONNECTIONS: usize = 10_000;
/// Bytes of answers that its clients have not read yet: eight of the largest.
const UNREAD: usize = 256 * 1024 * 1024;
/// Bytes of a request, compressed or not: a batch that registers a hundred thousand names has
/// somewhat less.
const REQUEST: usize = 16 * 1024 * 1024;
/// Bytes of the file with the last known names: ten times that of a hundred thousand.
const MAX_NAMES_FILE: u64 = 64 * 1024 * 1024;
/// Bytes of an answer: what `limits` allows, and what is around it.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// Assignment of a nameserver process: one line of JSON on its standard input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct NameserverAssignment {
    pub(crate) config: Nameserver,
    /// Database for `storage: sql` without a file.
    pub(crate) database: PathBuf,
    /// The lab's certificate authority.
    #[serde(default)]
    pub(crate) authority: AuthorityFiles,
    /// Where the lab's users are; a supervisor of an earlier release does not say.
    #[serde(default)]
    pub(crate) users: Option<PathBuf>,
    /// The id of the lab.
    #[serde(default)]
    pub(crate) lab: Option<String>,
    /// Where its audit is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) audit: Option<AuditPlace>,
    /// Roles of clients; everybody may change every name if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) access: Option<Access>,
    /// Where it reads the lab for other hosts; a supervisor of an earlier release does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<LabSource>,
}

/// Runs a nameserver until its supervisor says stop.
///
/// # Errors
/// What keeps it from serving, in words for a person.
pub(crate) async fn run(
    assignment: NameserverAssignment,
    lifeline: &Lifeline,
) -> Result<(), String> {
    let NameserverAssignment {
        config,
        database,
        authority,
        users,
        lab: lab_id,
        audit,
        access,
        source,
    } = assignment;
    let port_tls =
        tls::of_port(config.tls(), &authority, &Vec::from_iter(named_host(&config.host)))?;
    let listener =
        address::bind(&config.host, config.port).await.map_err(|error| error.to_string())?;
    let (store, set_aside) = open(&config, &database, listener.location())?;
    let store = Arc::new(store);
    let allowed = os::Connections::allowed(1);
    let daemon = Daemon::new(DaemonConfig {
        name: config.name.clone(),
        server_type: ServerType::Thread,
        threadpool_size: CONNECTIONS,
        connections: Some(allowed.served),
        handshakes: allowed.handshakes,
        handshakes_per_address: allowed.handshakes_per_address,
        answer_memory: Some(UNREAD),
        max_answer: Some(MAX_ANSWER_BYTES),
        tls: port_tls.as_ref().map(PortTls::server),
        limits: Limits { message: REQUEST, inflated: REQUEST, ..Limits::default() },
        ..DaemonConfig::default()
    });
    let uri = daemon.uri_for(NAMESERVER_NAME, &listener);
    register_itself(&store, &uri.to_string()).await?;
    daemon.set_access(access.map(|access| rules(&access, [])));
    let (audit, _audit_end) = host::begin_name_audit(&daemon, audit.as_ref()).unzip();
    let object = NameServerObject::new(Arc::clone(&store))
        .of_lab(lab_id.clone())
        .of_host(lab_id.as_deref().map(host::shared_id), public_address_for(&uri))
        .with_access(daemon.access_gate());
    daemon.register(NAMESERVER_NAME, Arc::new(object)).map_err(|error| error.to_string())?;

    if let (Some(folder), Some(lab)) = (&users, &lab_id) {
        let login = LoginObject::new(folder.clone(), lab, audit.clone());
        daemon.register(LOGIN_OBJECT, Arc::new(login)).map_err(|error| error.to_string())?;
    }

    let shown = source.map(|source| LabObject::new(source, daemon.access_gate()));
    if let Some(object) = &shown {
        let object = Arc::new(object.clone());
        daemon.register(LAB_OBJECT, object).map_err(|error| error.to_string())?;
    }

    let (discovery, undiscovered) = answer_searches(&config, listener.location(), &store);
    let _discovery = discovery.map(AbortOnDropHandle::new);
    let _leases = AbortOnDropHandle::new(tokio::spawn(leases::run(Arc::clone(&store))));
    let _cleaner = config.autoclean.map(|period| {
        let cleaning = autoclean::run(Arc::clone(&store), period, Patience::default());
        AbortOnDropHandle::new(tokio::spawn(cleaning))
    });
    let users = users.map(|folder| UserTable::open(folder).serve(&daemon));
    let _users = users.map(|users| AbortOnDropHandle::new(tokio::spawn(users)));
    let address = local_address(&listener);
    let standing: Vec<String> = set_aside.into_iter().chain(undiscovered).collect();
    let certificate = tls::follow(port_tls);
    let certificate_changes = certificate.clone();
    let (answered, answers) = watch::channel(0_u64);
    let obeying = obey(lifeline.clone(), daemon.clone(), shown, answered);
    let _orders = AbortOnDropHandle::new(tokio::spawn(obeying));
    let last_answer = answers.clone();
    let report = move |trouble: Option<String>| {
        let public = public_address_for(&uri);
        let of_audit = audit.as_ref().and_then(Audit::trouble);
        let CertificateStanding { expires: certificate_expires, trouble: of_certificate } =
            certificate.borrow().clone();
        let troubles = trouble.into_iter().chain(unreachable_warning(&uri, public));
        let troubles = troubles.chain(of_audit).chain(of_certificate);
        let warnings: Vec<String> = standing.iter().cloned().chain(troubles).collect();
        let warning = (!warnings.is_empty()).then(|| warnings.join("; "));
        let (uri, address) = (Some(uri_for_people(&uri, public)), Some(address.clone()));
        let answered = Some(*last_answer.borrow());
        ChildReport {
            uri,
            address,
            warning,
            certificate_expires,
            answered,
            ..ChildReport::default()
        }
    };
    let first = report(None);
    lifeline.ready(first.to_json());
    let follows_addresses = daemon.uri_for(NAMESERVER_NAME, &listener).is_everywhere();
    let changes = (store.trouble(), answers, certificate_changes);
    let following = follow(lifeline.clone(), changes, follows_addresses, report, first);
    let _reporter = AbortOnDropHandle::new(tokio::spawn(following));
    daemon.serve(listener, lifeline.stopping()).await;
    store.close().await;
    Ok(())
}

/// Obeys the supervisor's orders: rules of access are taken up without a restart, which would lose
/// names in memory. The number of the last order goes into `answered`.
async fn obey(
    lifeline: Lifeline,
    daemon: Daemon,
    shown: Option<LabObject>,
    answered: watch::Sender<u64>,
) {
    let Some(mut messages) = lifeline.take_messages() else { return };
    while let Some(message) = messages.recv().await {
        let number = message.get("number").and_then(serde_json::Value::as_u64).unwrap_or_default();
        match serde_json::from_value(message) {
            Ok(DaemonMessage { order: DaemonOrder::ChangeAccess { access, keys }, .. }) => {
                daemon.set_access(access.map(|access| rules(&access, [])));
                if let Some((shown, keys)) = shown.as_ref().zip(keys) {
                    shown.set_keys(*keys);
                }
            }
            Ok(DaemonMessage { .. }) => warn!("an order of the supervisor is for daemons"),
            Err(error) => warn!(%error, "an order of the supervisor is not understood"),
        }
        answered.send_replace(number);
    }
}

/// Reports every change: troubles of the store, answers to orders, the certificate, and addresses
/// of this host where they count.
async fn follow(
    lifeline: Lifeline,
    (mut trouble, mut answers, mut certificate): (
        Option<watch::Receiver<Option<String>>>,
        watch::Receiver<u64>,
        watch::Receiver<CertificateStanding>,
    ),
    follows_addresses: bool,
    report: impl Fn(Option<String>) -> ChildReport,
    mut last: ChildReport,
) {
    let mut look = tokio::time::interval(ADDRESS_INTERVAL);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let changed = async {
            match &mut trouble {
                Some(trouble) => trouble.changed().await.is_ok(),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            goes_on = changed => if !goes_on { return },
            answered = answers.changed() => if answered.is_err() { return },
            changed = certificate_news(&mut certificate) => changed,
            _ = look.tick(), if follows_addresses => {}
        }
        let known = trouble.as_mut().and_then(|trouble| trouble.borrow_and_update().clone());
        let next = report(known);
        if next != last {
            lifeline.status(next.to_json());
            last = next;
        }
    }
}

/// Waits for a change of the port's certificate; for ever where it has none.
async fn certificate_news(certificate: &mut watch::Receiver<CertificateStanding>) {
    if certificate.changed().await.is_err() {
        std::future::pending().await
    }
}

/// Opens the store; second, what became of a database that was corrupt.
fn open(
    config: &Nameserver,
    database: &Path,
    location: &Location,
) -> Result<(Store, Option<String>), String> {
    let failed = |error: String| format!("nameserver '{}': {error}", config.name);
    let file = match &config.storage {
        Storage::Memory => return Ok((Store::memory(), None)),
        Storage::Sql(None) => database,
        Storage::Sql(Some(file)) => file,
        Storage::Etcd => {
            let etcd = config.etcd.as_ref().ok_or_else(|| failed("no etcd is named".into()))?;
            let registry = EtcdRegistry::new(etcd).map_err(failed)?;
            // Each process is another replica: the announcements of the last one end by themselves.
            let id = uuid::Uuid::new_v4().to_string();
            let uri = Uri::Pyro { object: NAMESERVER_NAME.to_owned(), location: location.clone() };
            let address = uri_for_people(&uri, public_address_for(&uri));
            info!(replica = id, prefix = etcd.prefix, "serves names that etcd keeps");
            let file = NamesFile { path: last_known_names(database), etcd: etcd.clone() };
            // Of a nameserver that was killed while it wrote.
            files::sweep(&file.path);
            let store = Store::shared(Arc::new(registry), (id, address), Some(Arc::new(file)));
            return Ok((store, None));
        }
    };
    let opened = Store::open(file).map_err(|error| failed(error.to_string()))?;
    info!(file = %file.display(), names = opened.0.read().len(), "opened the database");
    Ok(opened)
}

/// File for the last known names of a directory on etcd.
struct NamesFile {
    path: PathBuf,
    etcd: Etcd,
}

impl LastKnownFile for NamesFile {
    fn directory(&self) -> String {
        let mut endpoints = self.etcd.endpoints.clone();
        endpoints.sort();
        format!("{} at {}", self.etcd.prefix.trim_end_matches('/'), endpoints.join(" "))
    }

    fn read(&self, parse: &mut dyn FnMut(&[u8]) -> Result<(), String>) -> Result<(), String> {
        let read = state_file::read_bytes_with(&self.path, MAX_NAMES_FILE, parse);
        read.map(drop).map_err(|unusable| unusable.to_string())
    }

    fn replace(&self, bytes: &[u8]) -> Result<(), String> {
        let length = bytes.len() as u64;
        if length > MAX_NAMES_FILE {
            let path = self.path.display();
            return Err(format!(
                "{path} would have {length} bytes, and at most {MAX_NAMES_FILE} are read"
            ));
        }
        let replaced = files::replace_private(&self.path, bytes);
        replaced.map_err(|error| format!("{error}: {}", error.source))
    }
}

/// As Pyro5's nameserver does. Where it was under another address before, that is replaced.
async fn register_itself(store: &Store, uri: &str) -> Result<(), String> {
    let metadata = BTreeSet::from(["class:Pyro5.nameserver.NameServer".to_owned()]);
    let change = nameserver::register(NAMESERVER_NAME.into(), uri.into(), false, metadata);
    let outcome = match change {
        Ok(change) => store.change(change).wait().await,
        Err(exception) => Err(exception),
    };
    outcome.map(drop).map_err(|exception| exception.message())
}

/// Starts answering searches of the network, where that is wanted and makes sense; second, why it
/// is wanted and does not work. A nameserver that cannot be found that way still serves.
fn answer_searches(
    config: &Nameserver,
    location: &Location,
    store: &Arc<Store>,
) -> (Option<tokio::task::JoinHandle<()>>, Option<String>) {
    let Location::Tcp { host, .. } = location else { return (None, None) };
    if !config.broadcast {
        return (None, None);
    }
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    if config.host.is_loopback() || address.is_some_and(|address| address.is_loopback()) {
        info!("not answering searches of the network: other hosts cannot reach localhost");
        return (None, None);
    }
    if address.is_some_and(|address| address.is_ipv6()) {
        info!("not answering searches of the network: IPv6 has no broadcast");
        return (None, None);
    }
    // Broadcasts come to no single address, so `public` is all of them.
    let bound = config.broadcast_host.as_ref().filter(|host| **host != Host::Public);
    let bound = bound.map(address_of);
    let port = config.broadcast_port;
    match broadcast::bind(bound.as_deref(), port) {
        Ok(socket) => {
            info!(port, "answering searches of the network");
            let store = Arc::clone(store);
            let serving = broadcast::serve(socket, location.clone(), move || store.is_stale());
            (Some(tokio::spawn(serving)), None)
        }
        Err(error) => {
            let shown = bound.as_deref().unwrap_or("all addresses");
            let told = format!(
                "searches of the network are not answered: cannot listen on UDP port {port} of \
                 {shown}: {error}; choose another `ns_bcport`"
            );
            warn!("{told}");
            (None, Some(told))
        }
    }
}
