//! `ferrolab logs …`: reading, following, exporting and removing the log.

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use lab_config::did_you_mean;
use miette::{IntoDiagnostic, Report, WrapErr};
use regex::{Regex, RegexBuilder};
use serde_json::json;

use super::output::print_json;
use super::{Outcome, ask, paths, style};
use crate::files;
use crate::log;
use crate::log::query::{Filter, Level, Line, Place, Snapshot, Tail, moment};
use crate::paths::Paths;

/// Polling interval of a followed log.
const LOGS_FOLLOW_INTERVAL: Duration = Duration::from_millis(200);
/// Number of lines that `follow` starts with.
const BEFORE: usize = 10;

/// Read, follow, export and remove the log
#[derive(Debug, Subcommand)]
pub(super) enum LogsCommand {
    /// Show the log since the lab's last start
    #[command(after_help = "Examples:\n  ferrolab logs show\n  \
        ferrolab logs show --entry bench --level warn\n  \
        ferrolab logs show --service lab.laser --since 2h\n  \
        ferrolab logs show --since '2026-05-01 08:00' --grep interlock --json | jq .message")]
    Show(Show),
    /// Show the log as it grows, until Ctrl-C
    #[command(after_help = "Examples:\n  ferrolab logs follow\n  \
        ferrolab logs follow --service lab.laser --level debug")]
    Follow(Follow),
    /// Write the whole log, oldest first, to a file of JSON lines
    #[command(after_help = "Examples:\n  ferrolab logs export lab.log\n  \
        ferrolab logs export --since 1d - | gzip > lab.log.gz")]
    Export(Export),
    /// Delete the log
    Clean(Clean),
}

/// Which lines.
#[derive(Debug, Args)]
struct Which {
    /// Only lines of this nameserver or daemon, or of `supervisor` (may be repeated)
    #[arg(long, value_name = "NAME")]
    entry: Vec<String>,
    /// Only lines about this service (may be repeated)
    #[arg(long, value_name = "NAME")]
    service: Vec<String>,
    /// Only lines that are at least so bad: trace, debug, info, warn or error
    #[arg(short, long, value_parser = level, value_name = "LEVEL")]
    level: Option<Level>,
    /// Only lines from then on: `10m`, `2h`, `3d` ago, `08:30`, or a date with or without a time
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// Only lines up to then
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
    /// Only lines with this text (a regular expression; letters of any case)
    #[arg(long, value_name = "TEXT", value_parser = pattern)]
    grep: Option<Regex>,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    #[command(flatten)]
    which: Which,
    /// Only the last so many of them; 0 for all
    #[arg(short = 'n', long, value_name = "COUNT")]
    lines: Option<usize>,
    /// From the oldest line there is, not from the lab's last start
    #[arg(long)]
    all: bool,
    /// Print the lines as they are in the file: one JSON object each
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Follow {
    #[command(flatten)]
    which: Which,
    /// Print the lines as they are in the file: one JSON object each
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Export {
    /// The file to write; `-` for standard output
    file: PathBuf,
    #[command(flatten)]
    which: Which,
    /// Print how many lines were written, and where, as one JSON object (with `-`: the lines alone)
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab logs clean\n  ferrolab logs clean --yes")]
pub(super) struct Clean {
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Print which files were deleted as one JSON object
    #[arg(long, requires = "yes")]
    json: bool,
}

pub(super) fn run(command: &LogsCommand) -> Outcome {
    let paths = paths()?;
    match command {
        LogsCommand::Show(arguments) => show(&paths, arguments),
        LogsCommand::Follow(arguments) => follow(&paths, arguments),
        LogsCommand::Export(arguments) => export(&paths, arguments),
        LogsCommand::Clean(arguments) => clean(&paths, arguments),
    }
}

/// A level by our name or by Python's, in letters of any case.
fn level(text: &str) -> Result<Level, String> {
    let ours = match text.to_ascii_lowercase().as_str() {
        "warning" => "warn",
        "critical" => "error",
        _ => text,
    };
    Level::from_name(ours).ok_or_else(|| {
        let known = Level::ALL.map(|(name, _)| name);
        match did_you_mean(ours, known) {
            Some(help) => help,
            None => format!("there are: {}", known.join(", ")),
        }
    })
}

/// A time as people write it.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    moment(text, &jiff::Zoned::now()).ok_or_else(|| {
        "write `10m`, `2h`, `3d`, `08:30`, `2026-05-01` or `2026-05-01 08:30`".to_owned()
    })
}

fn pattern(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).case_insensitive(true).build()
}

impl Which {
    fn filter(&self) -> Filter {
        Filter {
            entries: self.entry.clone(),
            services: self.service.clone(),
            level: self.level,
            since: self.since,
            until: self.until,
            text: self.grep.clone(),
        }
    }
}

