//! Places of audits: the folder of their files, and the state files with their heads.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::chain::{Anchor, Head};
use crate::state_file;

/// Beginning of the names of state files with heads.
const HEAD_PREFIX: &str = "audit";
/// End of these names.
const HEAD_SUFFIX: &str = ".json";

/// Where a writer's files are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPlace {
    /// The folder of all audit files.
    pub folder: PathBuf,
    /// The daemon's name, as file names have it; empty for the supervisor.
    pub writer: String,
    /// The state file with the head.
    pub head: PathBuf,
    /// Whether calls are refused while it cannot be written.
    #[serde(default)]
    pub is_required: bool,
}

impl AuditPlace {
    /// The place of a daemon, by the name that it has in file names, or with an empty name of the
    /// supervisor.
    pub fn new(folder: PathBuf, state_dir: &Path, writer: String) -> Self {
        let name = match writer.is_empty() {
            true => format!("{HEAD_PREFIX}{HEAD_SUFFIX}"),
            false => format!("{HEAD_PREFIX}-{writer}{HEAD_SUFFIX}"),
        };
        AuditPlace { folder, writer, head: state_dir.join(name), is_required: false }
    }
}

/// The heads of all writers, as their state files have them.
///
/// # Errors
/// The folder cannot be read.
pub fn heads(state_dir: &Path) -> io::Result<Vec<Anchor>> {
    let mut anchors = Vec::new();
    for entry in std::fs::read_dir(state_dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let inner = name.strip_prefix(HEAD_PREFIX).and_then(|name| name.strip_suffix(HEAD_SUFFIX));
        let writer = match inner {
            Some("") => "",
            Some(writer) => match writer.strip_prefix('-') {
                Some(writer) => writer,
                None => continue,
            },
            None => continue,
        };
        let source = "the state file";
        if let Ok(Some(Head { seq, hash, .. })) = state_file::peek(&path) {
            anchors.push(Anchor { writer: writer.to_owned(), seq, hash, source });
        }
    }
    Ok(anchors)
}
