//! `ferrolab demo`: a temporary lab in the foreground, to try the program.
//!
//! Owns the demo's home, configuration and driver, and the suggestions to the user. The lab is
//! an ordinary one: the same supervisor, the same processes.

mod check;

use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use miette::{IntoDiagnostic, Report, miette};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Outcome, explain, up};
use crate::files;
use crate::paths::{Environment, Paths};
use crate::supervise::control::client::{Client, ControlError};
use crate::supervise::control::{Listing, Request};
use crate::supervise::{self, SuperviseError};

/// The driver of the demo's Python service.
const DRIVERS: &str = include_str!("drivers.py");
/// Usual port of a nameserver; the demo takes another port if this one is taken.
const USUAL_PORT: u16 = 9090;
/// Usual port of the page, the same.
const USUAL_PAGE_PORT: u16 = 9092;
/// Number of attempts where other programs take the chosen port first.
const TRIES: usize = 3;
/// Timeout of the lab's start.
const READY: Duration = Duration::from_secs(30);
/// Interval of checks for the supervisor's socket.
const SOCKET_CHECK_INTERVAL: Duration = Duration::from_millis(5);

/// Run a simulated lab until Ctrl-C: two instruments and a Python driver, to be called from
/// anywhere on this machine
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab demo\n  ferrolab demo --port 9190\n  \
    ferrolab demo --check   # call everything once, and stop")]
pub(super) struct Arguments {
    /// Call every service once, print what it says, and stop; ends with 1 where something fails
    #[arg(long)]
    check: bool,
    /// The port of its nameserver, which must be free (default: 9090, or another where that is
    /// taken)
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    if let Some(port) = arguments.port {
        return lab(arguments, port)?.ok_or_else(|| {
            miette!(
                help = "`ss -ltnp` shows which; without `--port` the demo takes one that is free",
                "another program listens on port {port} already"
            )
        });
    }
    for _ in 0..TRIES {
        if let Some(code) = lab(arguments, free_port(USUAL_PORT)?)? {
            return Ok(code);
        }
        // Somebody else took the port between the look at it and the nameserver's start.
        if let Some(code) = lab(arguments, free_port(0)?)? {
            return Ok(code);
        }
    }
    Err(miette!("the demo's nameserver found no free port in {TRIES} tries"))
}

/// Runs the demo with its nameserver at `port`; nothing where that port is taken meanwhile.
fn lab(arguments: &Arguments, port: u16) -> Result<Option<ExitCode>, Report> {
    let home = tempfile::Builder::new().prefix("ferrolab-demo-").tempdir().into_diagnostic()?;
    prepare(home.path(), port, free_port(USUAL_PAGE_PORT)?)?;
    let environment = Environment { home: Some(home.path().to_owned()), ..Environment::current() };
    let paths = Paths::new(&environment).into_diagnostic()?;
    super::runtime()?.block_on(async {
        let stop = CancellationToken::new();
        let lab = supervise::run(&paths, supervise::Options::default(), stop.clone());
        tokio::pin!(lab);
        let visit = async {
            let Some(listing) = ready(&paths).await? else {
                stop.cancel();
                return Ok(None);
            };
            let mut code = ExitCode::SUCCESS;
            if arguments.check {
                code = check::run(port).await;
                stop.cancel();
            } else {
                welcome(&listing, home.path(), port)?;
            }
            Ok::<_, Report>(Some(code))
        };
        let visited = tokio::select! {
            ended = &mut lab => return ended_early(ended).map(|()| Some(ExitCode::SUCCESS)),
            visited = visit => visited,
        };
        if visited.is_err() {
            stop.cancel();
        }
        lab.await.map_err(up::report)?;
        if matches!(visited, Ok(Some(_))) && !arguments.check {
            println!("The demo's lab is down; nothing is left of it.");
        }
        visited
    })
}

/// The lab ended before it was ready: Ctrl-C, or an error.
fn ended_early(ended: Result<(), SuperviseError>) -> Result<(), Report> {
    ended.map_err(up::report)
}

/// Writes the demo's configuration and its driver.
fn prepare(home: &Path, port: u16, page_port: u16) -> Result<(), Report> {
    let drivers = home.join("drivers");
    std::fs::create_dir(&drivers).into_diagnostic()?;
    files::replace(&drivers.join("demo_drivers.py"), DRIVERS.as_bytes()).into_diagnostic()?;
    let configuration = configuration(&drivers, port, page_port)?;
    files::replace(&home.join("config.yaml"), configuration.as_bytes()).into_diagnostic()
}

