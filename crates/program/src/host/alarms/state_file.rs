//! State file of a daemon's alarms.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio::time::{Duration, Instant};
use tracing::warn;

use super::board::KeptAlarm;
use crate::files;
use crate::state_file;

/// Least time between two writes: alarms may change with each sample.
const BETWEEN_WRITES: Duration = Duration::from_secs(1);

/// The content of the file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct AlarmFileContent {
    alarms: Vec<KeptAlarm>,
}

/// Writer of the state file.
#[derive(Debug)]
pub(super) struct AlarmFile {
    /// None where a supervisor of 0.1.0 names no file.
    path: Option<PathBuf>,
    written: Option<Instant>,
    /// Whether a change is not in the file yet.
    is_due: bool,
    /// Why the states are not kept.
    pub(super) trouble: Option<String>,
}

impl AlarmFile {
    /// Reads the file. One that cannot be used is set aside; the last value tells of it.
    pub(super) fn load(path: Option<PathBuf>) -> (AlarmFile, Vec<KeptAlarm>, Option<String>) {
        let read =
            path.as_ref().map_or(Ok(None), |path| state_file::read::<AlarmFileContent>(path));
        let (kept, lost) = match read {
            Ok(file) => (file.unwrap_or_default().alarms, None),
            Err(unusable) => {
                let lost = format!("the states of its alarms are forgotten: {unusable}");
                warn!("{lost}");
                (Vec::new(), Some(lost))
            }
        };
        (AlarmFile { path, written: None, is_due: false, trouble: None }, kept, lost)
    }

    /// Notes that the states have changed.
    pub(super) fn change(&mut self) {
        self.is_due = self.path.is_some();
    }

    /// When the file is to be written.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let now = Instant::now();
        self.is_due.then(|| self.written.map_or(now, |written| written + BETWEEN_WRITES))
    }

    /// Writes the file.
    pub(super) async fn write(&mut self, alarms: Vec<KeptAlarm>) {
        let Some(path) = self.path.clone() else { return };
        self.is_due = false;
        self.written = Some(Instant::now());
        let written = tokio::task::spawn_blocking(move || {
            let bytes = serde_json::to_vec_pretty(&AlarmFileContent { alarms }).unwrap_or_default();
            files::replace_private(&path, &bytes)
        });
        let failure = match written.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("{error}: {}", error.source)),
            Err(error) => Some(error.to_string()),
        };
        if failure.is_some() {
            // The disk may have room again at the next attempt.
            self.is_due = true;
        }
        let trouble =
            failure.map(|failure| format!("the states of its alarms are not kept: {failure}"));
        if let Some(trouble) = trouble.as_ref().filter(|_| self.trouble.is_none()) {
            warn!("{trouble}");
        }
        self.trouble = trouble;
    }
}
