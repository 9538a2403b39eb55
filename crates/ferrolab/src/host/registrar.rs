//! Keeps a daemon's names in its nameservers.
//!
//! Owns the renewal: whatever a nameserver forgets (a restart, a lost disk) is told to it again
//! within seconds, and a nameserver that is away when the daemon starts gets the names when it
//! comes. Never keeps a daemon from serving.

use std::collections::BTreeMap;
use std::time::Duration;

use remote::{Error, Location, NameServer, Uri};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

/// How long a nameserver may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Between two looks at a nameserver that has our names.
const RENEWAL: Duration = Duration::from_secs(2);
/// Between two tries at one that does not answer: short while host and daemons start together,
const EAGER_RETRY: Duration = Duration::from_millis(50);
/// for this long,
const EAGER: Duration = Duration::from_secs(3);
/// then longer.
const RETRY: Duration = Duration::from_secs(1);
/// Removing the names at the end must not hold up the daemon's stop.
const FAREWELL: Duration = Duration::from_secs(2);

/// A nameserver to register with.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Its name in the configuration.
    pub(crate) name: String,
    pub(crate) location: Location,
}

/// A name to keep registered.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub(crate) name: String,
    pub(crate) uri: Uri,
    pub(crate) metadata: Vec<String>,
}

/// What became of the registrations with each nameserver.
pub(crate) type Report = BTreeMap<String, State>;

/// How it stands with one nameserver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not answered yet.
    Pending,
    /// All names are there.
    Registered,
    /// The last try failed.
    Failed(String),
}

impl State {
    /// Whether all names are there.
    pub(crate) fn is_registered(&self) -> bool {
        *self == State::Registered
    }
}

/// Starts keeping `names` registered; the receiver tells how it goes.
pub(crate) fn start(
    names: BTreeMap<String, (Target, Vec<Name>)>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> watch::Receiver<Report> {
    let pending = names.keys().map(|name| (name.clone(), State::Pending)).collect();
    let (report, receiver) = watch::channel::<Report>(pending);
    for (target, names) in names.into_values() {
        tasks.spawn(keep(target, names, report.clone(), stop.clone()));
    }
    receiver
}

async fn keep(
    target: Target,
    names: Vec<Name>,
    report: watch::Sender<Report>,
    stop: CancellationToken,
) {
    let mut nameserver = NameServer::at(target.location.clone(), Some(TIMEOUT));
    let started = Instant::now();
    loop {
        let pass = register_missing(&target, &mut nameserver, &names);
        let Some(outcome) = stop.run_until_cancelled(pass).await else { break };
        let pause = match (&outcome, started.elapsed() < EAGER) {
            (Ok(()), _) => RENEWAL,
            (Err(_), true) => EAGER_RETRY,
            (Err(_), false) => RETRY,
        };
        tell(&report, &target, outcome);
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            break;
        }
    }
    let farewell = remove_ours(&mut nameserver, &names);
    if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
        warn!(nameserver = target.name, "no time to remove the names from the nameserver");
    }
}

/// Publishes the outcome of a pass, and logs it where it is news.
fn tell(report: &watch::Sender<Report>, target: &Target, outcome: Result<(), Error>) {
    let state = match outcome {
        Ok(()) => State::Registered,
        Err(error) => State::Failed(error.to_string()),
    };
    report.send_if_modified(|report| {
        let known = report.get(&target.name);
        if known == Some(&state) {
            return false;
        }
        match (&state, known) {
            (State::Failed(error), Some(State::Pending | State::Registered)) => {
                warn!(nameserver = target.name, location = %target.location, error,
                    "cannot register; trying on");
            }
            (State::Registered, _) => {
                info!(nameserver = target.name, location = %target.location, "registered");
            }
            _ => {}
        }
        report.insert(target.name.clone(), state);
        true
    });
}

async fn register_missing(
    target: &Target,
    nameserver: &mut NameServer,
    names: &[Name],
) -> Result<(), Error> {
    for Name { name, uri, metadata } in names {
        match nameserver.lookup(name).await {
            Ok(known) if known == *uri => continue,
            Ok(other) => warn!(
                nameserver = target.name, name, ours = %uri, theirs = %other,
                "the name points elsewhere; taking it"
            ),
            Err(Error::Remote(_)) => {}
            Err(error) => return Err(error),
        }
        nameserver.register(name, uri, metadata).await?;
    }
    Ok(())
}

/// Removes the names that still point to us; one that somebody else took stays theirs.
async fn remove_ours(nameserver: &mut NameServer, names: &[Name]) {
    for Name { name, uri, .. } in names {
        let removed = match nameserver.lookup(name).await {
            Ok(known) if known == *uri => nameserver.remove(name).await.map(drop),
            Ok(_) | Err(Error::Remote(_)) => Ok(()),
            Err(error) => Err(error),
        };
        if removed.is_err() {
            // The nameserver is gone, and our names with it or after it.
            return;
        }
    }
}
