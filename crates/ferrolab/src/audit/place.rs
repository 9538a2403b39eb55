//! Places of audits: the folder of their files, and the state files with their heads.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::chain::{Anchor, Head};
use crate::paths::{Paths, file_name};
use crate::state_file;

/// Beginning of the names of state files with heads.
const HEAD_PREFIX: &str = "audit";
/// End of these names.
const HEAD_SUFFIX: &str = ".json";

/// Where a writer's files are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuditPlace {
    /// The folder of all audit files.
    pub(crate) folder: PathBuf,
    /// The daemon's name, as file names have it; empty for the supervisor.
    pub(crate) writer: String,
    /// The state file with the head.
    pub(crate) head: PathBuf,
    /// Whether calls are refused while it cannot be written.
    #[serde(default)]
    pub(crate) is_required: bool,
}

impl AuditPlace {
    /// The place of the supervisor.
    pub(crate) fn of_supervisor(paths: &Paths) -> Self {
        AuditPlace::new(paths.audit_dir(), &paths.state_dir, String::new())
    }

    /// The place of a daemon.
    pub(crate) fn of_daemon(paths: &Paths, daemon: &str) -> Self {
        AuditPlace::new(paths.audit_dir(), &paths.state_dir, file_name(daemon))
    }

    /// The place of a nameserver. No daemon's name has a `%` and a small letter in file names.
    pub(crate) fn of_nameserver(paths: &Paths, nameserver: &str) -> Self {
        let writer = format!("%ns-{}", file_name(nameserver));
        AuditPlace::new(paths.audit_dir(), &paths.state_dir, writer)
    }

    /// The place of a daemon, by the name that it has in file names, or with an empty name of the
    /// supervisor.
    fn new(folder: PathBuf, state_dir: &Path, writer: String) -> Self {
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
pub(crate) fn heads(state_dir: &Path) -> io::Result<Vec<Anchor>> {
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
