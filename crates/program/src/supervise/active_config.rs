//! The configuration that a lab runs with: a copy of the user's file, and where that came from.
//!
//! Owns the way of a file into the lab's home and back out. The copy is as the user wrote it;
//! its relative paths still mean what they meant where it was written, so the folder it came from
//! is kept beside it.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lab_config::{
    self, ConfigError, Configuration, Folder, RenameError, RenamedEntry, Severity, Surroundings,
    Warning, stable_hash,
};
use serde::{Deserialize, Serialize};

use crate::access;
use crate::files::{self, FileError};
use crate::host::describe_natives;
use crate::open;
use crate::paths::{Environment, Paths};
use crate::state_file;

/// A configuration of nothing.
const EMPTY: &[u8] = b"version: \"1.0\"\n";

/// Ends of the names of settings whose values nobody else is to read: passwords of keys and of
/// etcd's user, tokens and headers of `push` and `notify`.
const SECRETS: [&[u8]; 4] = [b"keypasswd", b"password", b"token", b"headers"];

/// How long a person waits for their turn to change the configuration.
const CHANGE_LOCK_TIMEOUT: Duration = Duration::from_secs(10);
/// Wait of the lab for its turn to copy it. The process that has it may hang, and the lab goes on.
const COPY: Duration = Duration::from_secs(1);

/// Where a configuration came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Origin {
    /// Relative paths in it are taken from here.
    folder: PathBuf,
    /// The file, where it was one and not a pipe.
    file: Option<PathBuf>,
    /// The fingerprint of its text when it was taken over; 0.1.0 did not write it down.
    #[serde(default)]
    taken: Option<String>,
}

/// Origin of the installed file. File and origin are two files, and the process that replaces them
/// may be killed between the two: both origins are kept, and the text decides which one holds.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Origins {
    /// Of the file that was there before, or of whatever else is there now.
    current: Option<Origin>,
    /// Of the text with this fingerprint, which was about to be installed.
    next: Option<(String, Option<Origin>)>,
}

/// The last configuration that was in force.
#[derive(Debug, Serialize, Deserialize)]
struct Good {
    origin: Option<Origin>,
    text: String,
}

/// A user's file that was read and found right: what was looked at is what is installed.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) configuration: Configuration,
    /// The services that have a stand-in which is not in force, as they are with it.
    pub(crate) stand_ins: Configuration,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) text: Vec<u8>,
    name: String,
    origin: Origin,
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

/// Reads and checks a user's file. It is read once, so it may be a pipe. A reason for
/// which an entry cannot start now (a path that leads nowhere) counts as `unready` says.
///
/// # Errors
/// Every problem in it.
pub(crate) fn check(file: &Path, unready: Severity) -> Result<Checked, Box<ConfigError>> {
    let unreadable =
        |source| Box::new(ConfigError::Unreadable { path: file.to_path_buf(), source });
    let origin = Origin::of(file).map_err(unreadable)?;
    let text = lab_config::read(file).map_err(unreadable)?;
    let origin = Origin { taken: Some(fingerprint_of(&text)), ..origin };
    Checked::new(file.display().to_string(), text, origin, unready)
}

impl Checked {
    fn new(
        name: String,
        text: Vec<u8>,
        origin: Origin,
        unready: Severity,
    ) -> Result<Checked, Box<ConfigError>> {
        let home = std::env::home_dir();
        let folder = Some(Folder { base: origin.folder.clone(), home });
        let state = Paths::new(&Environment::current()).ok().map(|paths| paths.state_dir);
        let surroundings =
            Surroundings { folder, state, unready, unknown_people: unready, ..surroundings(false) };
        let (configuration, mut warnings) = parse_in(&name, &text, &origin.folder, &surroundings)?;
        // The stand-ins are to be right before somebody needs them.
        let simulating = Surroundings { simulates: true, ..surroundings };
        let (mut stand_ins, of_stand_ins) = parse_in(&name, &text, &origin.folder, &simulating)?;
        let is_simulated_anyway =
            |name: &str| configuration.services.iter().any(|own| own.name == name && own.simulated);
        stand_ins
            .services
            .retain(|service| service.simulated && !is_simulated_anyway(&service.name));
        let known: HashSet<String> = warnings.iter().map(Warning::plain).collect();
        warnings
            .extend(of_stand_ins.into_iter().filter(|warning| !known.contains(&warning.plain())));
        Ok(Checked { configuration, stand_ins, warnings, text, name, origin })
    }

