//! `ferrolab rename …`: a new name for an entry, and for every reference to it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use lab_config::{RenameError, RenamedEntry, did_you_mean};
use miette::{IntoDiagnostic, Report, WrapErr, miette};
use serde::Serialize;

use super::output::print_json;
use super::reload::Reloaded;
use super::{Outcome, ReloadInUse, installed, paths, reload, runtime};
use crate::files;
use crate::paths::Paths;
use crate::supervise::active_config::{self, Turn};
use crate::supervise::control::client::{Client, ControlError};
use crate::supervise::control::{self, Request, WhenInUse};
use crate::supervise::entries;

/// Rename an entry of the configuration, and every reference to it
///
/// Comments, order and quotes of the file stay; the version before is kept beside it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab rename daemon bench oven\n  \
    ferrolab rename service lab.laser lab.laser.red --reload\n  \
    ferrolab rename nameserver local main --file lab.yaml")]
pub(super) struct Arguments {
    #[command(subcommand)]
    entry: RenameTarget,
}

#[derive(Debug, Subcommand)]
enum RenameTarget {
    /// A nameserver, with the daemons, services and autolaunch entries that refer to it
    #[command(after_help = "Examples:\n  ferrolab rename nameserver local main\n  \
        ferrolab rename nameserver local main --file lab.yaml")]
    Nameserver(Names),
    /// A daemon, with the services and autolaunch entries that refer to it
    #[command(after_help = "Examples:\n  ferrolab rename daemon bench oven\n  \
        ferrolab rename daemon bench oven --reload")]
    Daemon(Names),
    /// A service; clients find it under its new name
    #[command(
        after_help = "Examples:\n  ferrolab rename service lab.laser lab.laser.red --reload\n  \
        ferrolab rename service lab.laser lab.laser.red --json | jq .places"
    )]
    Service(Names),
}

#[derive(Debug, Args)]
struct Names {
    /// The name that it has
    old: String,
    /// The name that it gets
    new: String,
    /// Rename in this file, and not in the lab's configuration
    #[arg(long, conflicts_with = "reload")]
    file: Option<PathBuf>,
    /// Let the running lab take it up at once
    #[arg(long)]
    reload: bool,
    #[command(flatten)]
    in_use: ReloadInUse,
    /// Print what was done as one JSON object
    #[arg(long)]
    json: bool,
}

/// The rename, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Renamed<'a> {
    kind: String,
    old: &'a str,
    new: &'a str,
    /// In how many places of the file.
    places: usize,
    file: &'a Path,
    previous: Option<PathBuf>,
    /// The file that the lab's configuration was taken from; it still has the old name.
    origin: Option<PathBuf>,
    /// Of the lab whose configuration this is.
    is_up: Option<bool>,
    /// The running lab's reload, with `--reload`.
    reload: Option<Reloaded>,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let (entry, names) = match &arguments.entry {
        RenameTarget::Nameserver(names) => (RenamedEntry::Nameserver, names),
        RenameTarget::Daemon(names) => (RenamedEntry::Daemon, names),
        RenameTarget::Service(names) => (RenamedEntry::Service, names),
    };
    let Names { old, new, file, reload, in_use, json } = names;
    let in_use = WhenInUse::from(*in_use);
    let paths = paths()?;
    let target = file.as_ref().unwrap_or(&paths.config_file);
    let (places, origin, is_up) = match file {
        Some(file) => {
            let (text, places) = active_config::rename(file, entry, old, new).map_err(explain)?;
            files::replace_keeping_previous(file, text.as_bytes(), |_| false).into_diagnostic()?;
            (places, None, None)
        }
        None => {
            let (places, is_up) = rename_installed(&paths, entry, old, new)?;
            (places, active_config::origin_file(&paths), Some(is_up))
        }
    };
    let reloading = *reload && is_up == Some(true);
    if *json {
        let reload = match reloading {
            true => Some(reload::perform(&paths, reload::SETTLING, in_use)?),
            false => None,
        };
        let code = reload.as_ref().map_or(ExitCode::SUCCESS, Reloaded::code);
        let (kind, previous) = (entry.to_string(), installed::previous(target));
        let (old, new, file) = (old.as_str(), new.as_str(), target.as_path());
        let done = Renamed { kind, old, new, places, file, previous, origin, is_up, reload };
        print_json(&done)?;
        return Ok(code);
    }
    println!("{entry} {old} is {new} now, in {places} place(s) of {}.", target.display());
    println!("The version before is kept at {}.", files::previous(target).display());
    if let Some(origin) = origin {
        println!("{} itself, from which it was taken, is as it was.", origin.display());
    }
    if reloading {
        return reload::reload(&paths, reload::SETTLING, false, in_use);
    }
    if is_up == Some(true) {
        println!("The running lab takes it up with `ferrolab reload`.");
    }
    Ok(ExitCode::SUCCESS)
}

