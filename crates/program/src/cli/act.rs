//! `ferrolab start`, `stop` and `restart`: one entry or service of the lab, by hand.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use miette::Report;

use super::output::print_json;
use super::progress::Progress;
use super::up::{SettledListing, failures};
use super::{InUse, Outcome, explain, paths, runtime, supervisor};
use crate::paths::Paths;
use crate::supervise::control::client::News;
use crate::supervise::control::{Action, EntryKind, Listing, Request, ServiceRow, WhenInUse};

/// Start nameservers or daemons (and their services)
///
/// An entry that is started by hand starts again after a restart of the host, until it is stopped
/// by hand. The command returns when the entry is ready or has failed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab start daemon bench\n  \
    ferrolab start nameserver local")]
pub(super) struct Start {
    #[command(subcommand)]
    entry: Selection,
}

/// Stop nameservers or daemons (and their services)
///
/// An entry that is stopped by hand stays stopped after a restart of the host, until it is started
/// by hand. A held lock or a running call stops the command, which names its client.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ferrolab stop daemon bench\n  ferrolab stop daemon bench oven --wait"
)]
pub(super) struct Stop {
    #[command(subcommand)]
    entry: StopSelection,
}

/// Restart services, nameservers or daemons
///
/// A service's Python process starts anew, with its driver's files as they are now; its daemon, the
/// other services and their clients' connections and locks stay. Services that share its process
/// restart too, and are named first. A held lock or a running call stops the command, which names
/// its client.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  ferrolab restart lab.stage          # after a change in its driver\n  \
        ferrolab restart lab.stage --wait   # when nobody uses it\n  \
        ferrolab restart daemon bench"
)]
pub(super) struct Restart {
    #[command(subcommand)]
    entry: Option<StopSelection>,
    #[command(flatten)]
    services: Services,
}

/// Services to restart.
#[derive(Debug, Args)]
struct Services {
    /// Services, by their names in the configuration
    #[arg(required = true, value_name = "SERVICE")]
    services: Vec<String>,
    /// Wait at most this many seconds for them to be ready
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
    /// Print how they stand then as one JSON object, as `ps --json` does
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    in_use: InUse,
}

/// Which entries.
#[derive(Debug, Subcommand)]
enum Selection {
    /// Nameservers, by their names in the configuration
    Nameserver(Names),
    /// Daemons, by their names in the configuration
    Daemon(Names),
    /// Processes of which a lab has one: the page (`web`), the history (`history`)
    Process(Names),
}

/// Which entries, to stop or to restart.
#[derive(Debug, Subcommand)]
enum StopSelection {
    /// Nameservers, by their names in the configuration
    Nameserver(StopNames),
    /// Daemons, by their names in the configuration
    Daemon(StopNames),
    /// Processes of which a lab has one: the page (`web`), the history (`history`)
    Process(StopNames),
}

/// Names of one kind, to stop or to restart.
#[derive(Debug, Args)]
#[command(after_help = "Examples, with `stop` and `restart` in the same way:\n  \
    ferrolab stop daemon bench\n  ferrolab stop daemon bench oven --json\n  \
    ferrolab stop daemon bench --force\n  ferrolab stop nameserver local --timeout 10")]
struct StopNames {
    #[command(flatten)]
    names: Names,
    #[command(flatten)]
    in_use: InUse,
}

/// Names of one kind.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab start daemon bench\n  \
    ferrolab start daemon bench oven --json\n  \
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
    let (kind, names) = match entry {
        Selection::Nameserver(names) => (EntryKind::Nameserver, names),
        Selection::Daemon(names) => (EntryKind::Daemon, names),
        Selection::Process(names) => (EntryKind::Process, names),
    };
    run(Action::Start, kind, names, WhenInUse::Refuse)
}

pub(super) fn stop(Stop { entry }: &Stop) -> Outcome {
    run_selected(Action::Stop, entry)
}

pub(super) fn restart(Restart { entry, services }: &Restart) -> Outcome {
    match entry {
        Some(entry) => run_selected(Action::Restart, entry),
        None => restart_services(services),
    }
}

fn run_selected(action: Action, entry: &StopSelection) -> Outcome {
    let (kind, StopNames { names, in_use }) = match entry {
        StopSelection::Nameserver(names) => (EntryKind::Nameserver, names),
        StopSelection::Daemon(names) => (EntryKind::Daemon, names),
        StopSelection::Process(names) => (EntryKind::Process, names),
    };
    run(action, kind, names, WhenInUse::from(*in_use))
}

