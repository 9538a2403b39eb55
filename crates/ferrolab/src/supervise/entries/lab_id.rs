//! The id of a lab: a name that nobody else has, made once and kept in the data directory.
//!
//! Two labs with one copied configuration have one nameserver port, which one of them gets. By the
//! id its nameserver knows the daemons of the other lab, and refuses their names.

use std::io::ErrorKind;
use std::sync::OnceLock;

use tracing::warn;
use uuid::Uuid;

use crate::files;
use crate::paths::Paths;

/// One for each process: an id that cannot be kept must not change with each reload.
static ID: OnceLock<String> = OnceLock::new();

/// The id of the lab of `paths`.
pub(super) fn of(paths: &Paths) -> &'static str {
    ID.get_or_init(|| kept(paths))
}

fn kept(paths: &Paths) -> String {
    let file = paths.state_dir.join("lab-id");
    match std::fs::read_to_string(&file) {
        Ok(text) if Uuid::parse_str(text.trim()).is_ok() => return text.trim().to_owned(),
        Ok(_) => warn!(file = %file.display(), "the lab's id is damaged; it gets another"),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => warn!(file = %file.display(), %error, "the lab's id cannot be read"),
    }
    let id = Uuid::new_v4().to_string();
    if let Err(error) = files::replace_private(&file, id.as_bytes()) {
        warn!(%error, "the lab's id cannot be kept; the next start makes another");
    }
    id
}
