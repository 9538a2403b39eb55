//! Colours, for a terminal only.
//!
//! Owns the meaning of each colour. A pipe, a file, `NO_COLOR` or a terminal without colours turns
//! them off.

use std::io::{self, IsTerminal};

use comfy_table::{Cell, Color};

/// Whether standard output shows colours.
pub(super) fn colours() -> bool {
    let unset = |name| std::env::var_os(name).is_none_or(|value| value.is_empty());
    io::stdout().is_terminal()
        && unset("NO_COLOR")
        && std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb")
}

/// A state of an entry, as a cell of a table.
pub(super) fn state(status: &str) -> Cell {
    let cell = Cell::new(status);
    if !colours() {
        return cell;
    }
    match status {
        "running" => cell.fg(Color::Green),
        "failed" | "hangs" | "unwell" => cell.fg(Color::Red),
        "starting" | "stopping" | "restarting" => cell.fg(Color::Yellow),
        _ => cell.fg(Color::DarkGrey),
    }
}

/// A text in the colour of a log level.
pub(super) fn level(level: &str, text: &str) -> String {
    let code = match level {
        "ERROR" => 31,
        "WARN" => 33,
        "DEBUG" | "TRACE" => 90,
        _ => return text.to_owned(),
    };
    if colours() { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// A text that is to be seen first: good in green, bad in red.
pub(super) fn verdict(good: bool, text: &str) -> String {
    let code = if good { 32 } else { 31 };
    if colours() { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}
