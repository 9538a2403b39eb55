//! Names of dead daemons that are still in a nameserver, because it did not answer.
//!
//! Owns which those are, over restarts of the supervisor too, and when their nameserver is asked
//! again. What removes a name, and what keeps it from a new process, is the room's above.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use remote::{Location, Uri};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::files;
use crate::log::host_warnings::Troubles;
use crate::supervise::stale_names::removal::{Left, Name};

/// Between two tries at a nameserver,
const RETRY: Duration = Duration::from_secs(1);
/// at most, where it is one that this host does not run.
const SLOWEST: Duration = Duration::from_secs(30);
/// Of many names, people are shown some.
const SHOWN: usize = 5;
const TROUBLE: &str = "left names";

/// A name, as it is kept in the state directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    daemon: String,
    nameserver: String,
    host: String,
    port: u16,
    name: String,
    uri: String,
    runs_here: bool,
}

/// All removals that are owed.
#[derive(Debug)]
pub(super) struct Owed {
    file: PathBuf,
    troubles: Troubles,
    places: Vec<Place>,
    /// The nameservers that this supervisor has started.
    ours: BTreeSet<String>,
}

/// What is owed by one nameserver.
#[derive(Debug)]
struct Place {
    nameserver: String,
    location: Location,
    /// Whether it is one that this host runs: it comes back with the lab, and nobody has to be told.
    runs_here: bool,
    /// With the daemon that each name was from.
    names: BTreeMap<String, (Uri, String)>,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Waiting { until: Instant, pause: Duration },
    Asked { pause: Duration },
}

impl Owed {
    /// What the last supervisor has left in `file`.
    pub(super) fn load(file: PathBuf, troubles: Troubles) -> Self {
        let mut owed = Owed { file, troubles, places: Vec::new(), ours: BTreeSet::new() };
        for record in owed.read() {
            let Record { daemon, nameserver, host, port, name, uri, runs_here } = record;
            let Ok(uri) = uri.parse() else { continue };
            let location = Location::Tcp { host, port };
            let place = owed.place(&nameserver, location, runs_here);
            place.names.insert(name, (uri, daemon));
        }
        owed
    }

    fn read(&self) -> Vec<Record> {
        let problem = match std::fs::read(&self.file) {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(records) => return records,
                Err(error) => error.to_string(),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => error.to_string(),
        };
        warn!(file = %self.file.display(), problem, "cannot read which names are still to be \
            removed from nameservers; `ferrolab ns remove` takes them out by hand");
        Vec::new()
    }

