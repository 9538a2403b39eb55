//! Facts about the host that a configuration is checked against.

use std::path::{Path, PathBuf};

use super::address::host_name;
use super::problem::Severity;

/// Facts about the host, for checks that the file alone does not allow.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The name of the host, from which names for `auto` follow.
    pub host: String,
    /// The built-in services; with `None`, any name of one is accepted.
    pub natives: Option<Vec<Native>>,
    /// The people whose certificates and tokens this host has made; with `None`, any name is
    /// accepted.
    pub users: Option<Vec<String>>,
    /// The groups that this host's users are in.
    pub groups: Vec<String>,
    /// Where relative paths begin; with `None`, no path is looked for.
    pub folder: Option<Folder>,
    /// The folder of the lab's state files, where it is known.
    pub state: Option<PathBuf>,
    /// Whether every service that has a `simulate:` section is simulated.
    pub simulates: bool,
    /// Whether a file is refused for what keeps an entry from starting now, and may be mended
    /// before it is started: a path that leads nowhere, a port that two entries have.
    pub unready: Severity,
    /// Whether a file is refused for a user or a group in `access` that this host does not know.
    pub unknown_people: Severity,
}

/// Where relative paths begin.
#[derive(Clone, Debug)]
pub struct Folder {
    /// The folder of the file.
    pub base: PathBuf,
    /// The home of the user, for paths that begin with `~`.
    pub home: Option<PathBuf>,
}

impl Folder {
    /// Where a path leads.
    pub(crate) fn place(&self, path: &Path) -> PathBuf {
        match (path.strip_prefix("~"), &self.home) {
            (Ok(rest), Some(home)) => home.join(rest),
            _ => self.base.join(path),
        }
    }

    /// The same for a program, which PATH is searched for where it is a name alone.
    pub(crate) fn place_program(&self, program: &Path) -> PathBuf {
        match program.components().count() {
            0 | 1 => program.to_owned(),
            _ => self.place(program),
        }
    }
}

/// A built-in service, as far as a configuration can speak of it.
#[derive(Clone, Debug, Default)]
pub struct Native {
    /// Its name, as `native:` of a service gives it.
    pub name: String,
    /// Its methods.
    pub methods: Vec<String>,
    /// Its properties.
    pub attrs: Vec<String>,
    /// The names of the arguments of each method.
    pub arguments: Vec<(String, Vec<String>)>,
}

impl Surroundings {
    /// Those of this process, which has the given built-in services.
    pub fn current(natives: Option<Vec<Native>>) -> Surroundings {
        Surroundings { host: host_name(), natives, ..Surroundings::default() }
    }
}
