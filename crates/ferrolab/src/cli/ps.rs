//! `ferrolab ps`: nameservers, daemons and services with their status.

use std::process::ExitCode;

use clap::Args;
use comfy_table::Cell;

use super::output::print_json;
use super::watch::Watch;
use super::{Outcome, explain, paths, runtime, style, supervisor, table, up};
use crate::paths::Paths;
use crate::supervise::control::{Listing, ProcessRow, Request};

/// List nameservers, daemons and services
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab ps\n  ferrolab ps --json | jq '.services[].uri'\n  \
    ferrolab ps --watch")]
pub(super) struct Arguments {
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    watch: Watch,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let paths = paths()?;
    arguments.watch.repeat(|| once(&paths, arguments))
}

fn once(paths: &Paths, arguments: &Arguments) -> Outcome {
    let listing = runtime()?.block_on(async {
        supervisor(paths).await?.ask(&Request::Ps { looks: false }, |_| {}).await.map_err(explain)
    })?;
    if arguments.json {
        print_json(&listing)?;
    } else {
        print(&listing);
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints a listing as tables, errors below them.
pub(super) fn print(listing: &Listing) {
    let Listing { nameservers, daemons, processes, services, .. } = listing;
    let tables = [("NAMESERVER", nameservers), ("DAEMON", daemons), ("PROCESS", processes)];
    for (heading, rows) in tables {
        if !rows.is_empty() {
            print_processes(heading, rows);
            println!();
        }
    }
    // Most labs have no locks, and their tables are wide enough.
    let has_locks = services.iter().any(|row| row.report.lock.is_some());
    let mut headings = vec!["SERVICE", "STATUS", "DAEMON", "CALLS", "URI"];
    headings.extend(has_locks.then_some("LOCKED BY"));
    let mut shown = table::table(&headings);
    for row in services {
        let mut cells = vec![
            Cell::new(table::for_terminal(&row.name)),
            style::state(&row.report.status),
            Cell::new(table::for_terminal(&row.daemon)),
            Cell::new(row.calls.map_or_else(|| "-".to_owned(), |calls| calls.to_string())),
            Cell::new(table::for_terminal(row.report.uri.as_deref().unwrap_or("-"))),
        ];
        if has_locks {
            let owner =
                row.locked_by.as_deref().map_or_else(|| "-".to_owned(), table::for_terminal);
            cells.push(Cell::new(owner));
        }
        shown.add_row(cells);
    }
    table::print(&shown);
    if let Some(simulated) = up::simulated(listing) {
        println!("\n{simulated}");
    }
    print_errors(listing);
}

fn print_processes(heading: &str, rows: &[ProcessRow]) {
    let mut shown = table::table(&[heading, "STATUS", "PID", "SINCE", "RESTARTS", "URI"]);
    for row in rows {
        shown.add_row([
            Cell::new(table::for_terminal(&row.name)),
            style::state(&row.status),
            Cell::new(row.pid.map_or_else(|| "-".into(), |pid| pid.to_string())),
            Cell::new(row.since.as_deref().unwrap_or("-")),
            Cell::new(row.restarts),
            Cell::new(table::for_terminal(row.uri.as_deref().unwrap_or("-"))),
        ]);
    }
    table::print(&shown);
}

/// Prints a line for each entry that has an error.
fn print_errors(listing: &Listing) {
    let processes = listing.all_processes().filter_map(|(kind, row)| {
        Some(format!("{} {}: {}", kind.word(), row.name, row.error.as_ref()?))
    });
    let mut errors: Vec<String> = processes.collect();
    errors.extend(
        listing.services.iter().filter_map(|row| {
            Some(format!("service {}: {}", row.name, row.report.error.as_ref()?))
        }),
    );
    if !errors.is_empty() {
        println!();
    }
    for error in errors {
        // Drivers and nameservers' clients can put any text into these.
        println!("{}", table::lines_for_terminal(&error));
    }
}
