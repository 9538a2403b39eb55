//! `ferrolab describe`: what a service offers, for people and for programs.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use miette::{Report, miette};
use remote::{Error, Uri};

use super::nslist::NameserverArgument;
use super::output::print_json;
use super::table::{for_terminal, lines_for_terminal};
use super::target::ServiceTarget;
use super::{Outcome, find, labs, paths};
use crate::card::{self, DescribedService};

/// Timeout of a daemon's answer.
const DESCRIBE_CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Headings of the columns,
const HEADINGS: [&str; 3] = ["MEMBER", "VALUE", "ABOUT"];
/// and the widths in letters that they grow to. A longer cell ends its line, so that one long
/// signature does not push all texts off the screen.
const MAX_WIDTHS: [usize; 2] = [44, 28];

/// Show what a service offers: its members with types, units and limits
///
/// Types, units and texts are those that the driver declares, and those under `members:` in the
/// configuration. The instrument is not asked for anything.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab describe demo.supply\n  \
    ferrolab describe demo.supply --json | jq .members.voltage\n  \
    ferrolab describe demo.supply --pyi > supply.pyi\n  \
    ferrolab describe --uri PYRO:lab.sample@localhost:40123")]
pub(super) struct Arguments {
    /// The service's name; LAB/NAME for one of another lab
    #[arg(required_unless_present = "uri", conflicts_with = "uri")]
    name: Option<String>,
    /// Describe the object at this URI; no nameserver is asked
    #[arg(long)]
    uri: Option<String>,
    #[command(flatten)]
    nameserver: NameserverArgument,
    #[command(flatten)]
    form: Form,
}

/// The form of a description; lines for people without one.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct Form {
    /// Print JSON, with a JSON Schema for each value
    #[arg(long)]
    json: bool,
    /// Print a stub file for Python's type checkers
    #[arg(long)]
    pyi: bool,
    /// Print an OpenAPI 3.1 document
    #[arg(long)]
    openapi: bool,
    /// Print a W3C Thing Description
    #[arg(long)]
    wot: bool,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let service = labs::block_on(async {
        let (name, target) = match (&arguments.uri, &arguments.name) {
            (Some(uri), _) => {
                let parsed = uri.parse::<Uri>().map_err(|error| miette!("{error}"))?;
                (uri.clone(), find::at(&paths()?, parsed).await?)
            }
            (None, Some(name)) => {
                (name.clone(), find::service(&paths()?, name, &arguments.nameserver).await?)
            }
            (None, None) => return Err(miette!("a name is missing")),
        };
        fetch(&name, target).await
    })??;
    match arguments.form {
        Form { json: true, .. } => print_json(&card::description(&service))?,
        Form { openapi: true, .. } => print_json(&card::openapi(&service))?,
        Form { wot: true, .. } => print_json(&card::thing(&service))?,
        Form { pyi: true, .. } => print!("{}", card::stub(&service)),
        Form { .. } => print_listing(&service),
    }
    Ok(ExitCode::SUCCESS)
}

/// The card of the object at a URI.
///
/// # Errors
/// The object cannot be reached; in words for a person.
pub(super) async fn fetch(name: &str, target: ServiceTarget) -> Result<DescribedService, Report> {
    let explain = |error: Error| miette!("{name} cannot be described: {error}");
    let target = target.resolved(DESCRIBE_CALL_TIMEOUT).await.map_err(explain)?;
    let object = match &target.uri {
        Uri::Pyro { object, .. } => object.clone(),
        Uri::PyroName { .. } | Uri::PyroMeta { .. } => String::new(),
    };
    let mut proxy = target.proxy().with_timeout(DESCRIBE_CALL_TIMEOUT);
    let card = card::fetch_from(&mut proxy, &object).await.map_err(explain)?;
    Ok(DescribedService { name: name.to_owned(), uri: target.uri, card })
}

/// Prints a service for people.
pub(super) fn print_listing(service: &DescribedService) {
    for line in lines_for_terminal(&card::heading(service)).lines() {
        println!("{}", line.trim_end());
    }
    println!();
    let rows = card::rows(service);
    if rows.is_empty() {
        println!("It exposes nothing.");
        return;
    }
    let rows = rows.into_iter().map(|row| row.map(|cell| for_terminal(&cell)));
    let rows: Vec<_> = [HEADINGS.map(str::to_owned)].into_iter().chain(rows).collect();
    for line in aligned(&rows) {
        println!("{line}");
    }
}

/// The lines of a table whose long cells have the rest of the row below them.
fn aligned(rows: &[[String; 3]]) -> Vec<String> {
    let length = |text: &str| text.chars().count();
    let width = |column: usize| {
        let lengths = rows.iter().map(|row| length(&row[column]));
        lengths.filter(|length| *length <= MAX_WIDTHS[column]).max().unwrap_or_default()
    };
    let widths = [width(0), width(1)];
    let mut lines = Vec::new();
    for [member, value, about] in rows {
        let mut line = format!(" {member:0$}  ", widths[0]);
        let has_more = !value.is_empty() || !about.is_empty();
        if length(member) > widths[0] && has_more {
            lines.push(line.trim_end().to_owned());
            line = " ".repeat(widths[0] + 3);
        }
        line.push_str(&format!("{value:0$}  ", widths[1]));
        if length(value) > widths[1] && !about.is_empty() {
            lines.push(line.trim_end().to_owned());
            line = " ".repeat(widths[0] + widths[1] + 5);
        }
        line.push_str(about);
        lines.push(line.trim_end().to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::aligned;

    #[test]
    fn a_long_cell_has_the_rest_of_its_row_below_it() {
        let long = format!("move({})", "x".repeat(50));
        let rows = [
            ["MEMBER", "VALUE", "ABOUT"],
            ["voltage", "float V", "Volts"],
            [&long, "str", "Goes"],
            [&long, "", ""],
            ["mode", &long, "How"],
        ];
        let rows = rows.map(|row| row.map(str::to_owned));
        let expected = [
            " MEMBER   VALUE    ABOUT".to_owned(),
            " voltage  float V  Volts".to_owned(),
            format!(" {long}"),
            "          str      Goes".to_owned(),
            format!(" {long}"),
            format!(" mode     {long}"),
            "                   How".to_owned(),
        ];
        assert_eq!(aligned(&rows), expected);
    }
}
