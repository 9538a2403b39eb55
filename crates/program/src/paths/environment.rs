//! Environment of a process, as far as the places of files depend on it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use directories::ProjectDirs;

use crate::os::{User, user_id};

/// Parameters of the layout.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    /// `FERROLAB_HOME`: everything under one directory.
    pub(crate) home: Option<PathBuf>,
    /// The user's runtime directory: `XDG_RUNTIME_DIR`, or where logind puts it.
    pub(crate) runtime: Option<PathBuf>,
    /// The platform's directories; `None` for a user without a home directory.
    pub(crate) platform: Option<Platform>,
    /// The directory for temporary files.
    pub(crate) temporary: PathBuf,
}

/// The platform's directories for one user.
#[derive(Clone, Debug)]
pub(crate) struct Platform {
    pub(super) config: PathBuf,
    pub(super) state: PathBuf,
}

impl Platform {
    pub(super) fn of_this_user() -> Option<Platform> {
        let directories = ProjectDirs::from("", "", "ferrolab")?;
        let state = directories.state_dir().unwrap_or(directories.data_local_dir());
        Some(Platform { config: directories.config_dir().into(), state: state.into() })
    }

    /// Where they are on Linux for a user who has set nothing else.
    fn of_home(home: &Path) -> Platform {
        let config = home.join(".config/ferrolab");
        Platform { config, state: home.join(".local/state/ferrolab") }
    }
}

impl Environment {
    /// The environment in which the host's service manager runs the lab of `user`, apart from what
    /// this process is told with `FERROLAB_HOME`.
    pub(crate) fn of_service(user: &User) -> Environment {
        let platform = Some(Platform::of_home(&user.home));
        Environment { platform, runtime: None, ..Environment::current() }
    }

    /// The environment of this process.
    pub(crate) fn current() -> Environment {
        Environment::from_variables(|name| std::env::var_os(name))
    }

    /// An environment from the given variables; only the platform's directories are asked of
    /// the operating system.
    pub(crate) fn from_variables(get: impl Fn(&str) -> Option<OsString>) -> Environment {
        let path = |name| get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        // A shell from cron or `su` lacks the variable, but must find the same supervisor. The
        // host's service manager lacks it too, and logind removes its directory at logout.
        let is_service = path("INVOCATION_ID").is_some();
        let logind = || (!is_service).then(|| PathBuf::from(format!("/run/user/{}", user_id())));
        let runtime = path("XDG_RUNTIME_DIR")
            .or_else(logind)
            .filter(|directory| directory.is_absolute() && directory.is_dir());
        Environment {
            home: path("FERROLAB_HOME"),
            runtime,
            platform: Platform::of_this_user(),
            temporary: path("TMPDIR").unwrap_or_else(|| "/tmp".into()),
        }
    }
}