/// Renames in the lab's configuration; in how many places, and whether the lab is up.
fn rename_installed(
    paths: &Paths,
    entry: RenamedEntry,
    old: &str,
    new: &str,
) -> Result<(usize, bool), Report> {
    paths.ensure().into_diagnostic()?;
    // Until the end: another change would be lost, or what belongs to the entry would follow it
    // through its names in another order than the file has.
    let turn = Turn::take(paths).into_diagnostic()?;
    let (text, places) =
        active_config::rename(&paths.config_file, entry, old, new).map_err(explain)?;
    refuse_taken(paths, entry, old, new)?;
    turn.edit(paths, text.as_bytes()).into_diagnostic()?;
    let followed = runtime()?.block_on(carry_over(paths, entry, old, new));
    let is_up = followed.wrap_err_with(|| {
        format!("{entry} {old} is {new} in the file now, but nothing else has its new name")
    })?;
    Ok((places, is_up))
}

/// The kind of an entry, if such entries have files.
fn kind(entry: RenamedEntry) -> Option<control::EntryKind> {
    match entry {
        RenamedEntry::Nameserver => Some(control::EntryKind::Nameserver),
        RenamedEntry::Daemon => Some(control::EntryKind::Daemon),
        // Only its daemon has files.
        RenamedEntry::Service => None,
    }
}

/// A name that another entry has given up is not free before its files have gone with that one.
fn refuse_taken(paths: &Paths, entry: RenamedEntry, old: &str, new: &str) -> Result<(), Report> {
    let later = kind(entry).and_then(|kind| entries::renamed_from(paths, kind, new));
    match later {
        Some(later) if later != old => Err(miette!(
            help = "let the lab take that up first: `ferrolab reload`, or `ferrolab up`",
            "{entry} {new} was renamed to {later}, and its port, epochs and names are still kept \
             under {new}; nothing was renamed"
        )),
        _ => Ok(()),
    }
}

/// Moves an entry's state to the new name: its port, its locks' epochs, the names that it keeps,
/// and whether it was started or stopped by hand. Returns whether the lab is up.
async fn carry_over(
    paths: &Paths,
    entry: RenamedEntry,
    old: &str,
    new: &str,
) -> Result<bool, Report> {
    let client = match Client::connect(&paths.control_socket().into_diagnostic()?).await {
        Ok(client) => Some(client),
        Err(ControlError::NotRunning { .. }) => None,
        Err(error) => return Err(super::explain(error)),
    };
    let is_up = client.is_some();
    match (kind(entry), client) {
        (None, _) => {}
        (Some(kind), Some(client)) => {
            let request = Request::Renamed { kind, old: old.to_owned(), new: new.to_owned() };
            client.ask(&request, |_| {}).await.map_err(super::explain)?;
        }
        (Some(kind), None) => entries::renamed(paths, kind, old, new).into_diagnostic()?,
    }
    Ok(is_up)
}

fn explain(error: RenameError) -> Report {
    match error {
        RenameError::Config(error) => Report::new(*error),
        RenameError::Unknown { ref name, ref known, .. } => {
            let help = match did_you_mean(name, known.iter().map(String::as_str)) {
                Some(help) => help,
                None => format!("there are: {}", known.join(", ")),
            };
            miette!(help = help, "{error}")
        }
        error => miette!("{error}"),
    }
}
