//! `ferrolab alarms`: lists the alarms that are not `ok`, and acknowledges them.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::output::print_json;
use super::{Outcome, explain, lock, paths, runtime, supervisor, table};
use crate::host::AlarmRow;
use crate::supervise::control::Request;
use crate::supervise::control::client::News;

/// Show the alarms that are not ok, or acknowledge one
///
/// An alarm is a condition on a value: `alarm` of a member in the configuration.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  ferrolab alarms\n  ferrolab alarms --json\n  \
    ferrolab alarms ack lab.cryo.temperature --reason \"on my way\""
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<AlarmsCommand>,
    /// Print a JSON list instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum AlarmsCommand {
    Ack(Acknowledge),
}

/// Say that somebody looks after an alarm: it no longer counts in `status`
///
/// It clears by itself when its condition is over. One that latches clears with this.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab alarms ack lab.cryo.temperature\n  \
    ferrolab alarms ack lab.cryo --user ada --reason \"I am filling it up\"")]
struct Acknowledge {
    /// The value (SERVICE.MEMBER), or a service for all of its alarms
    name: String,
    /// Your reason; others are shown this
    #[arg(long, default_value = "")]
    reason: String,
    /// Your name (default: your user name)
    #[arg(long)]
    user: Option<String>,
    /// Print what was done as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    match &arguments.command {
        Some(AlarmsCommand::Ack(acknowledge)) => acknowledge_alarms(acknowledge),
        None => list(arguments.json),
    }
}

fn list(as_json: bool) -> Outcome {
    let paths = paths()?;
    let listing = runtime()?.block_on(async {
        supervisor(&paths).await?.ask(&Request::Ps { looks: false }, |_| {}).await.map_err(explain)
    })?;
    if as_json {
        print_json(&listing.alarms)?;
        return Ok(ExitCode::SUCCESS);
    }
    if listing.alarms.is_empty() {
        match listing.alarms_watched {
            0 => {
                println!("There are no alarms: `alarm` of a member in the configuration sets one.")
            }
            count => println!("All {count} alarm(s) are ok."),
        }
        return Ok(ExitCode::SUCCESS);
    }
    let headings = ["VALUE", "ALARM", "STATE", "SINCE", "WITH", "BY", "MESSAGE"];
    let mut shown = table::table(&headings);
    for row in &listing.alarms {
        let state = if row.is_over { "firing (over)".to_owned() } else { row.state.clone() };
        let by = row.acknowledged.as_ref().map_or_else(String::new, |by| match &*by.reason {
            "" => by.by.clone(),
            reason => format!("{}: {reason}", by.by),
        });
        let AlarmRow { condition, since, message, .. } = row;
        let message = message.clone().unwrap_or_default();
        let (title, value) = (row.title(), row.shown_value());
        let cells = [&title, condition, &state, since, &value, &by, &message];
        shown.add_row(cells.map(|text| or_none(text)));
    }
    table::print(&shown);
    Ok(ExitCode::SUCCESS)
}

fn acknowledge_alarms(arguments: &Acknowledge) -> Outcome {
    let paths = paths()?;
    let by = arguments.user.clone().unwrap_or_else(lock::own_name);
    let Acknowledge { name, reason, .. } = arguments;
    let request = Request::AcknowledgeAlarms {
        name: name.clone(),
        by: by.clone(),
        reason: reason.clone(),
        client: None,
    };
    let mut done = Vec::new();
    runtime()?.block_on(async {
        let hear = |news: News<'_>| {
            if let News::Note(text) = news {
                done.push(text.to_owned());
            }
        };
        supervisor(&paths).await?.ask_for_news(&request, hear).await.map_err(explain)
    })?;
    if arguments.json {
        print_json(&json!({"acknowledged": done, "by": by, "reason": reason}))?;
    } else {
        for title in &done {
            println!("acknowledged: {}", table::for_terminal(title));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn or_none(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { table::for_terminal(text) }
}
