//! Tables of the commands' output: columns without borders, as `docker ps` prints them. Texts from
//! clients must go through [`for_terminal`], which makes them safe for a terminal.

use comfy_table::{ContentArrangement, Table, presets};

use crate::log::sanitize;

/// Beginning of each further line of a text.
const FURTHER: &str = "      ";

/// A table with a heading for each column.
pub(super) fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings);
    table
}

/// Prints a table.
pub(super) fn print(table: &Table) {
    println!("{}", text(table));
}

/// The text of a table without the blanks that its columns end in.
pub(super) fn text(table: &Table) -> String {
    let text = table.to_string();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// A cell with a client's text: characters that would move a terminal's cursor are replaced.
pub(super) fn for_terminal(given: &str) -> String {
    sanitize::line(given)
}

/// A text of several lines below a table, made safe in the same way; the further ones are indented.
pub(super) fn lines_for_terminal(given: &str) -> String {
    sanitize::lines(given, FURTHER)
}
