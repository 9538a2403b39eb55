//! `ferrolab config …`: the configuration that the lab runs with.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use lab_config::{Severity, Warning};
use miette::{IntoDiagnostic, miette};
use serde::Serialize;
use serde_json::json;

use super::connected::{Connected, check_connections};
use super::installed::{Taken, previous, print_warnings, refused, summary};
use super::output::print_json;
use super::reload::{Reloaded, SETTLING};
use super::table::{for_terminal, lines_for_terminal};
use super::{Outcome, ReloadInUse, ask, export, import, paths};
use crate::host::{CheckedDriver, check_drivers, shared_id};
use crate::supervise::active_config;
use crate::supervise::control::WhenInUse;
use crate::supervise::control::client::Client;
use crate::supervise::entries::lab_id;

/// Check, install and show the configuration
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Take a file over as the lab's configuration, if it has no problem
    Update(Update),
    /// Look for problems in a file, and do nothing else
    Check(Check),
    /// Print the lab's configuration as it was written, or write it to a file
    Export(export::Export),
    /// Put an empty configuration in the place of the lab's, which is kept beside it
    Reset(Reset),
    Import(import::Arguments),
}

/// Whether to ask.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab config reset\n  ferrolab config reset --yes")]
pub(super) struct Reset {
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Print what was done as one JSON object
    #[arg(long, requires = "yes")]
    json: bool,
}

/// A configuration file.
#[derive(Debug, Args)]
pub(super) struct File {
    /// A YAML file, PyroLab's or with Ferrolab's own keys
    file: PathBuf,
}

/// A configuration file, and whether to apply it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab config update lab.yaml\n  \
    ferrolab config update lab.yaml --reload\n  \
    ferrolab config update lab.yaml --reload --json | jq .reload.restarted")]
pub(super) struct Update {
    #[command(flatten)]
    file: File,
    /// Let the running lab take it up at once
    #[arg(long)]
    reload: bool,
    #[command(flatten)]
    in_use: ReloadInUse,
    /// Print what was done, or every problem of the file, as one JSON object
    #[arg(long)]
    json: bool,
}

/// A configuration file, and how to tell of its problems.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab config check lab.yaml\n  \
    ferrolab config check lab.yaml --import\n  \
    ferrolab config check lab.yaml --connect\n  \
    ferrolab config check lab.yaml --json | jq '.problems[]'")]
pub(super) struct Check {
    #[command(flatten)]
    file: File,
    /// Import and describe the Python driver of each service, too, with its own interpreter; no
    /// instrument is made
    #[arg(long)]
    import: bool,
    /// Connect to the etcd of each nameserver that has one, too; nothing is changed there
    #[arg(long)]
    connect: bool,
    /// Print one JSON object with every problem
    #[arg(long)]
    json: bool,
}

/// A configuration that was taken over, for scripts.
#[derive(Debug, Serialize)]
struct Updated<'a> {
    #[serde(flatten)]
    taken: Taken<'a>,
    is_up: bool,
    /// The running lab's reload, with `--reload`.
    reload: Option<Reloaded>,
}

pub(super) fn run(command: &ConfigCommand) -> Outcome {
    match command {
        ConfigCommand::Update(Update { file: File { file }, reload, in_use, json }) => {
            update(file, *reload, (*in_use).into(), *json)
        }
        ConfigCommand::Check(Check { file: File { file }, import, connect, json }) => {
            check(file, *import, *connect, *json)
        }
        ConfigCommand::Export(arguments) => export::run(arguments),
        ConfigCommand::Reset(Reset { yes, json }) => reset(*yes, *json),
        ConfigCommand::Import(arguments) => import::run(arguments),
    }
}

