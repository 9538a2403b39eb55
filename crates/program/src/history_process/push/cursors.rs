//! Cursors of a target: how many samples of each series it has got, in a file beside the history.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use history::SeriesKey;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::files;
use crate::state_file;

/// How far a target is in one series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Cursor {
    /// Samples that the series has had up to there.
    pub(super) position: u64,
    /// The time of the last of them, in microseconds since 1970.
    pub(super) time: i64,
}

/// The cursors of a target.
#[derive(Clone, Debug)]
pub(super) struct Cursors {
    path: PathBuf,
    /// By service and member.
    cursors: BTreeMap<(String, String), Cursor>,
    /// Whether the target has ever taken a line.
    pub(super) has_taken: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct CursorFile {
    series: Vec<CursorRow>,
    /// Absent in files of earlier versions, which were written after a line was taken.
    has_taken: Option<bool>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct CursorRow {
    service: String,
    member: String,
    #[serde(flatten)]
    cursor: Cursor,
}

impl Cursors {
    /// The cursors of the target at `url`; `None` beside them for one that is new here.
    pub(super) fn load(folder: &Path, url: &str) -> (Self, bool) {
        // The address may have a password in it.
        let path =
            folder.join(format!("push-{:016x}.json", lab_config::stable_hash(url.as_bytes())));
        let read = state_file::read::<CursorFile>(&path).unwrap_or_else(|unusable| {
            warn!("a target of `push` gets the whole history again: {unusable}");
            Some(CursorFile::default())
        });
        let is_new = read.is_none();
        let CursorFile { series, has_taken } = read.unwrap_or_default();
        let rows = series.into_iter();
        let cursors = rows.map(|row| ((row.service, row.member), row.cursor)).collect();
        (Cursors { path, cursors, has_taken: has_taken.unwrap_or(!is_new) }, is_new)
    }

    pub(super) fn get(&self, key: &SeriesKey) -> Option<Cursor> {
        self.cursors.get(&(key.service.to_string(), key.member.to_string())).copied()
    }

    pub(super) fn set(&mut self, key: &SeriesKey, cursor: Cursor) {
        self.cursors.insert((key.service.to_string(), key.member.to_string()), cursor);
    }

    /// Writes the file. Without it the target gets some samples again, which changes nothing there.
    pub(super) fn save(&self) {
        let row = |((service, member), cursor): (&(String, String), &Cursor)| CursorRow {
            service: service.clone(),
            member: member.clone(),
            cursor: *cursor,
        };
        let content = CursorFile {
            series: self.cursors.iter().map(row).collect(),
            has_taken: Some(self.has_taken),
        };
        let bytes = serde_json::to_vec(&content).unwrap_or_default();
        if let Err(error) = files::replace_private(&self.path, &bytes) {
            warn!(%error, "how far a target of `push` is, is not kept");
        }
    }
}
