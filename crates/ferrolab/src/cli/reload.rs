//! `ferrolab reload`: the running lab takes up its configuration file.

use std::process::ExitCode;

use clap::Args;
use miette::{Report, miette};
use serde::Serialize;

use super::output::print_json;
use super::progress::Progress;
use super::{Outcome, explain, paths, runtime, supervisor, up};
use crate::paths::Paths;
use crate::supervise::active_config;
use crate::supervise::control::client::{ControlError, News};
use crate::supervise::control::{Changes, Request};

/// Longest wait for the entries after a reload, in seconds.
pub(super) const SETTLING: u64 = 60;

/// Let the running lab take up its configuration file
///
/// Only entries whose part of the configuration has changed are touched; all others go on
/// serving, and their clients notice nothing. If there is a problem in the file, the lab keeps
/// what it has.
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
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    reload(&paths()?, arguments.timeout, arguments.json)
}

/// Outcome of a reload; `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct Reloaded {
    #[serde(flatten)]
    changes: Changes,
    /// Entries that should run and do not, and why; a sentence each.
    failures: Vec<String>,
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
pub(super) fn reload(paths: &Paths, seconds: u64, json: bool) -> Outcome {
    let reloaded = perform(paths, seconds)?;
    if json {
        print_json(&reloaded)?;
    } else {
        tell(&reloaded);
    }
    Ok(reloaded.code())
}

/// Asks the running supervisor for a reload.
pub(super) fn perform(paths: &Paths, seconds: u64) -> Result<Reloaded, Report> {
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
            News::Note(_) => {}
        };
        let listing = client.ask_for_news(&Request::Reload { seconds }, hear).await;
        let listing = listing.map_err(|error| match error {
            ControlError::Refused(reason) => {
                miette!(help = "the lab keeps the configuration that it has", "{reason}")
            }
            error => explain(error),
        })?;
        progress.show(&listing);
        Ok::<_, Report>((changes, listing))
    })?;
    Ok(Reloaded { changes, failures: up::failures(&listing) })
}

fn tell(Reloaded { changes, failures: failed }: &Reloaded) {
    for warning in &changes.warnings {
        eprintln!("warning: {warning}");
    }
    let lines = [
        ("Removed", &changes.removed),
        ("Added", &changes.added),
        ("Restarted", &changes.restarted),
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
    if !failed.is_empty() {
        println!("Not all of it runs:");
        failed.iter().for_each(|title| println!("{title}"));
    }
}
