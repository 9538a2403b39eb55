//! `ferrolab reload`: the running lab takes up its configuration file.

use std::process::ExitCode;

use clap::Args;
use miette::{Report, miette};

use super::output::print_json;
use super::progress::Progress;
use super::{Outcome, explain, paths, runtime, supervisor, up};
use crate::control::client::{ControlError, News};
use crate::control::{Changes, Request};
use crate::installed;
use crate::paths::Paths;

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

/// Asks the running supervisor for a reload and tells what it has done.
pub(super) fn reload(paths: &Paths, seconds: u64, json: bool) -> Outcome {
    let (changes, listing) = runtime()?.block_on(async {
        let client = supervisor(paths).await?;
        // Checked here first: here the problems can be shown with the lines that they are in.
        installed::load(paths).map_err(|error| {
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
    let failed = up::failures(&listing);
    let whole = failed.is_empty() && changes.problems.is_empty();
    if json {
        print_json(&changes)?;
    } else {
        tell(&changes, &failed);
    }
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(changes: &Changes, failed: &[String]) {
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
