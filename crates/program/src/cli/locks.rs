//! `ferrolab locks`: who has which instrument, who waits, and how it was before.

use std::collections::HashSet;
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use lab_config::did_you_mean;
use miette::{Context, IntoDiagnostic, Report, miette};
use serde::Serialize;

use super::labs::{self, LabsArgument};
use super::output::print_json;
use super::{Outcome, paths, table};
use crate::host::{LockOwnerRow, LockRow};
use crate::log::lock_log::{self, LockLogLine};
use crate::supervise::active_config;
use crate::supervise::control::ServiceRow;

/// Lines of the history in a table, unless another number is asked for.
const DEFAULT_LINES: usize = 200;

/// Show who holds which lock and who waits, or who held them before
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab locks\n  ferrolab locks --history lab.laser\n  \
    ferrolab locks --history --json | jq '.[] | select(.event == \"broken\")'")]
pub(super) struct Arguments {
    /// Only the lock of this service
    name: Option<String>,
    /// Show the lock log: who held what, and how it ended
    #[arg(long, conflicts_with_all = ["labs", "all"])]
    history: bool,
    /// Of the history, only the last so many lines (default: 200 in a table, all with --json)
    #[arg(long, value_name = "LINES", requires = "history")]
    last: Option<usize>,
    #[command(flatten)]
    labs: LabsArgument,
    /// Print a JSON list instead of a table
    #[arg(long)]
    json: bool,
}

/// One lock.
#[derive(Serialize)]
struct Row {
    service: String,
    daemon: String,
    #[serde(flatten)]
    lock: LockRow,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    if arguments.history { history(arguments) } else { now(arguments) }
}

fn now(arguments: &Arguments) -> Outcome {
    let paths = paths()?;
    let (listing, code) = arguments.labs.listing(&paths)?;
    labs::print_away(&listing.labs);
    if let Some(name) = &arguments.name {
        known(name, listing.services.iter().map(|row| row.name.as_str()))?;
        if let Some(row) = listing.services.iter().find(|row| row.name == *name) {
            has_lock(row)?;
        }
    }
    let wanted = |name: &String| arguments.name.as_ref().is_none_or(|wanted| wanted == name);
    let rows: Vec<Row> = listing
        .services
        .into_iter()
        .filter(|row| wanted(&row.name))
        .filter_map(|row| {
            Some(Row { lock: row.report.lock?, service: row.name, daemon: row.daemon })
        })
        .map(|mut row| {
            if let Some(owner) = &mut row.lock.owner {
                owner.idle = owner.idle_at(Timestamp::now());
            }
            row
        })
        .collect();
    if arguments.json {
        print_json(&rows)?;
        return Ok(code);
    }
    let headings = ["SERVICE", "LOCKED BY", "FROM", "SINCE", "IDLE", "EPOCH", "WAITING"];
    let mut shown = table::table(&headings);
    for Row { service, lock, .. } in &rows {
        let waiting: Vec<String> =
            lock.waiting.iter().map(|waiter| table::for_terminal(&waiter.name())).collect();
        let waiting = if waiting.is_empty() { "-".to_owned() } else { waiting.join(", ") };
        match &lock.owner {
            Some(owner) => {
                let away = if owner.away { " (gone; may come back)" } else { "" };
                shown.add_row([
                    service.clone(),
                    table::for_terminal(&owner.name()),
                    format!("{}{away}", owner.address),
                    owner.since.clone(),
                    idle(owner),
                    owner.epoch.to_string(),
                    waiting,
                ])
            }
            None => {
                let note = lock.note.as_deref().map_or_else(|| "-".to_owned(), table::for_terminal);
                shown.add_row([service, &note, "-", "-", "-", "-", &waiting])
            }
        };
    }
    table::print(&shown);
    Ok(code)
}

