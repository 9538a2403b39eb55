//! Incidents that are over: healed crashes, and the death of an earlier supervisor. `status` shows
//! each for a day; a file keeps them over restarts of the supervisor.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tracing::{debug, warn};

use crate::files;
use crate::paths::Paths;

/// Incidents that are kept, at most: a lab that fails all day long shows the last ones.
const KEPT: usize = 50;
/// Hours for which each is shown.
const HOURS: i64 = 24;

/// The subject of a supervisor's death.
pub(crate) const SUPERVISOR: &str = "the supervisor";

/// Something that went wrong and is over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Incident {
    /// RFC 3339.
    pub(crate) time: String,
    /// The part of the lab: `daemon bench`, `the supervisor`.
    pub(crate) subject: String,
    /// In a sentence.
    pub(crate) text: String,
}

/// The incidents of the last day; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Incidents {
    kept: Arc<Mutex<VecDeque<Incident>>>,
    file: PathBuf,
    /// Exists while a supervisor runs.
    run_file: PathBuf,
}

impl Incidents {
    /// Those of earlier supervisors. The death of the last one is an incident itself, and returned.
    pub(crate) fn load(paths: &Paths) -> (Self, Option<String>) {
        let file = paths.state_dir.join("incidents.json");
        let kept = std::fs::read(&file).ok();
        let kept = kept.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let run_file = paths.state_dir.join("supervisor-runs");
        let incidents = Incidents { kept: Arc::new(Mutex::new(kept)), file, run_file };
        let pid = std::process::id().to_string();
        let before = std::fs::read_to_string(&incidents.run_file).ok();
        if let Err(error) = files::replace_private(&incidents.run_file, pid.as_bytes()) {
            debug!(%error, "an end of this supervisor out of order will not be noticed");
        }
        let death = before.map(|before| {
            format!(
                "it ended without a stop (pid {}): it was killed, it crashed, or the host lost its \
                 power; the entries were started again",
                before.trim()
            )
        });
        if let Some(text) = &death {
            warn!("the supervisor before this one: {text}");
            incidents.add(SUPERVISOR, text.clone());
        }
        (incidents, death)
    }

    /// Adds an incident of now.
    pub(crate) fn add(&self, subject: &str, text: String) {
        let now = Timestamp::now();
        let time = now.round(jiff::Unit::Second).unwrap_or(now).to_string();
        let mut kept = self.lock();
        kept.push_back(Incident { time, subject: subject.to_owned(), text });
        while kept.len() > KEPT {
            kept.pop_front();
        }
        let bytes = serde_json::to_vec(&*kept).unwrap_or_default();
        drop(kept);
        // Without the file it is shown until the supervisor ends.
        if let Err(error) = files::replace_private(&self.file, &bytes) {
            debug!(%error, "incidents are not kept");
        }
    }

    /// Those of the last day, the oldest first.
    pub(crate) fn list(&self) -> Vec<Incident> {
        let now = Timestamp::now();
        let is_recent = |incident: &&Incident| {
            let time = incident.time.parse::<Timestamp>();
            time.is_ok_and(|time| now.duration_since(time) < SignedDuration::from_hours(HOURS))
        };
        self.lock().iter().filter(is_recent).cloned().collect()
    }

    /// The supervisor ends in order.
    pub(crate) fn end(&self) {
        match std::fs::remove_file(&self.run_file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                warn!(%error, "the next start will take this end for a crash");
            }
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Incident>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
