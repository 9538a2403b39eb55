//! The id of a lab: a name that nobody else has, made once and kept in the data directory.
//!
//! Two labs with one copied configuration have one nameserver port, which one of them gets. By the
//! id its nameserver knows the daemons of the other lab, and refuses their names.

use std::io::ErrorKind;
use std::sync::OnceLock;

use tracing::warn;
use uuid::Uuid;

use crate::files;
use crate::open;
use crate::paths::Paths;

/// One for each process: an id that cannot be kept must not change with each reload.
static ID: OnceLock<String> = OnceLock::new();

/// The id of the lab of `paths`.
pub(super) fn of(paths: &Paths) -> &'static str {
    ID.get_or_init(|| kept(paths))
}

/// The id of the lab of `paths`, if it has one yet: for commands that only look.
pub(crate) fn peek(paths: &Paths) -> Option<String> {
    let bytes = open::read_regular(&paths.state_dir.join("lab-id")).ok()?;
    Uuid::try_parse_ascii(bytes.trim_ascii()).ok().map(|id| id.to_string())
}

fn kept(paths: &Paths) -> String {
    let file = paths.state_dir.join("lab-id");
    match open::read_regular(&file).map(|bytes| Uuid::try_parse_ascii(bytes.trim_ascii())) {
        Ok(Ok(id)) => return id.to_string(),
        Ok(Err(_)) => warn!(file = %file.display(), "the lab's id is damaged; it gets another"),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => warn!(file = %file.display(), %error, "the lab's id cannot be read"),
    }
    let id = Uuid::new_v4().to_string();
    if let Err(error) = files::replace_private(&file, id.as_bytes()) {
        warn!(%error, "the lab's id cannot be kept; the next start makes another");
    }
    id
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;
    use crate::paths::Environment;

    #[test]
    fn whatever_is_in_its_place_is_replaced() {
        let home = tempfile::tempdir().unwrap();
        let variable = |name: &str| (name == "FERROLAB_HOME").then(|| home.path().into());
        let paths = Paths::new(&Environment::from_variables(variable)).unwrap();
        paths.ensure().unwrap();
        let file = paths.state_dir.join("lab-id");
        let damages: [&dyn Fn(); 3] = [
            &|| {},
            &|| files::replace(&file, b"\xff").unwrap(),
            // Opening it would wait for a writer.
            &|| {
                std::fs::remove_file(&file).unwrap();
                mkfifoat(CWD, &file, Mode::RUSR | Mode::WUSR).unwrap();
            },
        ];
        for damage in damages {
            damage();
            let id = kept(&paths);
            assert_eq!(kept(&paths), id);
        }
    }
}
