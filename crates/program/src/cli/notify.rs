//! `ferrolab notify test`: a notification to each target of the configuration.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use miette::{Report, miette};
use serde_json::json;

use super::output::print_json;
use super::{Outcome, paths, runtime};
use crate::notify;
use crate::supervise::active_config;

/// Try the targets of notifications (`notify` of the configuration)
#[derive(Debug, Subcommand)]
pub(super) enum NotifyCommand {
    Test(Test),
}

/// Send a test notification to each target, and say whether it was taken
///
/// This command sends it, with the configuration file as it is now; the lab need not be up.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab notify test\n  ferrolab notify test --json")]
pub(super) struct Test {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &NotifyCommand) -> Outcome {
    let NotifyCommand::Test(Test { json: as_json }) = command;
    let paths = paths()?;
    let (configuration, _) = active_config::load(&paths).map_err(|error| Report::new(*error))?;
    let outcomes = runtime()?.block_on(notify::test(&configuration.notify));
    if outcomes.is_empty() {
        return Err(miette!(
            help = "write `notify: {url: \"https://…\"}` or `notify: {command: [PROGRAM]}`",
            "the configuration has no target of notifications"
        ));
    }
    let failed = outcomes.iter().any(Result::is_err);
    if *as_json {
        let rows: Vec<_> = outcomes
            .iter()
            .map(|outcome| match outcome {
                Ok(text) => json!({"ok": true, "text": text}),
                Err(text) => json!({"ok": false, "text": text}),
            })
            .collect();
        print_json(&json!({ "targets": rows }))?;
    } else {
        for outcome in &outcomes {
            match outcome {
                Ok(text) => println!("{text}"),
                Err(text) => println!("not delivered: {text}"),
            }
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
