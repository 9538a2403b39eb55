//! `ferrolab start`, `stop` and `restart`: one entry of the lab, by hand.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use miette::Report;

use super::output::print_json;
use super::progress::Progress;
use super::up::{Standing, failures};
use super::{Outcome, explain, paths, runtime, supervisor};
use crate::supervise::control::client::News;
use crate::supervise::control::{Action, EntryKind, Listing, Request};

/// Start nameservers or daemons (and their services)
///
/// What is started by hand is started again after a restart of the host, until it is stopped by
/// hand. The command returns when the entry is ready or has failed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab start daemon bench\n  \
    ferrolab start nameserver local")]
pub(super) struct Start {
    #[command(subcommand)]
    entry: Selection,
}

/// Stop nameservers or daemons (and their services)
///
/// What is stopped by hand stays so after a restart of the host too, until it is started by hand.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ferrolab stop daemon bench\n  ferrolab stop daemon bench oven"
)]
pub(super) struct Stop {
    #[command(subcommand)]
    entry: Selection,
}

/// Restart nameservers or daemons (and their services), or start them
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab restart daemon bench   # after a change in a driver")]
pub(super) struct Restart {
    #[command(subcommand)]
    entry: Selection,
}

/// Which entries.
#[derive(Debug, Subcommand)]
enum Selection {
    /// Nameservers, by their names in the configuration
    Nameserver(Names),
    /// Daemons, by their names in the configuration
    Daemon(Names),
}

/// Names of one kind.
#[derive(Debug, Args)]
#[command(after_help = "Examples, with `stop` and `restart` in the same way:\n  \
    ferrolab start daemon bench\n  ferrolab start daemon bench oven --json\n  \
    ferrolab start nameserver local --timeout 10")]
struct Names {
    /// The name; several are taken one after the other
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Wait at most this many seconds for each
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
    /// Print how they stand then as one JSON object, as `ps --json` does
    #[arg(long)]
    json: bool,
}

pub(super) fn start(Start { entry }: &Start) -> Outcome {
    run(Action::Start, entry)
}

pub(super) fn stop(Stop { entry }: &Stop) -> Outcome {
    run(Action::Stop, entry)
}

pub(super) fn restart(Restart { entry }: &Restart) -> Outcome {
    run(Action::Restart, entry)
}

fn run(action: Action, entry: &Selection) -> Outcome {
    let (kind, Names { names, timeout, json }) = match entry {
        Selection::Nameserver(names) => (EntryKind::Nameserver, names),
        Selection::Daemon(names) => (EntryKind::Daemon, names),
    };
    let paths = paths()?;
    let runtime = runtime()?;
    let (mut all, mut failed) = (Listing::default(), Vec::new());
    for name in names {
        let request = Request::Act { action, kind, name: name.clone(), seconds: *timeout };
        let listing = runtime.block_on(async {
            let mut progress = match action {
                Action::Stop => Progress::down(),
                Action::Start | Action::Restart => Progress::up(),
            };
            let mut note = String::new();
            let hear = |news: News<'_>| match news {
                News::Note(text) => text.clone_into(&mut note),
                News::Progress(listing) => progress.show(&only(listing, kind, name)),
                News::Changes(_) => {}
            };
            let client = supervisor(&paths).await?;
            let listing = client.ask_for_news(&request, hear).await.map_err(explain)?;
            progress.show(&only(&listing, kind, name));
            if !json && (action == Action::Stop || note.contains("already")) {
                println!("{note}.");
            }
            Ok::<_, Report>(only(&listing, kind, name))
        })?;
        let failures = if action == Action::Stop { Vec::new() } else { failures(&listing) };
        if action != Action::Stop && !json {
            tell(kind, name, &listing, &failures);
        }
        failed.extend(failures);
        all.nameservers.extend(listing.nameservers);
        all.daemons.extend(listing.daemons);
        all.services.extend(listing.services);
        (all.host, all.troubles) = (listing.host, listing.troubles);
    }
    if *json {
        print_json(&Standing::new(&all, &failed))?;
    }
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Says how an entry has come up.
fn tell(kind: EntryKind, name: &str, listing: &Listing, failed: &[String]) {
    if failed.is_empty() {
        let services = listing.services.len();
        match kind {
            EntryKind::Nameserver => println!("nameserver {name} is running."),
            EntryKind::Daemon => println!("daemon {name} is running, with {services} service(s)."),
        }
    }
    for title in failed {
        println!("{title}");
    }
}

/// The part of a listing that is about one entry.
fn only(listing: &Listing, kind: EntryKind, name: &str) -> Listing {
    let mut part = listing.clone();
    part.nameservers.retain(|row| kind == EntryKind::Nameserver && row.name == name);
    part.daemons.retain(|row| kind == EntryKind::Daemon && row.name == name);
    part.services.retain(|row| kind == EntryKind::Daemon && row.daemon == name);
    part
}
