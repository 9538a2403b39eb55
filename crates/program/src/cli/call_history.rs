//! `ferrolab calls --history`: the call log.

use std::process::ExitCode;

use jiff::Timestamp;
use miette::{Context, IntoDiagnostic};

use super::output::print_json;
use super::{Outcome, paths, table};
use crate::log::call_log::{self, CallLine};
use crate::supervise::active_config;

/// Lines in a table, unless another number is asked for.
const DEFAULT_LINES: usize = 200;

/// The lines that are wanted.
pub(super) struct Wanted<'a> {
    pub(super) service: Option<&'a str>,
    pub(super) caller: Option<&'a str>,
    pub(super) since: Option<Timestamp>,
    pub(super) only_errors: bool,
    /// The last so many of them.
    pub(super) last: Option<usize>,
}

impl Wanted<'_> {
    fn wants(&self, line: &CallLine) -> bool {
        // The missing lines may be about any service and caller.
        let is_meant = line.outcome == "unrecorded"
            || self.service.is_none_or(|service| service == line.service)
                && self.caller.is_none_or(|caller| line.is_by(caller))
                && (!self.only_errors || line.is_error());
        is_meant && self.since.is_none_or(|since| line.time >= since)
    }
}

pub(super) fn print(wanted: &Wanted<'_>, as_json: bool) -> Outcome {
    let paths = paths()?;
    let most = wanted.last.or((!as_json).then_some(DEFAULT_LINES)).unwrap_or(usize::MAX);
    let mut known = Vec::new();
    let lines = call_log::read(&paths.log_dir, most, |line| {
        if wanted.service.is_some() && known.last() != Some(&line.service) {
            known.push(line.service.clone());
            known.dedup();
        }
        wanted.wants(line)
    });
    let lines = lines
        .into_diagnostic()
        .wrap_err_with(|| format!("cannot read the call log in {}", paths.log_dir.display()))?;
    if let Some(name) = wanted.service {
        // A removed service still has a history; one without any trouble so far has no lines.
        let configured =
            active_config::load(&paths).map(|(lab, _)| lab.services).unwrap_or_default();
        let configured = configured.iter().map(|service| service.name.as_str());
        super::locks::known(name, known.iter().map(String::as_str).chain(configured))?;
    }
    if as_json {
        print_json(&lines)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut shown = table::table(&["TIME", "SERVICE", "CALL", "CALLER", "SECONDS", "OUTCOME"]);
    for line in &lines {
        let service = if line.service.is_empty() { &line.daemon } else { &line.service };
        let cells = [service, &call(line), &line.client()].map(|text| or_none(text));
        let mut cells = Vec::from(cells);
        // Milliseconds, as `ferrolab calls` has them.
        cells.insert(0, format!("{:.3}", line.time));
        cells.push(format!("{:.3}", line.duration));
        cells.push(table::for_terminal(&outcome(line)));
        shown.add_row(cells);
    }
    table::print(&shown);
    Ok(ExitCode::SUCCESS)
}

fn or_none(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { table::for_terminal(text) }
}

/// The member with its arguments, as a driver's author would write the call.
fn call(line: &CallLine) -> String {
    let CallLine { member, kind, arguments, .. } = line;
    match (kind.as_str(), arguments) {
        ("set" | "oneway set", Some(arguments)) => format!("{member} = {arguments}"),
        ("set" | "oneway set", None) => format!("{member} = …"),
        ("batch" | "oneway batch", Some(arguments)) => arguments.clone(),
        ("stream item", _) => format!("{member} (next item)"),
        (_, Some(arguments)) => format!("{member}{arguments}"),
        (_, None) => member.clone(),
    }
}

fn outcome(line: &CallLine) -> String {
    let message = line.message.as_deref().unwrap_or_default();
    let mut text = match &line.exception {
        Some(class) if message.is_empty() => class.clone(),
        Some(class) => format!("{class}: {message}"),
        None if message.is_empty() => line.outcome.clone(),
        None => format!("{}: {message}", line.outcome),
    };
    if line.overdue {
        text.push_str(" (ended after its timeout)");
    }
    if line.slow {
        text.push_str(" (slow)");
    }
    text
}
