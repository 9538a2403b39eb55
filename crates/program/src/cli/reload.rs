//! `ferrolab reload`: the running lab takes up its configuration file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use miette::{Report, miette};
use serde::Serialize;

use super::output::print_json;
use super::progress::Progress;
use super::table::lines_for_terminal;
use super::{InUse, Outcome, explain, paths, runtime, supervisor, up};
use crate::paths::Paths;
use crate::supervise::active_config;
use crate::supervise::control::client::{ControlError, News};
use crate::supervise::control::{Changes, Request, WhenInUse};

/// Longest wait for the entries after a reload, in seconds.
pub(super) const SETTLING: u64 = 60;

/// Let the running lab take up its configuration file
///
/// Only entries and services whose part of the configuration has changed are touched; all others go
/// on serving, and their clients notice nothing. If there is a problem in the file, the lab keeps
/// what it has; so it does where a client has a lock or a call in what would restart.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab config update lab.yaml && ferrolab reload\n  \
    ferrolab config update lab.yaml --reload   # the same in one")]
pub(super) struct Arguments {
    /// Wait at most this many seconds for entries to become ready
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
    /// Print what was done as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    in_use: InUse,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    reload(&paths()?, arguments.timeout, arguments.json, arguments.in_use.into())
}

/// Outcome of a reload; `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct Reloaded {
    #[serde(flatten)]
    changes: Changes,
    /// Entries that should run and do not, and why; a sentence each.
    failures: Vec<String>,
    /// The file that the configuration was taken from, if it was edited since.
    edited: Option<PathBuf>,
    /// Services whose drivers have changed since their import, and how.
    stale: BTreeMap<String, String>,
}

impl Reloaded {
    pub(super) fn code(&self) -> ExitCode {
        match self.failures.is_empty() && self.changes.problems.is_empty() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }
    }
}

/// Asks the running supervisor for a reload and tells what it has done.
pub(super) fn reload(paths: &Paths, seconds: u64, json: bool, in_use: WhenInUse) -> Outcome {
    let reloaded = perform(paths, seconds, in_use)?;
    if json {
        print_json(&reloaded)?;
    } else {
        tell(&reloaded);
    }
    Ok(reloaded.code())
}

/// Asks the running supervisor for a reload.
pub(super) fn perform(paths: &Paths, seconds: u64, in_use: WhenInUse) -> Result<Reloaded, Report> {
    let (changes, listing) = runtime()?.block_on(async {
        let client = supervisor(paths).await?;
        // Checked here first: here the problems can be shown with the lines that they are in.
        active_config::load(paths).map_err(|error| {
            eprintln!("The lab keeps the configuration that it has.");
            Report::new(*error)
        })?;
        let mut progress = Progress::up();
        let mut changes = Changes::default();
        let hear = |news: News<'_>| match news {
            News::Changes(done) => changes = done.clone(),
            News::Progress(listing) => progress.show(listing),
            News::Waiting(uses) => progress.show_waiting(uses),
            News::Note(_) => {}
        };
        let listing = client.ask_for_news(&Request::Reload { seconds, in_use }, hear).await;
        let listing = listing.map_err(|error| match error {
            ControlError::Refused(reason) => {
                miette!(help = "the lab keeps the configuration that it has", "{reason}")
            }
            error => explain(error),
        })?;
        progress.show(&listing);
        Ok::<_, Report>((changes, listing))
    })?;
    let stale = listing.services.iter().filter_map(|row| {
        let stale = row.report.driver.as_ref()?.stale.as_ref()?;
        Some((row.name.clone(), stale.clone()))
    });
    Ok(Reloaded {
        changes,
        failures: up::failures(&listing),
        edited: active_config::edited_origin(paths),
        stale: stale.collect(),
    })
}

/// The command that takes over an edited file.
pub(super) fn takes_over(file: &Path) -> String {
    format!("`ferrolab config update {} --reload` takes it over", file.display())
}

fn tell(Reloaded { changes, failures: failed, edited, stale }: &Reloaded) {
    for warning in &changes.warnings {
        eprintln!("warning: {warning}");
    }
    let lines = [
        ("Removed", &changes.removed),
        ("Added", &changes.added),
        ("Restarted", &changes.restarted),
        ("Changed without a restart", &changes.adjusted),
        ("Changed for the next start", &changes.changed),
        ("Started", &changes.started),
    ];
    for (what, ids) in lines.iter().filter(|(_, ids)| !ids.is_empty()) {
        println!("{what}: {}", ids.join(", "));
    }
    match changes.unchanged.len() {
        0 => {}
        count => println!("Left alone: {count}"),
    }
    for problem in &changes.problems {
        println!("Not done: {problem}");
    }
    if let Some(file) = edited {
        println!("{} was edited since it was taken over: {}.", file.display(), takes_over(file));
    }
    for (service, stale) in stale {
        let stale = lines_for_terminal(stale);
        println!("service {service}: {stale}; `ferrolab restart {service}` takes it up.");
    }
    if !failed.is_empty() {
        println!("Not all of it runs:");
        failed.iter().for_each(|title| println!("{title}"));
    }
}
