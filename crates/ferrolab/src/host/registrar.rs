//! Keeps a daemon's names in its nameservers.
//!
//! Owns the renewal: whatever a nameserver forgets (a restart, a lost disk) is told to it again
//! within seconds, and a nameserver that is away when the daemon starts gets the names when it
//! comes. What becomes of one name is in [`registered_name`](super::registered_name). Never keeps a daemon from serving.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use remote::{Error, Location, NameServer};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::host::registered_name::{Kept, Name};

/// How long a nameserver may take for an answer. With the pauses below, names are back within 5 s
/// of a nameserver's return, also of one whose host had lost its power.
const TIMEOUT: Duration = Duration::from_secs(2);
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
/// Nor may the removal of an earlier process's names hold up the registration.
const GATE: Duration = Duration::from_secs(3);
const GATE_LOOK: Duration = Duration::from_millis(5);

/// A nameserver to register with.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Its name in the configuration.
    pub(crate) name: String,
    pub(crate) location: Location,
}

/// How names are kept.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    /// Whether a name that somebody else overwrites is taken back.
    pub(crate) reclaim: bool,
    /// A file that is locked while the supervisor removes what an earlier process has left.
    pub(crate) gate: PathBuf,
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
    /// It answers, and somebody else wants names of ours; for people to read.
    Contested(String),
    /// The last try failed.
    Failed(String),
}

impl State {
    /// Whether the nameserver has been told of all names.
    pub(crate) fn is_registered(&self) -> bool {
        matches!(self, State::Registered | State::Contested(_))
    }
}

/// Starts keeping `names` registered; the receiver tells how it goes.
pub(crate) fn start(
    names: BTreeMap<String, (Target, Vec<Name>)>,
    manner: &Manner,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> watch::Receiver<Report> {
    let pending = names.keys().map(|name| (name.clone(), State::Pending)).collect();
    let (report, receiver) = watch::channel::<Report>(pending);
    for (target, names) in names.into_values() {
        let (manner, report, stop) = (manner.clone(), report.clone(), stop.clone());
        tasks.spawn(keep(target, names, manner, report, stop));
    }
    receiver
}

async fn keep(
    target: Target,
    names: Vec<Name>,
    manner: Manner,
    report: watch::Sender<Report>,
    stop: CancellationToken,
) {
    if stop.run_until_cancelled(gate_opens(&manner.gate)).await.is_none() {
        return;
    }
    let mut nameserver = NameServer::at(target.location.clone(), Some(TIMEOUT));
    let mut names: Vec<Kept> = names.into_iter().map(Kept::new).collect();
    let started = Instant::now();
    loop {
        let pass = renew(&target, &mut nameserver, &mut names, manner.reclaim);
        let Some(outcome) = stop.run_until_cancelled(pass).await else { break };
        let pause = match (&outcome, started.elapsed() < EAGER) {
            (Ok(_), _) => RENEWAL,
            (Err(_), true) => EAGER_RETRY,
            (Err(_), false) => RETRY,
        };
        tell(&report, &target, outcome);
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            break;
        }
    }
    let farewell = async {
        for name in &names {
            match name.remove_from(&mut nameserver).await {
                // What is refused of one name says nothing of the others.
                Ok(()) | Err(Error::Remote(_)) => {}
                // Nobody is there: the supervisor removes them when the nameserver is back.
                Err(_) => break,
            }
        }
    };
    if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
        warn!(nameserver = target.name, "no time to remove the names from the nameserver");
    }
}

/// Waits until nobody removes names of an earlier process any more: it would take ours for those.
async fn gate_opens(gate: &std::path::Path) {
    let opens = async {
        while let Ok(file) = File::open(gate)
            && let Err(std::fs::TryLockError::WouldBlock) = file.try_lock_shared()
        {
            drop(file);
            tokio::time::sleep(GATE_LOOK).await;
        }
    };
    if tokio::time::timeout(GATE, opens).await.is_err() {
        warn!("the names of an earlier process are still being removed; registering all the same");
    }
}

/// Looks after every name; what to report if all went well.
async fn renew(
    target: &Target,
    nameserver: &mut NameServer,
    names: &mut [Kept],
    reclaim: bool,
) -> Result<State, Error> {
    let mut contested = Vec::new();
    let mut refused = None;
    for name in names {
        match name.renew(&target.name, nameserver, reclaim).await {
            Ok(_) => {}
            // What the nameserver refuses of one name says nothing of the others.
            Err(error @ Error::Remote(_)) => refused = refused.or(Some(error)),
            Err(error) => return Err(error),
        }
        contested.extend(name.contested(&target.name, reclaim, Instant::now()));
    }
    if let Some(error) = refused {
        return Err(error);
    }
    Ok(match contested.as_slice() {
        [] => State::Registered,
        texts => State::Contested(texts.join("; ")),
    })
}

/// Publishes the outcome of a pass, and logs it where it is news.
fn tell(report: &watch::Sender<Report>, target: &Target, outcome: Result<State, Error>) {
    let state = outcome.unwrap_or_else(|error| State::Failed(error.to_string()));
    report.send_if_modified(|report| {
        let known = report.get(&target.name);
        if known == Some(&state) {
            return false;
        }
        match (&state, known) {
            (State::Failed(error), Some(State::Failed(_)) | None) => {
                tracing::debug!(nameserver = target.name, error, "still not registered");
            }
            (State::Failed(error), Some(_)) => {
                warn!(nameserver = target.name, location = %target.location, error,
                    "cannot register; trying on");
            }
            (State::Registered | State::Contested(_), Some(State::Pending | State::Failed(_))) => {
                info!(nameserver = target.name, location = %target.location, "registered");
            }
            _ => {}
        }
        report.insert(target.name.clone(), state);
        true
    });
}
