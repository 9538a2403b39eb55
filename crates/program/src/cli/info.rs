//! `ferrolab info`: the lab's files and a summary of its configuration.

use std::process::ExitCode;

use clap::Args;
use lab_config::{Configuration, Host, Service, Target};
use miette::{IntoDiagnostic, Report};
use serde_json::{Value, json};

use super::output::print_json;
use super::{Outcome, paths, runtime, table};
use crate::paths::Paths;
use crate::supervise::active_config;
use crate::supervise::control::client::Client;
use crate::supervise::control::{Listing, ProcessRow, Request};

/// Show where everything is kept, and what the configuration says
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab info\n  ferrolab info --json | jq -r .files.log")]
pub(super) struct Arguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let paths = paths()?;
    // The paths are asked for most where the file has a problem.
    let (configuration, error) = match paths.config_file.exists() {
        true => match active_config::load(&paths) {
            Ok((configuration, _)) => (Some(configuration), None),
            Err(error) => (None, Some(error)),
        },
        false => (None, None),
    };
    let code = if error.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    let files = files(&paths)?;
    let lab = runtime()?.block_on(running(&paths));
    if arguments.json {
        let files: serde_json::Map<String, Value> =
            files.into_iter().map(|(what, path)| (what.replace(' ', "_"), path.into())).collect();
        let report = json!({
            "version": env!("CARGO_PKG_VERSION"), "files": files, "configuration": configuration,
            "error": error.map(|error| error.to_json()), "running": lab.as_ref().map(addresses),
        });
        print_json(&report)?;
        return Ok(code);
    }
    println!("ferrolab {}\n", env!("CARGO_PKG_VERSION"));
    let mut shown = table::table(&["WHAT", "WHERE"]);
    for (what, path) in files {
        shown.add_row([what, &path]);
    }
    table::print(&shown);
    match (configuration, error) {
        (_, Some(error)) => eprintln!("\n{:?}", Report::new(*error)),
        (Some(configuration), None) => describe(&configuration, lab.as_ref()),
        (None, None) => println!("\nThere is no configuration yet; see `ferrolab config update`."),
    }
    Ok(code)
}

fn files(paths: &Paths) -> Result<Vec<(&'static str, String)>, Report> {
    let shown = |path: &std::path::Path| path.display().to_string();
    let mut files = vec![
        ("configuration", shown(&paths.config_file)),
        ("state", shown(&paths.state_dir)),
        ("log", shown(&paths.log_file())),
        ("control socket", shown(&paths.control_socket().into_diagnostic()?)),
    ];
    if let Some(origin) = active_config::origin_file(paths) {
        files.insert(1, ("configuration from", shown(&origin)));
    }
    if let Ok(program) = std::env::current_exe() {
        files.insert(0, ("program", shown(&program)));
    }
    Ok(files)
}

/// The running lab, which knows what the configuration leaves open; none if it does not answer.
async fn running(paths: &Paths) -> Option<Listing> {
    let client = Client::connect(&paths.control_socket().ok()?).await.ok()?;
    client.ask(&Request::Ps { looks: false }, |_| {}).await.ok()
}

/// Addresses, interpreters and drivers of what runs, as `--json` prints them.
fn addresses(lab: &Listing) -> Value {
    let processes = |rows: &[ProcessRow]| -> serde_json::Map<String, Value> {
        rows.iter().map(|row| (row.name.clone(), json!({ "uri": row.uri }))).collect()
    };
    let services = lab.services.iter().map(|row| {
        let report = &row.report;
        let driver = &report.driver;
        (row.name.clone(), json!({ "uri": report.uri, "python": report.python, "driver": driver }))
    });
    json!({
        "nameservers": processes(&lab.nameservers),
        "daemons": processes(&lab.daemons),
        "services": services.collect::<serde_json::Map<_, _>>(),
    })
}

/// The address of a running process, or the configured one.
fn address(rows: Option<&Vec<ProcessRow>>, name: &str, host: Host, port: u16) -> String {
    let row = rows.and_then(|rows| rows.iter().find(|row| row.name == name));
    let uri = row.and_then(|row| row.uri.as_deref()).and_then(|uri| uri.split_once('@'));
    match (uri, port) {
        (Some((_, address)), _) => address.to_owned(),
        (None, 0) => format!("{}, a free port", String::from(host)),
        (None, port) => format!("{}:{port}", String::from(host)),
    }
}

fn describe(configuration: &Configuration, lab: Option<&Listing>) {
    let Configuration { nameservers, daemons, services, autolaunch, .. } = configuration;
    let yes = |names: &[String], name: &String| if names.contains(name) { "yes" } else { "no" };
    println!();
    let mut shown = table::table(&["NAMESERVER", "ADDRESS", "STORAGE", "AUTOLAUNCH"]);
    for ns in nameservers {
        let rows = lab.map(|lab| &lab.nameservers);
        let address = address(rows, &ns.name, ns.host.clone(), ns.port);
        let storage = String::from(ns.storage.clone());
        let starts = yes(&autolaunch.nameservers, &ns.name);
        shown.add_row([ns.name.as_str(), &address, &storage, starts]);
    }
    table::print(&shown);
    println!();
    let mut shown = table::table(&["DAEMON", "ADDRESS", "TYPE", "SERVICES", "AUTOLAUNCH"]);
    for daemon in daemons {
        let address = match &daemon.unixsocket {
            Some(path) => path.display().to_string(),
            None => {
                let rows = lab.map(|lab| &lab.daemons);
                address(rows, &daemon.name, daemon.host.clone(), daemon.port)
            }
        };
        let kind = format!("{:?}", daemon.servertype).to_lowercase();
        let count = configuration.services_of(&daemon.name).count().to_string();
        let starts = yes(&autolaunch.daemons, &daemon.name);
        shown.add_row([daemon.name.as_str(), &address, &kind, &count, starts]);
    }
    table::print(&shown);
    println!();
    let mut shown = table::table(&["SERVICE", "DAEMON", "CLASS", "INSTANCES", "PYTHON"]);
    for service in services {
        let (class, python) = match &service.target {
            Target::Native(name) => (name.clone(), "-".to_owned()),
            Target::Python { module, classname } => {
                let class = classname.iter().map(|name| format!(".{name}")).collect::<String>();
                (format!("{module}{class}"), interpreter(configuration, service, lab))
            }
        };
        let mode = format!("{:?}", service.instancemode).to_lowercase();
        shown.add_row([service.name.as_str(), &service.daemon, &class, &mode, &python]);
    }
    table::print(&shown);
}

/// The path of the interpreter that a service runs with, or would.
fn interpreter(configuration: &Configuration, service: &Service, lab: Option<&Listing>) -> String {
    let row = lab.and_then(|lab| lab.services.iter().find(|row| row.name == service.name));
    row.and_then(|row| row.report.python.clone()).unwrap_or_else(|| {
        let executable = configuration.python_for(service).executable;
        let program = executable.unwrap_or_else(py_worker::default_interpreter);
        py_worker::program_path(&program).display().to_string()
    })
}