/// For how long the owner has made no call, and for how long it may.
fn idle(owner: &LockOwnerRow) -> String {
    let Some(idle) = owner.idle else { return "-".to_owned() };
    match owner.idle_limit {
        Some(limit) if !owner.away => format!("{idle:.0} s of {limit} s"),
        _ => format!("{idle:.0} s"),
    }
}

/// Refuses a service that has no lock, or whose daemon does not run.
fn has_lock(row: &ServiceRow) -> Result<(), Report> {
    let ServiceRow { name, daemon, report, .. } = row;
    match (&report.lock, report.status.as_str()) {
        (Some(_), _) => Ok(()),
        (None, "running" | "failed" | "hangs" | "unwell") if report.uri.is_some() => Err(miette!(
            help = format!(
                "write `classname: LockableDaemon` in the configuration of daemon {daemon}"
            ),
            "'{name}' has no lock: its daemon {daemon} has none"
        )),
        (None, status) => Err(miette!(
            help = format!("see `ferrolab ps`; `ferrolab start daemon {daemon}` starts it"),
            "'{name}' is {status}, and so is its lock"
        )),
    }
}

/// Refuses an unknown name, and suggests the nearest known one.
pub(super) fn known<'a>(
    name: &str,
    names: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), Report> {
    if names.clone().any(|known| known == name) {
        return Ok(());
    }
    let help = match did_you_mean(name, names) {
        Some(help) => help,
        None => "see the services with `ferrolab ps`".to_owned(),
    };
    Err(miette!(help = help, "there is no service '{name}' here"))
}

fn history(arguments: &Arguments) -> Outcome {
    let paths = paths()?;
    let folder = &paths.log_dir;
    let mut lines = lock_log::read(folder)
        .into_diagnostic()
        .wrap_err_with(|| format!("cannot read the lock log in {}", folder.display()))?;
    if let Some(name) = &arguments.name {
        // A removed service still has a history; a service without any lock so far has no lines.
        let configured =
            active_config::load(&paths).map(|(lab, _)| lab.services).unwrap_or_default();
        let configured = configured.iter().map(|service| service.name.as_str());
        known(name, lines.iter().map(|line| line.service.as_str()).chain(configured))?;
        let daemons: HashSet<String> = lines
            .iter()
            .filter(|line| line.service == *name)
            .map(|line| line.daemon.clone())
            .collect();
        // The missing lines may be about this service.
        let is_gap =
            |line: &LockLogLine| line.event == "unrecorded" && daemons.contains(&line.daemon);
        lines.retain(|line| line.service == *name || is_gap(line));
    }
    let most = arguments.last.or((!arguments.json).then_some(DEFAULT_LINES)).unwrap_or(usize::MAX);
    let lines = lines.split_off(lines.len().saturating_sub(most));
    if arguments.json {
        print_json(&lines)?;
        return Ok(ExitCode::SUCCESS);
    }
    let headings = ["TIME", "SERVICE", "EVENT", "USER", "FROM", "EPOCH", "HELD", "WHY"];
    let mut shown = table::table(&headings);
    for line in &lines {
        let dash_if_empty =
            |text: &str| if text.is_empty() { "-".to_owned() } else { table::for_terminal(text) };
        shown.add_row([
            line.time.to_string(),
            dash_if_empty(if line.service.is_empty() { &line.daemon } else { &line.service }),
            line.event.clone(),
            dash_if_empty(&line.client_name()),
            dash_if_empty(&line.address),
            line.epoch.map_or_else(|| "-".to_owned(), |epoch| epoch.to_string()),
            line.duration.map_or_else(|| "-".to_owned(), |held| format!("{held:.3} s")),
            dash_if_empty(&why(line)),
        ]);
    }
    table::print(&shown);
    Ok(ExitCode::SUCCESS)
}

fn why(line: &LockLogLine) -> String {
    let reason = line.reason.as_deref().unwrap_or_default();
    match &line.by {
        Some(by) if reason.is_empty() => format!("by {by}"),
        Some(by) => format!("by {by}: {reason}"),
        None => reason.to_owned(),
    }
}
