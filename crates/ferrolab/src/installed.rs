//! The configuration that a lab runs with: a copy of the user's file, and where that came from.
//!
//! Owns the way of a file into the lab's home and back out. The copy is as the user wrote it;
//! its relative paths still mean what they meant where it was written, so the folder it came from
//! is kept beside it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::{self, ConfigError, Configuration, Entry, RenameError, Surroundings, Warning};
use crate::files::{self, FileError};
use crate::host::NATIVE_SERVICES;
use crate::paths::{Paths, stable_hash};

/// A configuration of nothing.
const EMPTY: &[u8] = b"version: \"1.0\"\n";

/// Where the installed file came from.
#[derive(Debug, Serialize, Deserialize)]
struct Origin {
    file: PathBuf,
}

/// Why a file is not installed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InstallError {
    #[error("cannot read {}: {source}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Write(#[from] FileError),
    #[error("cannot write down where the file came from: {0}")]
    Origin(#[from] serde_json::Error),
}

/// Reads and checks a user's file.
///
/// # Errors
/// Every problem in it.
pub(crate) fn check(file: &Path) -> Result<(Configuration, Vec<Warning>), Box<ConfigError>> {
    Configuration::load_in(file, &surroundings()).map_err(Box::new)
}

/// Takes a checked file over as the lab's configuration; the one before is kept beside it.
///
/// # Errors
/// It cannot be read again, or the home cannot be written.
pub(crate) fn install(file: &Path, paths: &Paths) -> Result<(), InstallError> {
    let read = |source| InstallError::Read { path: file.to_path_buf(), source };
    let bytes = std::fs::read(file).map_err(read)?;
    install_text(file, &bytes, paths)
}

/// As [`install`], with another text than the file's.
///
/// # Errors
/// The home cannot be written.
pub(crate) fn install_text(file: &Path, text: &[u8], paths: &Paths) -> Result<(), InstallError> {
    let read = |source| InstallError::Read { path: file.to_path_buf(), source };
    let origin = Origin { file: std::path::absolute(file).map_err(read)? };
    files::replace_keeping_previous(&paths.config_file, text)?;
    files::replace(&paths.config_origin(), &serde_json::to_vec(&origin)?)?;
    Ok(())
}

/// Reads the lab's configuration.
///
/// # Errors
/// Every problem in it, or that there is none.
pub(crate) fn load(paths: &Paths) -> Result<(Configuration, Vec<Warning>), Box<ConfigError>> {
    load_from(&paths.config_file, paths)
}

/// Keeps a copy of the lab's configuration, which has just been found to be right.
///
/// # Errors
/// It cannot be read or written.
pub(crate) fn keep_good(paths: &Paths) -> Result<(), InstallError> {
    let read = |source| InstallError::Read { path: paths.config_file.clone(), source };
    let bytes = std::fs::read(&paths.config_file).map_err(read)?;
    Ok(files::replace_private(&paths.last_good(), &bytes)?)
}

/// Reads the last configuration that was in force, if there is one that is still right.
pub(crate) fn load_good(paths: &Paths) -> Option<Configuration> {
    load_from(&paths.last_good(), paths).ok().map(|(configuration, _)| configuration)
}

fn load_from(
    file: &Path,
    paths: &Paths,
) -> Result<(Configuration, Vec<Warning>), Box<ConfigError>> {
    let unreadable =
        |source| Box::new(ConfigError::Unreadable { path: file.to_path_buf(), source });
    let directory = match origin(paths) {
        Some(origin) => origin.file,
        None => paths.config_file.clone(),
    };
    let bytes = config::read(file).map_err(unreadable)?;
    let name = file.display().to_string();
    let (mut configuration, warnings) =
        Configuration::parse(&name, &bytes, &surroundings()).map_err(Box::new)?;
    let directory = directory.parent().unwrap_or(Path::new("/"));
    configuration.rebase(directory, std::env::home_dir().as_deref());
    Ok((configuration, warnings))
}

/// Puts an empty configuration in the place of the lab's, which is kept beside it.
///
/// # Errors
/// The home cannot be written.
pub(crate) fn reset(paths: &Paths) -> Result<(), InstallError> {
    files::replace_keeping_previous(&paths.config_file, EMPTY)?;
    let origin = paths.config_origin();
    match std::fs::remove_file(&origin) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(FileError { operation: "remove", path: origin, source }.into())
        }
        _ => Ok(()),
    }
}

/// The text of a file with an entry renamed, and in how many places.
///
/// # Errors
/// Why it cannot be done.
pub(crate) fn rename(
    file: &Path,
    entry: Entry,
    old: &str,
    new: &str,
) -> Result<(String, usize), RenameError> {
    let unreadable =
        |source| Box::new(ConfigError::Unreadable { path: file.to_path_buf(), source });
    let bytes = std::fs::read(file).map_err(unreadable)?;
    config::rename(&file.display().to_string(), &bytes, &surroundings(), entry, old, new)
}

/// A short text that changes with the lab's configuration file.
pub(crate) fn fingerprint(paths: &Paths) -> Option<String> {
    let bytes = std::fs::read(&paths.config_file).ok()?;
    Some(format!("{:016x}", stable_hash(&bytes)))
}

/// Where the lab's configuration file came from, if `config update` has brought it.
pub(crate) fn origin_file(paths: &Paths) -> Option<PathBuf> {
    origin(paths).map(|origin| origin.file)
}

/// A file that the user wrote into the lab's home has no other origin.
fn origin(paths: &Paths) -> Option<Origin> {
    let text = std::fs::read_to_string(paths.config_origin()).ok()?;
    serde_json::from_str(&text).ok()
}

fn surroundings() -> Surroundings {
    Surroundings::current(Some(NATIVE_SERVICES.map(str::to_owned).to_vec()))
}
