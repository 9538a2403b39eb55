//! User and environment of the systemd unit: who runs the lab, where that user's files are, and
//! the `PATH` and library variables that the unit passes on. Another user's unit takes neither
//! `PATH` nor folders from the installing shell.

use std::path::Path;

use miette::{IntoDiagnostic, Report, WrapErr, miette};

use super::unit::{CARRIED, Unit};
use crate::cli::paths;
use crate::os::{self, User};
use crate::paths::{Environment, Paths};

/// The PATH of a user who is not logged in, after the user's own folder.
const HOST_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The lab's folders, and its unit.
pub(super) fn resolve_unit(
    run_as: Option<&str>,
    path: Option<&str>,
    system: bool,
) -> Result<(Paths, Unit), Report> {
    let user = match (run_as, system) {
        (Some(name), _) => Some(existing(name)?),
        (None, true) => {
            return Err(miette!(
                help = "`--run-as USER`: the one who owns the lab's files and may use its devices",
                "with --system it must be said whose lab it is; as root it would be unsafe"
            ));
        }
        (None, false) => None,
    };
    // The shell that asks is another's (root's, by `sudo`): its PATH and folders mean nothing.
    let other = user.as_ref().filter(|user| user.id != os::user_id());
    let paths = match &user {
        Some(user) => Paths::new(&Environment::of_service(user)).into_diagnostic()?,
        None => paths()?,
    };
    let path = match (path, other) {
        (Some(path), _) => absolute(path)?,
        (None, Some(user)) => format!("{}:{HOST_PATH}", user.home.join(".local/bin").display()),
        (None, None) => {
            // Relative to where this is typed: nothing that a service has.
            let path = std::env::var("PATH").unwrap_or_default();
            let folders = path.split(':').filter(|folder| folder.starts_with('/'));
            folders.collect::<Vec<_>>().join(":")
        }
    };
    // `sudo` takes such variables away; what is there all the same is meant. The folders of a
    // lab of the host's own service manager are that user's usual ones.
    let carried = CARRIED.iter().filter(|name| user.is_none() || !name.starts_with("XDG_"));
    let set = |name: &&str| {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
        Some(((*name).to_owned(), value))
    };
    let unit = Unit {
        program: std::env::current_exe().into_diagnostic()?,
        home: paths.home.clone(),
        path,
        variables: carried.filter_map(set).collect(),
        user: user.map(|user| user.name),
    };
    if let Some(what) = unit.unfit() {
        return Err(miette!(
            help = "give it another value for this command",
            "a line break or another control character in {what} has no place in a unit"
        ));
    }
    Ok((paths, unit))
}

fn absolute(path: &str) -> Result<String, Report> {
    match path.split(':').find(|folder| !Path::new(folder).is_absolute()) {
        None => Ok(path.to_owned()),
        Some(folder) => Err(miette!(
            help = "every folder begins with `/`; `:` stands between them",
            "`{}` in --path is no absolute path",
            folder.escape_debug()
        )),
    }
}

fn existing(name: &str) -> Result<User, Report> {
    let found = os::user(name).into_diagnostic();
    let found =
        found.wrap_err_with(|| format!("cannot look up the user `{}`", name.escape_debug()))?;
    found.ok_or_else(|| {
        miette!(
            help = "`getent passwd` lists the users; `sudo useradd --create-home USER` makes one",
            "there is no user `{}` on this host",
            name.escape_debug()
        )
    })
}
