//! `ferrolab info`: the lab's files and a summary of its configuration.

use std::process::ExitCode;

use clap::Args;
use lab_config::{Configuration, Service, Target};
use miette::{IntoDiagnostic, Report};
use serde_json::{Value, json};

use super::output::print_json;
use super::{Outcome, paths, table};
use crate::paths::Paths;
use crate::supervise::active_config;

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
    if arguments.json {
        let files: serde_json::Map<String, Value> =
            files.into_iter().map(|(what, path)| (what.replace(' ', "_"), path.into())).collect();
        let report = json!({
            "version": env!("CARGO_PKG_VERSION"), "files": files, "configuration": configuration,
            "error": error.map(|error| error.to_json()),
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
        (Some(configuration), None) => describe(&configuration),
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

fn describe(configuration: &Configuration) {
    let Configuration { nameservers, daemons, services, autolaunch, .. } = configuration;
    let yes = |names: &[String], name: &String| if names.contains(name) { "yes" } else { "no" };
    println!();
    let mut shown = table::table(&["NAMESERVER", "ADDRESS", "STORAGE", "AUTOLAUNCH"]);
    for ns in nameservers {
        let address = format!("{}:{}", String::from(ns.host.clone()), ns.port);
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
            None => format!("{}:{}", String::from(daemon.host.clone()), daemon.port),
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
                (format!("{module}{class}"), interpreter(configuration, service))
            }
        };
        let mode = format!("{:?}", service.instancemode).to_lowercase();
        shown.add_row([service.name.as_str(), &service.daemon, &class, &mode, &python]);
    }
    table::print(&shown);
}

fn interpreter(configuration: &Configuration, service: &Service) -> String {
    let executable = configuration.python_for(service).executable;
    executable.unwrap_or_else(py_worker::default_interpreter).display().to_string()
}