fn show(paths: &Paths, arguments: &Show) -> Outcome {
    let filter = arguments.which.filter();
    let log = snapshot(paths)?;
    let unreadable = || format!("cannot read the log at {}", paths.log_file().display());
    let from = match arguments.all || filter.since.is_some() {
        true => None,
        false => log.last(log::START, log::is_start).into_diagnostic().wrap_err_with(unreadable)?,
    };
    let from = from.unwrap_or_default();
    // Counted first and shown then: of a large log no line has to be kept.
    let mut skipped = match arguments.lines {
        None | Some(0) => 0,
        Some(most) => {
            let mut count: usize = 0;
            log.read(from, |line| {
                count += usize::from(filter.wants(&line));
                ControlFlow::Continue(())
            })
            .into_diagnostic()
            .wrap_err_with(unreadable)?;
            count.saturating_sub(most)
        }
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let (mut found, mut written) = (false, Ok(()));
    log.read(from, |line| {
        if !filter.wants(&line) {
            return ControlFlow::Continue(());
        }
        found = true;
        if skipped > 0 {
            skipped -= 1;
            return ControlFlow::Continue(());
        }
        written = print(&mut out, &line, arguments.json);
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })
    .into_diagnostic()
    .wrap_err_with(unreadable)?;
    if !found {
        let mut known = KnownNames::default();
        log.read(Place::default(), |line| {
            known.see(&line);
            ControlFlow::Continue(())
        })
        .into_diagnostic()
        .wrap_err_with(unreadable)?;
        known.explain(&arguments.which, paths);
    }
    end(written.and_then(|()| out.flush()))
}

fn snapshot(paths: &Paths) -> Result<Snapshot, Report> {
    let path = paths.log_file();
    log::snapshot(&path)
        .into_diagnostic()
        .wrap_err_with(|| format!("cannot read the log at {}", path.display()))
}

/// Outcome of printing. A reader that ended (`logs show | head`) is no error; a full disk is one.
fn end(written: io::Result<()>) -> Outcome {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).into_diagnostic().wrap_err("cannot write to standard output")
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn follow(paths: &Paths, arguments: &Follow) -> Outcome {
    let filter = arguments.which.filter();
    let mut tail = Tail::new(paths.log_file());
    let mut out = io::stdout().lock();
    let mut first = VecDeque::new();
    tail.read(|line| {
        if filter.wants(&line) {
            if first.len() == BEFORE {
                first.pop_front();
            }
            first.push_back(line);
        }
    })
    .into_diagnostic()?;
    let mut printed = Ok(());
    for line in &first {
        printed = printed.and_then(|()| print(&mut out, line, arguments.json));
    }
    while printed.is_ok() {
        std::thread::sleep(LOGS_FOLLOW_INTERVAL);
        tail.read(|line| {
            if filter.wants(&line) && printed.is_ok() {
                printed = print(&mut out, &line, arguments.json);
            }
        })
        .into_diagnostic()?;
    }
    end(printed)
}

fn print(out: &mut impl Write, line: &Line, json: bool) -> io::Result<()> {
    match json {
        true => writeln!(out, "{}", line.raw),
        false => writeln!(out, "{}", style::level(line.text("level"), &log::dated(&line.record))),
    }
}

fn export(paths: &Paths, arguments: &Export) -> Outcome {
    let Export { file, which, json } = arguments;
    let filter = which.filter();
    let log = snapshot(paths)?;
    if file.as_os_str() == "-" {
        return end(copy(&log, &filter, &mut io::stdout().lock()).map(drop));
    }
    let mut count = 0;
    files::replace_with(file, |out| {
        count = copy(&log, &filter, out)?;
        Ok(())
    })
    .into_diagnostic()?;
    match json {
        true => print_json(&json!({ "file": file, "lines": count }))?,
        false => println!("{count} line(s) written to {}.", file.display()),
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the lines that are wanted, and says how many those are.
fn copy(log: &Snapshot, filter: &Filter, out: &mut impl Write) -> io::Result<usize> {
    let (mut count, mut written) = (0, Ok(()));
    let mut out = BufWriter::new(out);
    log.read(Place::default(), |line| {
        if filter.wants(&line) {
            written = writeln!(out, "{}", line.raw);
            count += 1;
        }
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    written?;
    out.flush()?;
    Ok(count)
}

fn clean(paths: &Paths, &Clean { yes, json }: &Clean) -> Outcome {
    let files = log::files(&paths.log_file());
    if files.is_empty() && !json {
        println!("There is no log.");
        return Ok(ExitCode::SUCCESS);
    }
    let question = format!("Delete the log in {}?", paths.log_dir.display());
    if !ask::confirmed(&question, yes)? {
        println!("Nothing was deleted.");
        return Ok(ExitCode::FAILURE);
    }
    for file in &files {
        // A running supervisor goes on writing into the current file, so that one is emptied.
        let done = match *file == paths.log_file() {
            true => std::fs::OpenOptions::new().write(true).truncate(true).open(file).map(drop),
            false => std::fs::remove_file(file),
        };
        done.into_diagnostic().wrap_err_with(|| format!("cannot delete {}", file.display()))?;
    }
    match json {
        true => print_json(&json!({ "deleted": files }))?,
        false => println!("The log is deleted."),
    }
    Ok(ExitCode::SUCCESS)
}

/// The names that the log knows.
#[derive(Default)]
struct KnownNames {
    entries: BTreeSet<String>,
    services: BTreeSet<String>,
}

impl KnownNames {
    fn see(&mut self, line: &Line) {
        let entry = line.text("entry");
        let name = entry.split_once(' ').map_or(entry, |(_, name)| name);
        for (set, name) in [(&mut self.entries, name), (&mut self.services, line.text("service"))] {
            if !name.is_empty() && !set.contains(name) {
                set.insert(name.to_owned());
            }
        }
    }

    /// Says why nothing was found, where a name was mistyped.
    fn explain(&self, which: &Which, paths: &Paths) {
        if self.entries.is_empty() {
            eprintln!("There is no log yet at {}.", paths.log_file().display());
            return;
        }
        eprintln!("No line of the log is like that.");
        let asked = which.entry.iter().map(|name| (name, &self.entries));
        let asked = asked.chain(which.service.iter().map(|name| (name, &self.services)));
        for (name, known) in asked {
            let short = name.split_once(' ').map_or(name.as_str(), |(_, name)| name);
            if known.contains(short) {
                continue;
            }
            match did_you_mean(short, known.iter().map(String::as_str)) {
                Some(help) => eprintln!("Nothing is from `{name}`; {help}"),
                None => eprintln!("Nothing is from `{name}`."),
            }
        }
    }
}
