//! Progress of many entries at once: spinners on a terminal, a line for each change elsewhere.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::table;
use crate::log::for_a_person;
use crate::supervise::control::{Listing, ProcessRow, ServiceRow};

/// Shows how entries come up or go down, on standard error.
pub(super) struct Progress {
    bars: Option<MultiProgress>,
    /// Where entries start from: one that is still there when first seen is no news.
    from: &'static str,
    shown: BTreeMap<String, ShownLine>,
}

struct ShownLine {
    text: String,
    bar: Option<ProgressBar>,
}

/// An entry as it is shown.
struct ProgressLine<'a> {
    title: String,
    status: &'a str,
    error: Option<&'a str>,
}

impl Progress {
    /// For entries that are to run.
    pub(super) fn up() -> Self {
        Progress::from("stopped")
    }

    /// For entries that are to stop.
    pub(super) fn down() -> Self {
        Progress::from("running")
    }

    fn from(from: &'static str) -> Self {
        Progress { bars: for_a_person().then(MultiProgress::new), from, shown: BTreeMap::new() }
    }

    /// Shows what has changed.
    pub(super) fn show(&mut self, listing: &Listing) {
        if !is_sign_of_life(listing) {
            self.end_waiting();
        }
        let entries = listing
            .all_processes()
            .map(|(kind, row)| ProgressLine::process(kind.word(), row))
            .chain(listing.services.iter().map(ProgressLine::service));
        for entry in entries {
            if entry.status == self.from && !self.shown.contains_key(&entry.title) {
                continue;
            }
            self.show_entry(&entry);
        }
    }

    /// Shows what a command waits for.
    pub(super) fn show_waiting(&mut self, uses: &[String]) {
        let text = format!("waiting, because it is in use: {}", uses.join("; "));
        let text = match self.bars {
            Some(_) => table::for_terminal(&text),
            None => table::lines_for_terminal(&text),
        };
        self.show_line("waiting", text, false);
    }

    /// Ends the line of what a command has waited for.
    fn end_waiting(&mut self) {
        if let Some(ShownLine { bar: Some(bar), .. }) = self.shown.remove("waiting") {
            bar.finish_and_clear();
        }
    }

    fn show_entry(&mut self, entry: &ProgressLine<'_>) {
        let text = match entry.error {
            // A spinner has one line.
            Some(error) => {
                let error = match self.bars {
                    Some(_) => table::for_terminal(error),
                    None => table::lines_for_terminal(error),
                };
                format!("{} {}: {error}", entry.title, entry.status)
            }
            None => format!("{} {}", entry.title, entry.status),
        };
        let is_end = matches!(entry.status, "running" | "failed" | "hangs" | "stopped" | "unwell");
        self.show_line(&entry.title, text, is_end);
    }

    fn show_line(&mut self, title: &str, text: String, is_end: bool) {
        let line = self.shown.entry(title.to_owned()).or_insert_with(|| ShownLine {
            text: String::new(),
            bar: self.bars.as_ref().map(|bars| bars.add(spinner())),
        });
        if line.text == text {
            return;
        }
        match &line.bar {
            // A terminal that is gone must not end a command in the middle.
            None => drop(writeln!(std::io::stderr(), "{text}")),
            Some(bar) => {
                bar.set_message(text.clone());
                if is_end {
                    bar.abandon();
                }
            }
        }
        line.text = text;
    }
}

/// Whether the supervisor says only that it goes on.
fn is_sign_of_life(listing: &Listing) -> bool {
    listing.nameservers.is_empty() && listing.daemons.is_empty() && listing.services.is_empty()
}

impl<'a> ProgressLine<'a> {
    fn process(kind: &str, row: &'a ProcessRow) -> Self {
        ProgressLine {
            title: format!("{kind} {}", row.name),
            status: &row.status,
            error: row.error.as_deref(),
        }
    }

    fn service(row: &'a ServiceRow) -> Self {
        ProgressLine {
            title: format!("service {}", row.name),
            status: &row.report.status,
            error: row.report.error.as_deref(),
        }
    }
}

fn spinner() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    // The template is a constant; an error in it would only cost the looks.
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
