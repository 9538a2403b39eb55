//! `ferrolab history`: recorded values of a member, as a plot or for other programs.

mod answers;
mod export;
mod parquet;
mod plot;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use jiff::{Timestamp, ToSpan};
use miette::{IntoDiagnostic, WrapErr, miette};
use serde_json::json;

use super::logs::time;
use super::output::print_json;
use super::{Outcome, paths, runtime, table};
use crate::history_process::PROCESS_NAME as HISTORY;
use answers::{Client, Curve, SeriesName};

/// Parts of a curve, where other programs read it.
const POINTS: u32 = 1000;
/// Time that is plotted, where nothing else is said, in hours.
const PLOTTED_HOURS: i64 = 1;

/// Show or export recorded values of a member
///
/// Without options, a plot of the last hour; without a name, the list of what is recorded. The
/// configuration's `history:` turns recording on.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab history\n  \
    ferrolab history lab.oven.temperature --since 3h\n  \
    ferrolab history lab.oven.temperature --since 3h --csv > oven.csv\n  \
    ferrolab history lab.oven.temperature --since 2026-05-01 --until 2026-05-08 --points 1000 --json\n  \
    ferrolab history lab.oven.temperature --since 7d --parquet oven.parquet")]
pub(super) struct Arguments {
    /// The member: its service, a dot, its name
    #[arg(value_name = "NAME.MEMBER")]
    name: Option<String>,
    /// From then on: `10m`, `2h`, `3d` ago, `08:30`, or a date with or without a time
    #[arg(long, value_name = "TIME", value_parser = time, requires = "name")]
    since: Option<Timestamp>,
    /// Up to then
    #[arg(long, value_name = "TIME", value_parser = time, requires = "name")]
    until: Option<Timestamp>,
    /// So many parts at most, each with minimum, mean and maximum, instead of every sample
    #[arg(long, value_name = "COUNT", num_args = 0..=1, default_missing_value = "1000",
          value_parser = clap::value_parser!(u32).range(1..=100_000), requires = "name")]
    points: Option<u32>,
    /// Print lines of `time,value,quality`; with --points also `min` and `max`
    #[arg(long, conflicts_with_all = ["json", "parquet"], requires = "name")]
    csv: bool,
    /// Print one JSON object, with a list for each column
    #[arg(long, conflicts_with = "parquet")]
    json: bool,
    /// Write the columns of --csv to a Parquet file
    #[arg(long, value_name = "FILE", requires = "name")]
    parquet: Option<PathBuf>,
    /// Print the plot, also before or after --csv or --json
    #[arg(long, requires = "name")]
    plot: bool,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let socket = paths()?.process_socket(HISTORY).map_err(|error| miette!("{error}"))?;
    let runtime = runtime()?;
    let mut client = Client::new(&socket)?;
    let Some(name) = &arguments.name else {
        return list(&runtime.block_on(client.series())?, arguments.json);
    };
    let name = runtime.block_on(client.find(name))?;
    let exports = arguments.csv || arguments.json || arguments.parquet.is_some();
    if arguments.plot || !exports {
        let since = arguments.since.unwrap_or_else(|| hours_before(arguments.until));
        let (width, height) = plot::size();
        let points = u32::try_from(width * 2).unwrap_or(POINTS);
        let curve = client.curve(&name, Some(since), arguments.until, points);
        let curve = runtime.block_on(curve)?;
        let until = arguments.until.unwrap_or_else(Timestamp::now);
        plot::print(&name, &curve, (since, until), (width, height));
    }
    if !exports {
        return Ok(ExitCode::SUCCESS);
    }
    let (since, until) = (arguments.since, arguments.until);
    let columns = match arguments.points {
        Some(points) => {
            let curve: Curve = runtime.block_on(client.curve(&name, since, until, points))?;
            export::Columns::from(curve)
        }
        None => export::Columns::from(runtime.block_on(client.samples(&name, since, until))?),
    };
    if arguments.csv {
        match export::csv(&columns, &mut io::stdout().lock()) {
            // A reader that ended (`| head`) is no error.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                return Err(error).into_diagnostic().wrap_err("cannot write to standard output");
            }
            _ => {}
        }
    } else if arguments.json {
        print_json(&export::json(&name, &columns))?;
    } else if let Some(file) = &arguments.parquet {
        parquet::write(file, &name, &columns)?;
        println!("{}: {} rows.", file.display(), columns.times.len());
    }
    Ok(ExitCode::SUCCESS)
}

fn hours_before(until: Option<Timestamp>) -> Timestamp {
    let until = until.unwrap_or_else(Timestamp::now);
    until.checked_sub(PLOTTED_HOURS.hours()).unwrap_or(Timestamp::MIN)
}

/// Prints what is recorded.
fn list(series: &[answers::RecordedSeries], as_json: bool) -> Outcome {
    if as_json {
        let rows = series.iter().map(|row| {
            json!({
                "service": row.name.service, "member": row.name.member, "unit": row.unit,
                "daemon": row.daemon, "first": row.first, "last": row.last, "count": row.count,
            })
        });
        print_json(&rows.collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    if series.is_empty() {
        println!("Nothing is recorded yet: members with `poll` or `keep` are.");
    }
    let mut shown = table::table(&["SERIES", "UNIT", "SAMPLES", "FIRST", "LAST"]);
    for row in series {
        let SeriesName { service, member } = &row.name;
        let time = |time: Option<f64>| time.map_or_else(|| "-".to_owned(), plot::local_time);
        shown.add_row([
            table::for_terminal(&format!("{service}.{member}")),
            table::for_terminal(if row.unit.is_empty() { "-" } else { &row.unit }),
            row.count.to_string(),
            time(row.first),
            time(row.last),
        ]);
    }
    table::print(&shown);
    Ok(ExitCode::SUCCESS)
}
