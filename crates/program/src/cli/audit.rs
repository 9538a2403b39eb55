//! `ferrolab audit`: who did what, and whether its files are as they were written.

use std::ops::ControlFlow;
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use miette::{Context, IntoDiagnostic, miette};
use serde::Serialize;
use serde_json::Value;

use super::output::print_json;
use super::{Outcome, paths, table};
use crate::audit::{self, Anchor, AuditLine, Fault};
use crate::log::query::Place;
use crate::paths::Paths;

/// Lines in a table, unless another number is asked for.
const DEFAULT_LINES: usize = 200;

/// Show who did what: refusals, acts of administrators, and audited calls
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab audit --since 8h\n  \
    ferrolab audit --who ada --service lab.laser\n  ferrolab audit --verify")]
pub(super) struct Arguments {
    /// Only what this person, address or host did
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
    /// Only what was done with this service or entry
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Only what happened from then on: `10m`, `2h`, `3d` ago, `08:30`, or a date with or without a
    /// time
    #[arg(long, value_name = "TIME", value_parser = super::logs::time)]
    since: Option<Timestamp>,
    /// Only the last so many lines (default: 200 in a table, all with --json)
    #[arg(long, value_name = "LINES")]
    last: Option<usize>,
    /// Look for lines that were changed, removed, moved or cut off; exit with 1 if there are any
    #[arg(long, conflicts_with_all = ["who", "service", "since", "last"])]
    verify: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let paths = paths()?;
    if arguments.verify { verify(&paths, arguments.json) } else { show(&paths, arguments) }
}

fn show(paths: &Paths, arguments: &Arguments) -> Outcome {
    let Arguments { who, service, since, last, json, .. } = arguments;
    let most = last.or((!json).then_some(DEFAULT_LINES)).unwrap_or(usize::MAX);
    let folder = paths.audit_dir();
    let is_wanted = |line: &AuditLine| {
        // The missing lines may be about anybody and anything.
        let is_meant = line.action == "unrecorded"
            || who.as_ref().is_none_or(|who| line.is_by(who))
                && service.as_ref().is_none_or(|service| line.service == *service);
        is_meant && since.is_none_or(|since| line.time >= since)
    };
    let lines = audit::read(&folder, most, is_wanted)
        .into_diagnostic()
        .wrap_err_with(|| format!("cannot read the audit in {}", folder.display()))?;
    if *json {
        print_json(&lines)?;
        return Ok(ExitCode::SUCCESS);
    }
    let headings = ["TIME", "WHO", "FROM", "ACTION", "SERVICE", "CALL", "EPOCH", "OUTCOME"];
    let mut shown = table::table(&headings);
    for line in &lines {
        let service = if line.service.is_empty() { &line.daemon } else { &line.service };
        let call = match &line.arguments {
            Some(value) if line.action == "set" => format!("{} = {value}", line.member),
            Some(text) if line.action == "batch" => text.clone(),
            Some(arguments) => format!("{}{arguments}", line.member),
            None => line.member.clone(),
        };
        let texts = [&line.who, &line.from, &line.action, service, &call].map(|text| dashed(text));
        let mut cells = Vec::from(texts);
        cells.insert(0, format!("{:.3}", line.time));
        cells.push(line.epoch.map_or_else(|| "-".to_owned(), |epoch| epoch.to_string()));
        cells.push(dashed(&line.outcome));
        shown.add_row(cells);
    }
    table::print(&shown);
    Ok(ExitCode::SUCCESS)
}

fn dashed(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { table::for_terminal(text) }
}

/// The outcome of a verification, for programs.
#[derive(Serialize)]
struct Report<'a> {
    lines: usize,
    faults: &'a [Fault],
    notes: &'a [Fault],
}

fn verify(paths: &Paths, as_json: bool) -> Outcome {
    let folder = paths.audit_dir();
    let cannot_read = || format!("cannot read the audit in {}", folder.display());
    // Before the lines: a writer goes on meanwhile.
    let anchors = anchors(paths)?;
    let verified = audit::verify(&folder, &anchors).into_diagnostic().wrap_err_with(cannot_read)?;
    let (faults, notes) = (&verified.faults, &verified.notes);
    if as_json {
        print_json(&Report { lines: verified.lines, faults, notes })?;
    } else {
        for fault in notes.iter().chain(faults) {
            println!("{}", table::for_terminal(&fault.to_string()));
        }
    }
    match faults.len() {
        0 if as_json => Ok(ExitCode::SUCCESS),
        0 => {
            println!("{} lines are as they were written", verified.lines);
            Ok(ExitCode::SUCCESS)
        }
        _ if as_json => Ok(ExitCode::FAILURE),
        1 => Err(miette!("the audit in {} has 1 fault", folder.display())),
        many => Err(miette!("the audit in {} has {many} faults", folder.display())),
    }
}

/// Hashes of lines that were written down elsewhere: in state files, and in the host's log.
fn anchors(paths: &Paths) -> Result<Vec<Anchor>, miette::Report> {
    let mut anchors = audit::heads(&paths.state_dir)
        .into_diagnostic()
        .wrap_err_with(|| format!("cannot read {}", paths.state_dir.display()))?;
    let log = paths.log_file();
    let cannot_read = || format!("cannot read the log {}", log.display());
    let snapshot = crate::log::snapshot(&log).into_diagnostic().wrap_err_with(cannot_read)?;
    let read = snapshot.read(Place::default(), |line| {
        let seq = line.record.get("seq").and_then(Value::as_u64).unwrap_or_default();
        if line.text("message") == audit::HEAD && seq > 0 {
            let (writer, hash) = (line.text("writer").to_owned(), line.text("hash").to_owned());
            anchors.push(Anchor { writer, seq, hash, source: "the host's log" });
        }
        ControlFlow::Continue(())
    });
    read.into_diagnostic().wrap_err_with(cannot_read)?;
    Ok(anchors)
}