fn restart_services(Services { services, timeout, json, in_use }: &Services) -> Outcome {
    let in_use = WhenInUse::from(*in_use);
    let request = Request::RestartServices { names: services.clone(), seconds: *timeout, in_use };
    let mut progress = Progress::up();
    let hear = |news: News<'_>| match news {
        // Services that restart too: before anything is done.
        News::Note(text) if *json => eprintln!("{text}"),
        News::Note(text) => println!("{text}"),
        News::Waiting(uses) => progress.show_waiting(uses),
        News::Progress(listing) => progress.show(&only_services(listing, services)),
        News::Changes(_) => {}
    };
    let listing = ask(&paths()?, &request, hear)?;
    let listing = only_services(&listing, services);
    progress.show(&listing);
    let mut failed = failures(&listing);
    if !*json {
        for row in listing.services.iter().filter(|row| row.report.status == "running") {
            println!("service {} is running.", row.name);
        }
        for title in &failed {
            println!("{title}");
        }
    }
    let running = |row: &ServiceRow| row.report.status == "running";
    if failed.is_empty() && !listing.services.iter().all(running) {
        failed.push("its daemon has ended meanwhile; see `ferrolab status`".to_owned());
    }
    if *json {
        print_json(&SettledListing::new(&listing, &failed))?;
    }
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Asks the running supervisor.
fn ask(paths: &Paths, request: &Request, hear: impl FnMut(News<'_>)) -> Result<Listing, Report> {
    runtime()?.block_on(async {
        supervisor(paths).await?.ask_for_news(request, hear).await.map_err(explain)
    })
}

fn run(
    action: Action,
    kind: EntryKind,
    Names { names, timeout, json }: &Names,
    in_use: WhenInUse,
) -> Outcome {
    let paths = paths()?;
    let (mut all, mut failed) = (Listing::default(), Vec::new());
    for name in names {
        let request = Request::Act { action, kind, name: name.clone(), seconds: *timeout, in_use };
        let mut progress = match action {
            Action::Stop => Progress::down(),
            Action::Start | Action::Restart => Progress::up(),
        };
        let mut note = String::new();
        let hear = |news: News<'_>| match news {
            News::Note(text) => text.clone_into(&mut note),
            News::Waiting(uses) => progress.show_waiting(uses),
            News::Progress(listing) => progress.show(&only(listing, kind, name)),
            News::Changes(_) => {}
        };
        let listing = ask(&paths, &request, hear)?;
        let listing = only(&listing, kind, name);
        progress.show(&listing);
        if !json && (action == Action::Stop || note.contains("already")) {
            println!("{note}.");
        }
        let failures = if action == Action::Stop { Vec::new() } else { failures(&listing) };
        if action != Action::Stop && !json {
            tell(kind, name, &listing, &failures);
        }
        failed.extend(failures);
        all.nameservers.extend(listing.nameservers);
        all.daemons.extend(listing.daemons);
        all.processes.extend(listing.processes);
        all.services.extend(listing.services);
        (all.host, all.troubles) = (listing.host, listing.troubles);
    }
    if *json {
        print_json(&SettledListing::new(&all, &failed))?;
    }
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Says how an entry has come up.
fn tell(kind: EntryKind, name: &str, listing: &Listing, failed: &[String]) {
    if failed.is_empty() {
        let services = listing.services.len();
        match kind {
            EntryKind::Nameserver | EntryKind::Process => {
                println!("{} {name} is running.", kind.word());
            }
            EntryKind::Daemon => println!("daemon {name} is running, with {services} service(s)."),
        }
    }
    for title in failed {
        println!("{title}");
    }
}

/// The part of a listing that is about these services.
fn only_services(listing: &Listing, names: &[String]) -> Listing {
    let mut part = listing.clone();
    part.nameservers.clear();
    part.processes.clear();
    part.services.retain(|row| names.contains(&row.name));
    let is_theirs = |daemon: &str| part.services.iter().any(|row| row.daemon == daemon);
    part.daemons.retain(|row| is_theirs(&row.name));
    part
}

/// The part of a listing that is about one entry.
fn only(listing: &Listing, kind: EntryKind, name: &str) -> Listing {
    let mut part = listing.clone();
    part.nameservers.retain(|row| kind == EntryKind::Nameserver && row.name == name);
    part.daemons.retain(|row| kind == EntryKind::Daemon && row.name == name);
    part.processes.retain(|row| kind == EntryKind::Process && row.name == name);
    part.services.retain(|row| kind == EntryKind::Daemon && row.daemon == name);
    part
}
