//! `ferrolab config …`: the configuration that the lab runs with.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use miette::{IntoDiagnostic, Report, WrapErr, miette};

use super::output::print_json;
use super::{Outcome, ask, import, paths};
use crate::config::{Configuration, Warning};
use crate::control::client::Client;
use crate::files;
use crate::installed;

/// How long entries may take after a reload, in seconds.
pub(super) const SETTLING: u64 = 60;

/// Check, install and show the configuration
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Take a file over as the lab's configuration, if it has no problem
    Update(Update),
    /// Look for problems in a file, and do nothing else
    Check(Check),
    /// Print the lab's configuration as it was written, or write it to a file
    Export(Export),
    /// Put an empty configuration in the place of the lab's, which is kept beside it
    Reset(Reset),
    Import(import::Arguments),
}

/// Where to.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab config export > lab.yaml\n  \
    ferrolab config export lab.yaml")]
pub(super) struct Export {
    /// A file to write it to; the version before is kept beside it
    file: Option<PathBuf>,
}

/// Whether to ask.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab config reset\n  ferrolab config reset --yes")]
pub(super) struct Reset {
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
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
    ferrolab config update lab.yaml --reload")]
pub(super) struct Update {
    #[command(flatten)]
    file: File,
    /// Let the running lab take it up at once
    #[arg(long)]
    reload: bool,
}

/// A configuration file, and how to tell of its problems.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab config check lab.yaml\n  \
    ferrolab config check lab.yaml --json | jq '.problems[]'")]
pub(super) struct Check {
    #[command(flatten)]
    file: File,
    /// Print one JSON object with every problem
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &Command) -> Outcome {
    match command {
        Command::Update(Update { file: File { file }, reload }) => update(file, *reload),
        Command::Check(Check { file: File { file }, json }) => check(file, *json),
        Command::Export(Export { file }) => export(file.as_deref()),
        Command::Reset(Reset { yes }) => reset(*yes),
        Command::Import(arguments) => import::run(arguments),
    }
}

fn export(file: Option<&Path>) -> Outcome {
    let path = paths()?.config_file;
    let text = std::fs::read_to_string(&path).into_diagnostic().wrap_err_with(|| missing(&path))?;
    match file {
        None => print!("{text}"),
        Some(file) => {
            files::replace_keeping_previous(file, text.as_bytes()).into_diagnostic()?;
            println!("Written to {}.", file.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn reset(yes: bool) -> Outcome {
    let paths = paths()?;
    if !paths.config_file.exists() {
        println!("There is no configuration.");
        return Ok(ExitCode::SUCCESS);
    }
    let question = format!("Empty the configuration at {}?", paths.config_file.display());
    if !ask::confirmed(&question, yes)? {
        println!("Nothing was changed.");
        return Ok(ExitCode::FAILURE);
    }
    paths.ensure().into_diagnostic()?;
    installed::reset(&paths).into_diagnostic()?;
    let previous = files::previous(&paths.config_file);
    println!("The configuration is empty. The one before is kept at {}.", previous.display());
    Ok(ExitCode::SUCCESS)
}

fn check(file: &Path, json: bool) -> Outcome {
    let checked = installed::check(file);
    if !json {
        let checked = checked.map_err(|error| Report::new(*error))?;
        print_warnings(&checked.warnings);
        println!("{} is fine: {}.", file.display(), summary(&checked.configuration));
        return Ok(ExitCode::SUCCESS);
    }
    let (report, code) = match checked {
        Ok(checked) => {
            let warnings: Vec<_> = checked.warnings.iter().map(Warning::to_json).collect();
            let report = serde_json::json!({
                "file": file.display().to_string(), "problems": [], "warnings": warnings,
            });
            (report, ExitCode::SUCCESS)
        }
        Err(error) => (error.to_json(), ExitCode::FAILURE),
    };
    print_json(&report)?;
    Ok(code)
}

/// Takes a file over as the lab's configuration, if it has no problem.
fn update(file: &Path, reload: bool) -> Outcome {
    let paths = paths()?;
    let checked = installed::check(file).map_err(|error| Report::new(*error))?;
    print_warnings(&checked.warnings);
    paths.ensure().into_diagnostic()?;
    checked.install(&paths).into_diagnostic()?;
    println!("Configuration updated: {}.", summary(&checked.configuration));
    if files::previous(&paths.config_file).exists() {
        println!("The one before is kept at {}.", files::previous(&paths.config_file).display());
    }
    let socket = paths.control_socket().into_diagnostic()?;
    let is_up = super::runtime()?.block_on(Client::connect(&socket)).is_ok();
    match (is_up, reload) {
        (true, true) => return super::reload::reload(&paths, SETTLING, false),
        (true, false) => {
            println!("The running lab keeps the one it has until `ferrolab reload`.");
        }
        (false, true) => println!("The lab is not up: `ferrolab up` starts it with this one."),
        (false, false) => {}
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn print_warnings(warnings: &[Warning]) {
    for warning in warnings {
        eprintln!("warning: {}", warning.plain());
    }
}

pub(super) fn summary(configuration: &Configuration) -> String {
    format!(
        "{} nameserver(s), {} daemon(s), {} service(s)",
        configuration.nameservers.len(),
        configuration.daemons.len(),
        configuration.services.len()
    )
}

fn missing(path: &Path) -> Report {
    miette!("there is no configuration yet at {}; see `ferrolab config update`", path.display())
}
