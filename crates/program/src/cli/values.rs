//! `ferrolab values`: the live values of the lab's services, now or as they come.

use std::collections::HashSet;
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use lab_config::did_you_mean;
use miette::{Report, miette};
use remote::{Uri, Value};
use serde_json::{Value as Json, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::labs::{LabsArgument, SeenLab, ask_all, block_on};
use super::output::print_json;
use super::target::ServiceTarget;
use super::{Outcome, explain, find, paths, runtime, supervisor, table};
use crate::host::feed::event::{self, Event, EventBody, Quality, Sample, SeriesRow};
use crate::host::feed::reader::{FeedNews, FeedReader};
use crate::labs::{ClockDifference, DEADLINE, LabValues};
use crate::paths::Paths;
use crate::supervise::control::{Listing, Request};

/// News of daemons that wait to be printed, at most.
const NEWS: usize = 64;

/// Show the live values of the lab, each with its age and quality
///
/// Values are those of members with `poll` or `keep` in the configuration.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab values\n  ferrolab values demo.meter\n  \
    ferrolab values demo.meter.measure_voltage --follow\n  \
    ferrolab values --json | jq '.[] | select(.quality != \"good\")'")]
pub(super) struct Arguments {
    /// Only values of these services or members (SERVICE.MEMBER)
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Print each sample as it comes, until Ctrl-C
    #[arg(long, conflicts_with_all = ["labs", "all"])]
    follow: bool,
    #[command(flatten)]
    labs: LabsArgument,
    /// Print a JSON list instead of a table; with --follow, a JSON object a line
    #[arg(long)]
    json: bool,
}

/// The feed of a daemon that runs.
struct DaemonFeed {
    daemon: String,
    target: ServiceTarget,
}

impl DaemonFeed {
    fn reader(&self) -> FeedReader {
        FeedReader::new(&self.target.uri, self.target.tls())
    }
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let paths = paths()?;
    if arguments.labs.is_given() {
        let others = arguments.labs.others(&paths)?;
        let (rows, listing, away) = block_on(async {
            let here = async {
                match arguments.labs.has_this_one() {
                    true => Some(timeout(DEADLINE, latest_here(&paths)).await),
                    false => None,
                }
            };
            let asking = ask_all(others, &paths, |lab| async move {
                lab.values(&mut ClockDifference::default()).await
            });
            let (here, others) = tokio::join!(here, asking);
            let (mut rows, mut listing, mut away) = (Vec::new(), Listing::default(), Vec::new());
            match here {
                None => {}
                Some(Ok(Ok(latest))) => (rows, listing, away) = latest,
                Some(Ok(Err(report))) => away.push(format!("this lab: {report}")),
                Some(Err(_)) => away.push(format!("this lab: no answer within {DEADLINE:?}")),
            }
            for SeenLab { lab, answer } in others {
                match answer {
                    Ok(LabValues { series, away: reasons }) => {
                        let qualify = |row: SeriesRow| {
                            let service = lab.qualify(&row.service).into();
                            SeriesRow { service, ..row }
                        };
                        rows.extend(series.into_iter().map(qualify));
                        let reasons = reasons.into_iter();
                        away.extend(reasons.map(|(daemon, reason)| {
                            format!("lab {}: daemon {daemon}: {reason}", lab.name)
                        }));
                    }
                    Err(reason) => away.push(format!("lab {} is away: {reason}", lab.name)),
                }
            }
            (rows, listing, away)
        })?;
        return show(arguments, &listing, rows, away);
    }
    runtime()?.block_on(async {
        if !arguments.follow {
            let (rows, listing, away) = latest_here(&paths).await?;
            return show(arguments, &listing, rows, away);
        }
        let listing = listing_here(&paths).await?;
        let feeds = daemon_feeds(&paths, &listing)?;
        follow(arguments, &listing, feeds).await
    })
}

async fn listing_here(paths: &Paths) -> Result<Listing, Report> {
    let client = supervisor(paths).await?;
    client.ask(&Request::Ps { looks: false }, |_| {}).await.map_err(explain)
}

/// The latest values of this lab, its listing, and why some values are missing.
async fn latest_here(paths: &Paths) -> Result<(Vec<SeriesRow>, Listing, Vec<String>), Report> {
    let listing = listing_here(paths).await?;
    let mut readers = tokio::task::JoinSet::new();
    for feed in daemon_feeds(paths, &listing)? {
        readers.spawn(async move {
            let news = feed.reader().next().await;
            (feed.daemon, news)
        });
    }
    let (mut rows, mut away) = (Vec::new(), Vec::new());
    for (daemon, news) in readers.join_all().await {
        match news {
            FeedNews::Reset { series, .. } => rows.extend(series),
            FeedNews::Events { .. } => {}
            FeedNews::Away { reason } => away.push(format!("daemon {daemon}: {reason}")),
        }
    }
    Ok((rows, listing, away))
}

/// The feeds of the daemons that run.
fn daemon_feeds(paths: &Paths, listing: &Listing) -> Result<Vec<DaemonFeed>, Report> {
    let running = listing.daemons.iter().filter(|row| row.status == "running");
    let located = running.filter_map(|row| {
        let uri: Uri = row.uri.as_ref()?.parse().ok()?;
        Some((&row.name, uri))
    });
    let feed = |(name, uri): (&String, Uri)| {
        Ok(DaemonFeed { daemon: name.clone(), target: find::in_lab(paths, uri, name)? })
    };
    located.map(feed).collect()
}

fn show(
    arguments: &Arguments,
    listing: &Listing,
    mut rows: Vec<SeriesRow>,
    away: Vec<String>,
) -> Outcome {
    rows.sort_by(|a, b| (&a.service, &a.sample.member).cmp(&(&b.service, &b.sample.member)));
    if away.is_empty() {
        known(&arguments.names, &rows, listing)?;
    }
    rows.retain(|row| is_wanted(&arguments.names, &row.service, &row.sample.member));
    let now = Timestamp::now().as_millisecond() as f64 / 1e3;
    if arguments.json {
        print_json(&rows.iter().map(|row| row_json(row, now)).collect::<Vec<_>>())?;
    } else {
        let mut shown = table::table(&["SERVICE", "MEMBER", "VALUE", "UNIT", "AGE", "QUALITY"]);
        for SeriesRow { service, time, sample, unit, .. } in &rows {
            shown.add_row([
                table::for_terminal(service),
                table::for_terminal(&sample.member),
                value_text(sample),
                unit.as_deref().map_or_else(|| "-".to_owned(), table::for_terminal),
                age_text(now - time),
                quality_text(sample),
            ]);
        }
        table::print(&shown);
    }
    match away.as_slice() {
        [] => Ok(ExitCode::SUCCESS),
        reasons => Err(miette!("some values are not known: {}", reasons.join("; "))),
    }
}

async fn follow(arguments: &Arguments, listing: &Listing, feeds: Vec<DaemonFeed>) -> Outcome {
    let (sender, mut news) = mpsc::channel(NEWS);
    let mut awaited = feeds.len();
    for feed in feeds {
        let sender = sender.clone();
        tokio::spawn(async move {
            let mut reader = feed.reader();
            loop {
                let news = reader.next().await;
                if sender.send((feed.daemon.clone(), news)).await.is_err() {
                    break;
                }
            }
        });
    }
    drop(sender);
    let mut first = Vec::new();
    let mut away = HashSet::new();
    while let Some((daemon, news)) = news.recv().await {
        if !matches!(news, FeedNews::Away { .. }) {
            away.remove(&daemon);
        }
        match news {
            FeedNews::Reset { series, .. } => {
                for row in &series {
                    print_sample(
                        arguments,
                        row.time,
                        &row.service,
                        &row.sample,
                        row.unit.as_deref(),
                    );
                }
                if awaited > 0 {
                    first.extend(series);
                    awaited -= 1;
                    if awaited == 0 {
                        known(&arguments.names, &first, listing)?;
                    }
                }
            }
            FeedNews::Events { events, lost } => {
                for Event { time, service, body, .. } in &events {
                    if let EventBody::Sample(sample) = body {
                        let is_same = |row: &&SeriesRow| {
                            row.service == *service && row.sample.member == sample.member
                        };
                        let unit = first.iter().find(is_same).and_then(|row| row.unit.clone());
                        print_sample(arguments, *time, service, sample, unit.as_deref());
                    }
                }
                if lost > 0 {
                    eprintln!("daemon {daemon}: {lost} events were missed");
                }
            }
            // Each attempt to reach it again fails until it is back.
            FeedNews::Away { reason } if away.insert(daemon.clone()) => {
                eprintln!("daemon {daemon}: {reason}");
            }
            FeedNews::Away { .. } => {}
        }
    }
    Err(miette!(help = "`ferrolab ps` shows the daemons", "no daemon runs"))
}

fn print_sample(
    arguments: &Arguments,
    time: f64,
    service: &str,
    sample: &Sample,
    unit: Option<&str>,
) {
    if !is_wanted(&arguments.names, service, &sample.member) {
        return;
    }
    if arguments.json {
        println!("{}", sample_json(time, service, sample, unit));
        return;
    }
    let when = Timestamp::from_millisecond((time * 1e3) as i64).unwrap_or_default();
    let member = table::for_terminal(&sample.member);
    let unit = unit.map(|unit| format!(" {}", table::for_terminal(unit))).unwrap_or_default();
    match sample.quality {
        Quality::Good => println!("{when:.3} {service}.{member} {}{unit}", value_text(sample)),
        _ => println!("{when:.3} {service}.{member} {}", quality_text(sample)),
    }
}

/// Whether a series is meant: by its service, by its member, or by the member that it is a part of.
fn is_wanted(names: &[String], service: &str, member: &str) -> bool {
    let is_meant = |name: &String| {
        let Some(rest) = name.strip_prefix(service) else { return false };
        let Some(wanted) = rest.strip_prefix('.') else { return rest.is_empty() };
        member.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    names.is_empty() || names.iter().any(is_meant)
}

/// Checks that each name means some series.
fn known(names: &[String], rows: &[SeriesRow], listing: &Listing) -> Result<(), Report> {
    for name in names {
        let is_meant = |row: &SeriesRow| {
            is_wanted(std::slice::from_ref(name), &row.service, &row.sample.member)
        };
        if rows.iter().any(is_meant) {
            continue;
        }
        if listing.services.iter().any(|row| row.name == *name) {
            return Err(miette!(
                help = format!("write `members: {{MEMBER: {{poll: 1s}}}}` in service {name}"),
                "service '{name}' has no live values"
            ));
        }
        let series = rows.iter().map(|row| format!("{}.{}", row.service, row.sample.member));
        let services = listing.services.iter().map(|row| row.name.clone());
        let all: Vec<String> = services.chain(series).collect();
        let help = match did_you_mean(name, all.iter().map(String::as_str)) {
            Some(help) => help,
            None => "`ferrolab values` shows all of them".to_owned(),
        };
        return Err(miette!(help = help, "there is no live value '{name}'"));
    }
    Ok(())
}

fn row_json(row: &SeriesRow, now: f64) -> Json {
    let mut json = sample_json(row.time, &row.service, &row.sample, row.unit.as_deref());
    json["age"] = json!((now - row.time).max(0.0));
    json["poll"] = json!(row.poll);
    json["keep"] = json!(row.keep);
    json
}

fn sample_json(time: f64, service: &str, sample: &Sample, unit: Option<&str>) -> Json {
    json!({
        "service": service, "member": &*sample.member, "t": time, "seq": sample.seq,
        "value": sample.value.as_ref().map(event::value_json), "unit": unit,
        "quality": sample.quality.word(), "error": sample.error,
    })
}

fn value_text(sample: &Sample) -> String {
    match &sample.value {
        None => "-".to_owned(),
        Some(Value::Str(text)) => table::for_terminal(text),
        Some(value) => value.to_string(),
    }
}

fn quality_text(sample: &Sample) -> String {
    match &sample.error {
        None => sample.quality.word().to_owned(),
        Some(error) => format!("{}: {}", sample.quality.word(), table::for_terminal(error)),
    }
}

fn age_text(seconds: f64) -> String {
    match seconds.max(0.0) {
        seconds if seconds < 120.0 => format!("{seconds:.1} s"),
        seconds if seconds < 7200.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.0} h", seconds / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_services_members_and_parts() {
        for (name, service, member, is_meant) in [
            ("lab.stage", "lab.stage", "position.x", true),
            ("lab.stage.position", "lab.stage", "position.x", true),
            ("lab.stage.position.x", "lab.stage", "position.x", true),
            ("lab.stage.pos", "lab.stage", "position.x", false),
            ("lab.stage.position.y", "lab.stage", "position.x", false),
            ("lab", "lab.stage", "position", false),
            ("lab.stage2", "lab.stage", "position", false),
        ] {
            assert_eq!(is_wanted(&[name.to_owned()], service, member), is_meant, "{name}");
        }
        assert!(is_wanted(&[], "lab.stage", "position"));
    }

    #[test]
    fn ages_are_read_at_a_glance() {
        for (seconds, text) in [(-1.0, "0.0 s"), (0.44, "0.4 s"), (300.0, "5 min"), (9e3, "2 h")] {
            assert_eq!(age_text(seconds), text);
        }
    }
}