    fn place(&mut self, nameserver: &str, location: Location, runs_here: bool) -> &mut Place {
        let known = self.places.iter().position(|place| place.location == location);
        let index = known.unwrap_or_else(|| {
            self.places.push(Place {
                nameserver: nameserver.to_owned(),
                location,
                runs_here,
                names: BTreeMap::new(),
                phase: Phase::Waiting { until: Instant::now(), pause: RETRY },
            });
            self.places.len() - 1
        });
        let place = &mut self.places[index];
        place.runs_here |= runs_here;
        place
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Takes note of names that could not be removed.
    pub(super) fn add(&mut self, left: Vec<Left>) {
        if left.is_empty() {
            return;
        }
        for Left { daemon, nameserver, location, names } in left {
            info!(
                entry = daemon,
                nameserver,
                names = names.len(),
                "the nameserver does not answer; names of a process that has ended are removed \
                 when it does"
            );
            let runs_here = self.ours.contains(&nameserver);
            let place = self.place(&nameserver, location, runs_here);
            place.names.extend(names.into_iter().map(|(name, uri)| (name, (uri, daemon.clone()))));
        }
        self.keep();
    }

    /// A nameserver of this host runs now.
    pub(super) fn on_running(&mut self, nameserver: &str) {
        if self.ours.contains(nameserver) {
            return;
        }
        self.ours.insert(nameserver.to_owned());
        for place in self.places.iter_mut().filter(|place| place.nameserver == nameserver) {
            place.runs_here = true;
            if let Phase::Waiting { until, .. } = &mut place.phase {
                *until = Instant::now();
            }
        }
    }

    /// The names to remove now, by nameserver; each is asked about once at a time. A name that
    /// `is_kept` is owed no more: a process that lives has it.
    pub(super) fn due(
        &mut self,
        now: Instant,
        is_kept: impl Fn(&Location, &str) -> bool,
    ) -> Vec<Vec<Left>> {
        let before = self.count();
        for Place { location, names, .. } in &mut self.places {
            names.retain(|name, _| !is_kept(location, name));
        }
        if self.count() != before {
            self.keep();
        }
        let mut due = Vec::new();
        for place in &mut self.places {
            let Phase::Waiting { until, pause } = place.phase else { continue };
            if until > now {
                continue;
            }
            place.phase = Phase::Asked { pause };
            let mut daemons: BTreeMap<&String, Vec<Name>> = BTreeMap::new();
            for (name, (uri, daemon)) in &place.names {
                daemons.entry(daemon).or_default().push((name.clone(), uri.clone()));
            }
            let left = |(daemon, names): (&String, _)| Left {
                daemon: daemon.clone(),
                nameserver: place.nameserver.clone(),
                location: place.location.clone(),
                names,
            };
            due.push(daemons.into_iter().map(left).collect());
        }
        due
    }

    /// A nameserver that was asked has answered for the names in `done`.
    pub(super) fn on_answer(&mut self, location: &Location, done: &[Name], is_answered: bool) {
        let before = self.count();
        for place in self.places.iter_mut().filter(|place| place.location == *location) {
            place.names.retain(|name, (uri, _)| {
                !done.iter().any(|(known, pointed)| known == name && pointed == uri)
            });
            let pause = match place.phase {
                _ if is_answered || place.runs_here => RETRY,
                Phase::Asked { pause } | Phase::Waiting { pause, .. } => {
                    pause.saturating_mul(2).min(SLOWEST)
                }
            };
            place.phase = Phase::Waiting { until: Instant::now() + pause, pause };
        }
        if self.count() != before {
            self.keep();
        }
        self.tell();
    }

    fn count(&self) -> usize {
        self.places.iter().map(|place| place.names.len()).sum()
    }

    /// Writes down what is owed, for the next supervisor.
    fn keep(&mut self) {
        self.places.retain(|place| !place.names.is_empty());
        let mut records = Vec::new();
        for Place { nameserver, location, runs_here, names, .. } in &self.places {
            let Location::Tcp { host, port } = location else { continue };
            records.extend(names.iter().map(|(name, (uri, daemon))| Record {
                daemon: daemon.clone(),
                nameserver: nameserver.clone(),
                host: host.clone(),
                port: *port,
                name: name.clone(),
                uri: uri.to_string(),
                runs_here: *runs_here,
            }));
        }
        let written = match records.is_empty() {
            true => std::fs::remove_file(&self.file).or_else(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Ok(()),
                _ => Err(error.to_string()),
            }),
            false => serde_json::to_vec_pretty(&records)
                .map_err(|error| error.to_string())
                .and_then(|bytes| {
                    files::replace(&self.file, &bytes)
                        .map_err(|error| format!("{error}: {}", error.source))
                }),
        };
        if let Err(problem) = written {
            warn!(file = %self.file.display(), problem, "cannot write down which names are still \
                to be removed from nameservers; a supervisor that is started now knows nothing of them");
        }
        self.tell();
    }

    /// Nameservers of other hosts are told of: nobody may know that they are missed.
    fn tell(&self) {
        let texts: Vec<String> =
            self.places.iter().filter(|place| !place.runs_here).map(Place::trouble).collect();
        match texts.is_empty() {
            true => self.troubles.clear(TROUBLE),
            false => self.troubles.set(TROUBLE, texts.join("; ")),
        }
    }
}

impl Place {
    fn trouble(&self) -> String {
        let mut names: Vec<&str> =
            self.names.keys().take(SHOWN).map(std::string::String::as_str).collect();
        let more = format!("{} more", self.names.len().saturating_sub(SHOWN));
        if self.names.len() > SHOWN {
            names.push(&more);
        }
        format!(
            "nameserver {} at {} does not answer and still has names of processes that have ended: \
             {}; they are removed when it answers",
            self.nameserver,
            self.location,
            names.join(", ")
        )
    }
}
