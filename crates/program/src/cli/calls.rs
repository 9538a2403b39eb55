//! `ferrolab calls`: the calls that run or wait in the lab, and those that have been.

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::call_history::{self, Wanted};
use super::labs::{self, LabsArgument};
use super::output::print_json;
use super::{Outcome, paths, table};
use crate::host::CallRow;
use crate::paths::Paths;

/// Time between two looks of `--follow`: daemons report as often.
const CALLS_FOLLOW_INTERVAL: Duration = Duration::from_secs(1);

/// Show the calls that run or wait and what they wait for, or those that have been
///
/// The list is at most a second old; a call is in it when it has taken a quarter of a second. Which
/// calls are in the history is the configuration's `call_log`: those that raised, were refused or
/// were slow, unless it says otherwise.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ferrolab calls\n  ferrolab calls --service lab.stage --follow\n  \
    ferrolab calls --json | jq '.[] | select(.waits_for == null)'\n  \
    ferrolab calls --history --since 8h --errors\n  \
    ferrolab calls --history --service lab.stage --caller ada --json"
)]
pub(super) struct Arguments {
    /// Only calls of this service
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
    /// Print a line when a call appears and when it has ended, until Ctrl-C
    #[arg(long, conflicts_with = "history")]
    follow: bool,
    /// Show the call log: what ran, for whom, for how long, and how it ended
    #[arg(long, conflicts_with_all = ["labs", "all"])]
    history: bool,
    /// Of the history, only calls of this user, address or host
    #[arg(long, value_name = "CALLER", requires = "history")]
    caller: Option<String>,
    /// Of the history, only calls from then on: `10m`, `2h`, `3d` ago, `08:30`, or a date
    #[arg(long, value_name = "TIME", value_parser = super::logs::time, requires = "history")]
    since: Option<Timestamp>,
    /// Of the history, only calls that raised or were refused
    #[arg(long, requires = "history")]
    errors: bool,
    /// Of the history, only the last so many (default: 200 in a table, all with --json)
    #[arg(long, value_name = "COUNT", requires = "history")]
    last: Option<usize>,
    #[command(flatten)]
    labs: LabsArgument,
    /// Print a JSON list instead of a table; with --follow, a JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    if arguments.history {
        let wanted = Wanted {
            service: arguments.service.as_deref(),
            caller: arguments.caller.as_deref(),
            since: arguments.since,
            only_errors: arguments.errors,
            last: arguments.last,
        };
        return call_history::print(&wanted, arguments.json);
    }
    let paths = paths()?;
    if arguments.follow {
        return follow(&paths, arguments);
    }
    let (calls, code) = list(&paths, arguments)?;
    if arguments.json {
        print_json(&calls)?;
        return Ok(code);
    }
    let headings = ["SERVICE", "MEMBER", "KIND", "CALLER", "USER", "SINCE", "SECONDS", "WAITS FOR"];
    let mut shown = table::table(&headings);
    let now = Timestamp::now();
    for call in &calls {
        let cells = [&call.service, &call.member, &call.kind, &call.caller];
        let mut cells: Vec<String> = cells.into_iter().map(|text| or_none(text)).collect();
        let user = call.user.as_deref().unwrap_or_default();
        let name = remote::client_name(user, call.identity.as_deref());
        cells.push(or_none(&name.unwrap_or_default()));
        cells.push(call.since.clone());
        cells.push(format!("{:.1}", call.seconds_at(now)));
        cells.push(waits_for(call));
        shown.add_row(cells);
    }
    table::print(&shown);
    Ok(code)
}

fn list(paths: &Paths, arguments: &Arguments) -> Result<(Vec<CallRow>, ExitCode), miette::Report> {
    let (listing, code) = arguments.labs.listing(paths)?;
    if let Some(name) = &arguments.service {
        super::locks::known(name, listing.services.iter().map(|row| row.name.as_str()))?;
    }
    let wanted =
        |call: &CallRow| arguments.service.as_ref().is_none_or(|name| *name == call.service);
    labs::print_away(&listing.labs);
    Ok((listing.calls.into_iter().filter(wanted).collect(), code))
}

fn or_none(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { table::for_terminal(text) }
}

fn waits_for(call: &CallRow) -> String {
    let waits = or_none(call.waits_for.as_deref().unwrap_or_default());
    match (call.waits_for_itself, call.is_overdue) {
        (true, _) => format!("{waits} (its own daemon calls)"),
        (_, true) => "- (overdue)".to_owned(),
        _ => waits,
    }
}

/// Prints changes until Ctrl-C.
fn follow(paths: &Paths, arguments: &Arguments) -> Outcome {
    let key = |call: &CallRow| (call.caller.clone(), call.member.clone(), call.since.clone());
    let mut known = HashMap::new();
    loop {
        let (calls, _) = list(paths, arguments)?;
        let now = Timestamp::now();
        let current: HashMap<_, _> = calls.into_iter().map(|call| (key(&call), call)).collect();
        for (key, call) in &current {
            if !known.contains_key(key) {
                print_change(arguments, "begun", call, now)?;
            }
        }
        for (key, call) in &known {
            if !current.contains_key(key) {
                print_change(arguments, "ended", call, now)?;
            }
        }
        known = current;
        std::thread::sleep(CALLS_FOLLOW_INTERVAL);
    }
}

fn print_change(
    arguments: &Arguments,
    event: &str,
    call: &CallRow,
    now: Timestamp,
) -> Result<(), miette::Report> {
    if arguments.json {
        let mut line = serde_json::to_value(call).unwrap_or_default();
        if let Some(line) = line.as_object_mut() {
            line.insert("event".to_owned(), event.into());
        }
        println!("{line}");
        return Ok(());
    }
    let title = table::for_terminal(&call.title());
    match event {
        "begun" if call.waits_for.is_some() => {
            println!("{} {title} waits for {}", call.since, waits_for(call));
        }
        "begun" => println!("{} {title} runs", call.since),
        _ => println!("{now:.0} {title} has ended after {:.0} s", call.seconds_at(now)),
    }
    Ok(())
}