fn reset(yes: bool, json: bool) -> Outcome {
    let paths = paths()?;
    let path = &paths.config_file;
    let was_there = path.exists();
    let question = format!("Empty the configuration at {}?", path.display());
    if was_there {
        if !ask::confirmed(&question, yes)? {
            println!("Nothing was changed.");
            return Ok(ExitCode::FAILURE);
        }
        paths.ensure().into_diagnostic()?;
        active_config::reset(&paths).into_diagnostic()?;
    }
    let previous = previous(path).filter(|_| was_there);
    match (json, &previous) {
        (true, _) => {
            let done =
                json!({ "was_there": was_there, "configuration": path, "previous": previous });
            print_json(&done)?;
        }
        (false, _) if !was_there => println!("There is no configuration."),
        (false, None) => println!("The configuration is empty."),
        (false, Some(previous)) => {
            let kept = previous.display();
            println!("The configuration is empty. The one before is kept at {kept}.");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn check(file: &Path, imports: bool, connects: bool, json: bool) -> Outcome {
    let checked = match active_config::check(file, Severity::Error) {
        Ok(checked) => checked,
        Err(error) => return refused(*error, json),
    };
    let drivers = match imports {
        true => {
            let checking = async {
                let mut drivers = check_drivers(&checked.configuration).await?;
                drivers.extend(check_drivers(&checked.stand_ins).await?);
                Ok::<_, String>(drivers)
            };
            Some(super::runtime()?.block_on(checking).map_err(|error| miette!("{error}"))?)
        }
        false => None,
    };
    let connections = match connects {
        true => {
            let own = lab_id::peek(&paths()?).map(|lab| shared_id(&lab));
            let connecting = check_connections(&checked.configuration, own.as_deref());
            super::runtime()?.block_on(connecting)
        }
        false => Vec::new(),
    };
    let unconnected = connections.iter().filter(|connection| connection.error.is_some()).count();
    let remarks = drivers.iter().flatten().filter(|driver| driver.remarks.is_some()).count();
    let faults = drivers.iter().flatten().filter(|driver| driver.error.is_some()).count();
    if json {
        let warnings: Vec<_> = checked.warnings.iter().map(Warning::to_json).collect();
        let mut found = json!({ "file": file, "problems": [], "warnings": warnings });
        if let Some(drivers) = &drivers {
            found["drivers"] = json!(drivers);
        }
        if connects {
            found["connections"] = json!(connections);
        }
        print_json(&found)?;
    } else {
        print_warnings(&checked.warnings);
        drivers.iter().flatten().for_each(print_driver);
        connections.iter().for_each(Connected::print);
        match faults {
            0 if unconnected > 0 => println!("{unconnected} nameserver(s) cannot use their etcd."),
            0 if remarks > 0 => println!(
                "{} can be used, but not all of it: see what is said of {remarks} driver(s) above.",
                file.display()
            ),
            0 => println!("{} is fine: {}.", file.display(), summary(&checked.configuration)),
            _ => println!("{} driver(s) cannot be imported.", faults),
        }
    }
    Ok(if faults + unconnected == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_driver(driver: &CheckedDriver) {
    let CheckedDriver { service, simulated, python, error, remarks } = driver;
    let (verdict, detail) = match (error, remarks) {
        (Some(error), _) => ("failed", error.as_str()),
        (None, Some(remarks)) => ("imported, but", remarks.as_str()),
        (None, None) => ("imported", ""),
    };
    let service = format!("{service}{}", if *simulated { ", simulated" } else { "" });
    let text = lines_for_terminal(format!("{service}: {verdict} {detail}").trim_end());
    // Most errors name it.
    match detail.contains(&format!("(python {python})")) {
        true => println!("{text}"),
        false => println!("{text} (with {})", for_terminal(python)),
    }
}

/// Takes a file over as the lab's configuration, if it has no problem.
fn update(file: &Path, reload: bool, in_use: WhenInUse, json: bool) -> Outcome {
    let paths = paths()?;
    // A path may come into being before the lab's start.
    let checked = match active_config::check(file, Severity::Warning) {
        Ok(checked) => checked,
        Err(error) => return refused(*error, json),
    };
    paths.ensure().into_diagnostic()?;
    checked.install(&paths).into_diagnostic()?;
    let socket = paths.control_socket().into_diagnostic()?;
    let is_up = super::runtime()?.block_on(Client::connect(&socket)).is_ok();
    let taken = Taken::new(file, &checked, &paths);
    if json {
        let reload = match is_up && reload {
            true => Some(super::reload::perform(&paths, SETTLING, in_use)?),
            false => None,
        };
        let code = reload.as_ref().map_or(ExitCode::SUCCESS, Reloaded::code);
        print_json(&Updated { taken, is_up, reload })?;
        return Ok(code);
    }
    print_warnings(&checked.warnings);
    println!("Configuration updated: {}.", summary(&checked.configuration));
    if let Some(previous) = taken.previous {
        println!("The one before is kept at {}.", previous.display());
    }
    match (is_up, reload) {
        (true, true) => return super::reload::reload(&paths, SETTLING, false, in_use),
        (true, false) => {
            println!("The running lab keeps the one it has until `ferrolab reload`.");
        }
        (false, true) => println!("The lab is not up: `ferrolab up` starts it with this one."),
        (false, false) => {}
    }
    Ok(ExitCode::SUCCESS)
}