fn configuration(drivers: &Path, port: u16, page_port: u16) -> Result<String, Report> {
    // JSON's strings are YAML's too, whatever a path contains.
    let drivers = serde_json::to_string(&drivers).into_diagnostic()?;
    Ok(format!(
        r#"version: "1.0"
nameservers:
  demo: {{host: localhost, ns_port: {port}}}
daemons:
  bench: {{host: localhost, servertype: thread, nameservers: [demo]}}
  python: {{host: localhost, servertype: thread, nameservers: [demo]}}
services:
  demo.supply:
    native: simulated.power_supply
    description: Programmable power supply, 0 to 30 V (simulated)
    instancemode: single
    daemon: bench
    nameservers: [demo]
  demo.meter:
    native: simulated.multimeter
    description: Bench multimeter, measures what the supply feeds (simulated)
    instancemode: single
    daemon: bench
    nameservers: [demo]
    members:
      measure_voltage: {{poll: 1s, keep: 1d, unit: V}}
  demo.logbook:
    module: demo_drivers
    classname: Logbook
    description: Notes of an experiment (a Python driver)
    instancemode: single
    daemon: python
    nameservers: [demo]
python:
  path: [{drivers}]
autolaunch: {{nameservers: [demo], daemons: [bench, python]}}
web: {{host: localhost, port: {page_port}}}
history: {{size: 64MiB}}
"#
    ))
}

/// Waits until every entry is ready; an error names those that failed. `None` if the port is taken.
async fn ready(paths: &Paths) -> Result<Option<Listing>, Report> {
    let socket = paths.control_socket().into_diagnostic()?;
    let deadline = Instant::now() + READY;
    let client = loop {
        match Client::connect(&socket).await {
            Ok(client) => break client,
            Err(ControlError::NotRunning { .. }) if Instant::now() < deadline => {
                tokio::time::sleep(SOCKET_CHECK_INTERVAL).await;
            }
            Err(error) => return Err(explain(error)),
        }
    };
    let request = Request::Settle { seconds: READY.as_secs() };
    let listing = client.ask(&request, |_| {}).await.map_err(explain)?;
    let failed = up::failures(&listing);
    if failed.is_empty() {
        return Ok(Some(listing));
    }
    let taken = |error: &String| error.contains("already in use");
    let mut rows = listing.nameservers.iter().chain(&listing.processes);
    if rows.any(|row| row.error.as_ref().is_some_and(taken)) {
        return Ok(None);
    }
    let help = match failed.iter().any(|line| line.contains("demo.logbook")) {
        true => "the logbook's driver needs a `python3` (3.8 or later) in PATH",
        false => "the rest of the demo would have worked",
    };
    Err(miette!(help = help, "the demo's lab did not come up:\n{}", failed.join("\n")))
}

fn welcome(listing: &Listing, home: &Path, port: u16) -> Result<(), Report> {
    let program = std::env::current_exe().into_diagnostic()?;
    println!("A lab is running; Ctrl-C stops it.\n");
    for row in &listing.services {
        println!("  {:14} {}", row.name, row.report.uri.as_deref().unwrap_or("-"));
    }
    println!("  {:14} localhost:{port}", "nameserver");
    if let Some(page) = up::page(listing) {
        println!("\n{page}");
    }
    println!(
        "\nFrom Python (pip install Pyro5):\n
import Pyro5.api
ns = Pyro5.api.locate_ns(\"localhost\", {port})
supply = Pyro5.api.Proxy(ns.lookup(\"demo.supply\"))
meter = Pyro5.api.Proxy(ns.lookup(\"demo.meter\"))
logbook = Pyro5.api.Proxy(ns.lookup(\"demo.logbook\"))
supply.voltage = 5.0
supply.on()
volts = meter.measure_voltage()
logbook.write(\"first light\", volts, unit=\"V\")
print(\"the meter reads\", volts, \"V; the logbook says\", logbook.read())

From another shell:\n"
    );
    let ferrolab = format!("FERROLAB_HOME={} {}", quoted(home), quoted(&program));
    println!("{ferrolab} call demo.meter measure_voltage");
    println!("{ferrolab} values --follow");
    println!("{ferrolab} history demo.meter.measure_voltage\n");
    Ok(())
}

/// A path as a POSIX shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = text.chars().all(|letter| letter.is_alphanumeric() || "/._-+".contains(letter));
    if is_plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// `wanted`, or any that is free now.
fn free_port(wanted: u16) -> Result<u16, Report> {
    let listener = TcpListener::bind(("localhost", wanted))
        .or_else(|_| TcpListener::bind(("localhost", 0)))
        .into_diagnostic()?;
    Ok(listener.local_addr().into_diagnostic()?.port())
}