    /// The same file with another text.
    ///
    /// # Errors
    /// Every problem in that.
    pub(crate) fn with_text(self, text: Vec<u8>) -> Result<Checked, Box<ConfigError>> {
        Checked::new(self.name, text, self.origin, Severity::Warning)
    }

    /// Takes it over as the lab's configuration; the one before is kept beside it.
    ///
    /// # Errors
    /// The home cannot be written.
    pub(crate) fn install(&self, paths: &Paths) -> Result<(), InstallError> {
        Turn::take(paths)?.replace(paths, &self.text, Some(self.origin.clone()))
    }
}

impl Origin {
    fn of(file: &Path) -> std::io::Result<Origin> {
        if file.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir()) {
            return Ok(Origin { folder: std::env::current_dir()?, file: None, taken: None });
        }
        let file = std::path::absolute(file)?;
        let folder = file.parent().unwrap_or(Path::new("/")).to_path_buf();
        Ok(Origin { folder, file: Some(file), taken: None })
    }
}

/// The right to change the lab's configuration, which one process has at a time, from before it
/// reads what it changes.
pub(crate) struct Turn(#[expect(dead_code, reason = "it is held")] File);

impl Turn {
    /// Waits for it, but not for ever.
    ///
    /// # Errors
    /// Another process has it for long; or the home cannot be written.
    pub(crate) fn take(paths: &Paths) -> Result<Turn, FileError> {
        let turn = files::lock(&paths.config_lock(), CHANGE_LOCK_TIMEOUT).map(Turn)?;
        // It is written anew. Only commands take a turn, and they have no log.
        if let Err(unusable) = state_file::read::<Origins>(&paths.config_origin()) {
            eprintln!("warning: {unusable}");
        }
        Ok(turn)
    }

    /// Writes a text in the place of the installed one that was made from it.
    ///
    /// # Errors
    /// The home cannot be written.
    pub(crate) fn edit(&self, paths: &Paths, text: &[u8]) -> Result<(), InstallError> {
        let before = open::read_regular(&paths.config_file).ok();
        let origin = before.and_then(|before| origin_of(paths, &before));
        self.replace(paths, text, origin)
    }

    /// Replaces the installed file and what is known of its origin. Whenever this is broken off,
    /// what is there afterwards is the one before or the new one, each with its own origin.
    fn replace(
        &self,
        paths: &Paths,
        text: &[u8],
        origin: Option<Origin>,
    ) -> Result<(), InstallError> {
        files::sweep(&paths.config_file);
        let before = open::read_regular(&paths.config_file).ok();
        let current = before.and_then(|before| origin_of(paths, &before));
        let write = |origins: &Origins| -> Result<(), InstallError> {
            Ok(files::replace(&paths.config_origin(), &serde_json::to_vec(origins)?)?)
        };
        write(&Origins { current, next: Some((fingerprint_of(text), origin.clone())) })?;
        files::replace_keeping_previous(&paths.config_file, text, has_secret)?;
        write(&Origins { current: origin, next: None })
    }
}

/// Reads the lab's configuration.
///
/// # Errors
/// Every problem in it, or that it does not exist.
pub(crate) fn load(paths: &Paths) -> Result<(Configuration, Vec<Warning>), Box<ConfigError>> {
    load_as(paths, false)
}

/// The same, with the stand-ins of all services that have one if the lab `simulates`.
///
/// # Errors
/// As `load`.
pub(crate) fn load_as(
    paths: &Paths,
    simulates: bool,
) -> Result<(Configuration, Vec<Warning>), Box<ConfigError>> {
    // A lab starts although a user who is named in `access` was removed.
    read_in(paths, &surroundings(simulates))
}

/// The same for a reload, which refuses users and groups that nobody knows: the rules in force stay
/// until they are mended.
///
/// # Errors
/// As `load`.
pub(crate) fn load_anew(
    paths: &Paths,
    simulates: bool,
) -> Result<(Configuration, Vec<Warning>), Box<ConfigError>> {
    let unknown_people = Severity::Error;
    read_in(paths, &Surroundings { unknown_people, ..surroundings(simulates) })
}

fn read_in(
    paths: &Paths,
    surroundings: &Surroundings,
) -> Result<(Configuration, Vec<Warning>), Box<ConfigError>> {
    let file = &paths.config_file;
    let unreadable = |source| Box::new(ConfigError::Unreadable { path: file.clone(), source });
    // Unlike a user's file, it may not be a pipe, which would block the lab.
    let opened = open::open_regular(file).map_err(unreadable)?;
    let text = lab_config::read_from(opened).map_err(unreadable)?;
    let folder = folder(paths, origin_of(paths, &text));
    parse_in(&file.display().to_string(), &text, &folder, surroundings)
}

/// Keeps a copy of the lab's configuration, which has just been found to be right, and of what its
/// paths mean. Waits for nobody who has locked it for long.
///
/// # Errors
/// It cannot be locked, read or written.
pub(crate) fn keep_good(paths: &Paths) -> Result<(), InstallError> {
    let _turn = files::lock(&paths.config_lock(), COPY)?;
    let read = |source| InstallError::Read { path: paths.config_file.clone(), source };
    let text = open::read_regular(&paths.config_file).map_err(read)?;
    let text = String::from_utf8(text).map_err(|error| read(io::Error::other(error)))?;
    let origin = origin_of(paths, text.as_bytes());
    let folder = folder(paths, origin.clone());
    // Somebody may have written another one since it was looked at.
    if parse("", text.as_bytes(), &folder, false).is_err() {
        return Ok(());
    }
    if has_secret(text.as_bytes()) {
        files::close_to_others(&paths.config_file)?;
    }
    let good = serde_json::to_vec(&Good { origin, text })?;
    Ok(files::replace_private(&paths.last_good(), &good)?)
}

/// Sets aside what the supervisor keeps of the configuration and cannot read any longer; a sentence
/// for each.
pub(crate) fn check_state(paths: &Paths) -> Vec<String> {
    let origins = state_file::read::<Origins>(&paths.config_origin()).err();
    let good = state_file::read::<Good>(&paths.last_good()).err();
    let origins = origins.map(|unusable| {
        format!(
            "relative paths in {} count from its own folder: {unusable}; `ferrolab config update \
             FILE` mends that",
            paths.config_file.display()
        )
    });
    let good = good.map(|unusable| format!("the last good configuration is lost: {unusable}"));
    origins.into_iter().chain(good).collect()
}

/// Reads the last configuration that was in force, if there is one that is still right.
pub(crate) fn load_good(paths: &Paths, simulates: bool) -> Option<Configuration> {
    let Good { origin, text } = state_file::peek(&paths.last_good()).ok()??;
    let name = paths.last_good().display().to_string();
    let parsed = parse(&name, text.as_bytes(), &folder(paths, origin), simulates).ok()?;
    Some(parsed.0)
}

fn parse(
    name: &str,
    text: &[u8],
    folder: &Path,
    simulates: bool,
) -> Result<(Configuration, Vec<Warning>), Box<ConfigError>> {
    parse_in(name, text, folder, &surroundings(simulates))
}

fn parse_in(
    name: &str,
    text: &[u8],
    folder: &Path,
    surroundings: &Surroundings,
) -> Result<(Configuration, Vec<Warning>), Box<ConfigError>> {
    let (mut configuration, warnings) =
        Configuration::parse(name, text, surroundings).map_err(Box::new)?;
    configuration.rebase(folder, std::env::home_dir().as_deref());
    Ok((configuration, warnings))
}

/// A file that the user wrote into the lab's home has no other origin.
fn folder(paths: &Paths, origin: Option<Origin>) -> PathBuf {
    let home = || paths.config_file.parent().unwrap_or(Path::new("/")).to_path_buf();
    origin.map_or_else(home, |origin| origin.folder)
}

/// Puts an empty configuration in the place of the lab's, which is kept beside it.
///
/// # Errors
/// The home cannot be written.
pub(crate) fn reset(paths: &Paths) -> Result<(), InstallError> {
    Turn::take(paths)?.replace(paths, EMPTY, None)
}

/// The text of a file with an entry renamed, and in how many places.
///
/// # Errors
/// Why it cannot be done.
pub(crate) fn rename(
    file: &Path,
    entry: RenamedEntry,
    old: &str,
    new: &str,
) -> Result<(String, usize), RenameError> {
    let unreadable =
        |source| Box::new(ConfigError::Unreadable { path: file.to_path_buf(), source });
    let opened = open::open_regular(file).map_err(unreadable)?;
    let bytes = lab_config::read_from(opened).map_err(unreadable)?;
    lab_config::rename(&file.display().to_string(), &bytes, &surroundings(false), entry, old, new)
}

/// A short text that changes with the lab's configuration file.
pub(crate) fn fingerprint(paths: &Paths) -> Option<String> {
    open::read_regular(&paths.config_file).ok().map(|text| fingerprint_of(&text))
}

/// Whether a configuration has the password of a key, or may have: its file is for its owner only.
pub(crate) fn has_secret(text: &[u8]) -> bool {
    SECRETS.iter().any(|name| text.windows(name.len()).any(|window| window == *name))
}

fn fingerprint_of(text: &[u8]) -> String {
    format!("{:016x}", stable_hash(text))
}

/// Where the lab's configuration file came from, if `config update` has brought it.
pub(crate) fn origin_file(paths: &Paths) -> Option<PathBuf> {
    origin_of(paths, &open::read_regular(&paths.config_file).ok()?)?.file
}

/// The file that the lab's configuration came from, if it has been edited since. An entry that was
/// renamed in the lab's own copy is no edit.
pub(crate) fn edited_origin(paths: &Paths) -> Option<PathBuf> {
    let installed = open::read_regular(&paths.config_file).ok()?;
    let Origin { file, taken, .. } = origin_of(paths, &installed)?;
    let file = file.filter(|file| *file != paths.config_file)?;
    let now = fingerprint_of(&open::read_regular(&file).ok()?);
    let installed = fingerprint_of(&installed);
    (now != installed && Some(&now) != taken.as_ref()).then_some(file)
}

/// Where the installed `text` came from.
fn origin_of(paths: &Paths, text: &[u8]) -> Option<Origin> {
    // The supervisor tells of a file that cannot be used.
    let Origins { current, next } = state_file::peek(&paths.config_origin()).ok()??;
    match next {
        Some((fingerprint, origin)) if fingerprint == fingerprint_of(text) => origin,
        _ => current,
    }
}

fn surroundings(simulates: bool) -> Surroundings {
    let paths = Paths::new(&Environment::current()).ok();
    let known = paths.map(|paths| access::known_names(&paths.access_folder()));
    let (users, groups) = known.unwrap_or_default();
    Surroundings { simulates, users, groups, ..Surroundings::current(Some(describe_natives())) }
}

pub(crate) mod portable;

#[cfg(test)]
mod tests;
