//! `ferrolab ps`: nameservers, daemons and services with their status.

use clap::Args;
use comfy_table::Cell;

use super::labs::{self, LabsArgument};
use super::output::print_json;
use super::watch::Watch;
use super::{Outcome, paths, style, table, up};
use crate::paths::Paths;
use crate::supervise::control::{Listing, ProcessRow, ServiceRow};

/// List nameservers, daemons and services
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab ps\n  ferrolab ps --json | jq '.services[].uri'\n  \
    ferrolab ps --watch\n  ferrolab ps --tag optics\n  \
    ferrolab ps --all                        # and the labs of `labs`\n  \
    ferrolab ps --lab optics")]
pub(super) struct Arguments {
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
    /// Only services with this tag; several times for services that have all of them
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    #[command(flatten)]
    labs: LabsArgument,
    #[command(flatten)]
    watch: Watch,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let paths = paths()?;
    arguments.watch.repeat(|| once(&paths, arguments))
}

fn once(paths: &Paths, arguments: &Arguments) -> Outcome {
    let (mut listing, code) = arguments.labs.listing(paths)?;
    if !arguments.tags.is_empty() {
        listing.services.retain(|row| arguments.tags.iter().all(|tag| row.tags.contains(tag)));
    }
    match (arguments.json, arguments.tags.is_empty()) {
        (true, _) => print_json(&listing)?,
        (false, true) => print(&listing),
        (false, false) if listing.services.is_empty() => {
            println!(
                "No service has the tag {}.",
                table::for_terminal(&arguments.tags.join(" and "))
            );
        }
        (false, false) => {
            print_services(&listing.services);
            print_lines(service_errors(&listing.services));
        }
    }
    if arguments.labs.is_given() && !arguments.json {
        labs::print(&listing.labs);
    }
    Ok(code)
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
    print_services(services);
    if let Some(simulated) = up::simulated(listing) {
        println!("\n{simulated}");
    }
    print_errors(listing);
}

fn print_services(services: &[ServiceRow]) {
    // Most labs have no locks and no tags, and their tables are wide enough.
    let has_tags = services.iter().any(|row| !row.tags.is_empty());
    let has_locks = services.iter().any(|row| row.report.lock.is_some());
    let mut headings = vec!["SERVICE", "STATUS", "DAEMON", "CALLS", "URI"];
    headings.extend(has_locks.then_some("LOCKED BY"));
    headings.extend(has_tags.then_some("TAGS"));
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
        if has_tags {
            cells.push(Cell::new(table::for_terminal(&row.tags.join(", "))));
        }
        shown.add_row(cells);
    }
    table::print(&shown);
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
    errors.extend(service_errors(&listing.services));
    print_lines(errors);
}

fn service_errors(services: &[ServiceRow]) -> Vec<String> {
    let errors = services
        .iter()
        .filter_map(|row| Some(format!("service {}: {}", row.name, row.report.error.as_ref()?)));
    errors.collect()
}

/// Prints lines below a table.
fn print_lines(errors: Vec<String>) {
    if !errors.is_empty() {
        println!();
    }
    for error in errors {
        // Drivers and nameservers' clients can put any text into these.
        println!("{}", table::lines_for_terminal(&error));
    }
}
