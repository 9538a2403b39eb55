//! `ferrolab config import`: installs a configuration of PyroLab's, or one that another host has
//! exported, as the lab's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use lab_config::{Severity, Target};
use miette::{IntoDiagnostic, Report, miette};
use serde::Serialize;
use serde_json::json;

use super::installed::{Taken, previous, print_warnings, refused, summary};
use super::output::print_json;
use super::readiness::{self, Shortcoming};
use super::{Outcome, paths};
use crate::supervise::active_config::{self, Checked};

/// Take over the configuration of an installed PyroLab, or of another host
///
/// Without a path, the file that `pyrolab config update` has installed for this user. Drivers run
/// in the Python that PyroLab is installed in, which is added to the file where it names none.
///
/// A file of `ferrolab config export --portable` is looked at first: what this host lacks (secrets,
/// interpreters, Python packages, drivers, files, free ports) is shown with what to do about it,
/// and nothing is changed. For that, the interpreters that the file names are started.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab config import\n  \
    ferrolab config import ~/lab/pyrolab.yaml --python ~/lab/venv/bin/python\n  \
    ferrolab config import lab-to-go.yaml")]
pub(super) struct Arguments {
    /// PyroLab's file, or one of `ferrolab config export --portable`
    file: Option<PathBuf>,
    /// The interpreter in which PyroLab and the drivers are installed
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// Take over a file of another host although something is missing here
    #[arg(long)]
    force: bool,
    /// Print what was done, or every problem of the file, as one JSON object
    #[arg(long)]
    json: bool,
}

/// The import, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Imported<'a> {
    #[serde(flatten)]
    taken: Taken<'a>,
    /// Differences from PyroLab's file; a sentence each.
    changes: Vec<String>,
    /// Shortcomings of this host for a lab of another one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shortcomings: Vec<Shortcoming>,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let file = match &arguments.file {
        Some(file) => file.clone(),
        None => find()?,
    };
    let file = std::path::absolute(&file).into_diagnostic()?;
    let mut checked = match active_config::check(&file, Severity::Warning) {
        Ok(checked) => checked,
        Err(error) => return refused(*error, arguments.json),
    };
    let portable = checked.configuration.portable.clone();
    let mut changes = Vec::new();
    let has_drivers = checked
        .configuration
        .services
        .iter()
        .any(|service| matches!(service.target, Target::Python { .. }));
    if has_drivers && checked.configuration.python.executable.is_none() {
        let default = || if portable.is_none() { pyrolabs_python() } else { None };
        match arguments.python.clone().or_else(default) {
            Some(python) => {
                let python = std::path::absolute(python).into_diagnostic()?;
                checked = add_python(checked, &python)?;
                changes.push(format!("drivers run in {}", python.display()));
            }
            None if portable.is_some() => {}
            None => changes.push(
                "drivers run in the `python3` beside `ferrolab` or in PATH: no `pyrolab` is there to tell of another \
                 (`--python PATH` names one)"
                    .to_owned(),
            ),
        }
    } else if let Some(python) = &arguments.python {
        return Err(miette!(
            help = "change it there, or leave out --python",
            "{} names its own Python, so {} has no use",
            file.display(),
            python.display()
        ));
    }
    let paths = paths()?;
    let mut shortcomings = Vec::new();
    if let Some(portable) = &portable {
        shortcomings = readiness::shortcomings(&checked, portable, &file, &paths)?;
        if !arguments.force && shortcomings.iter().any(|row| row.is_missing) {
            return lacking(&file, &shortcomings, arguments.json);
        }
    }
    paths.ensure().into_diagnostic()?;
    checked.install(&paths).into_diagnostic()?;
    let configuration = &checked.configuration;
    changes.push("relative paths in it are still taken from its folder".to_owned());
    if portable.is_none() && !configuration.nameservers.is_empty() {
        changes.push(
            "names that PyroLab's nameservers keep are not copied: daemons register theirs again"
                .to_owned(),
        );
    }
    let taken = Taken::new(&file, &checked, &paths);
    if arguments.json {
        print_json(&Imported { taken, changes, shortcomings })?;
        return Ok(ExitCode::SUCCESS);
    }
    if portable.is_none() {
        print_warnings(&checked.warnings);
    }
    if !shortcomings.is_empty() {
        readiness::print(&shortcomings);
        println!();
    }
    println!("Imported {}: {}.", file.display(), summary(configuration));
    println!("{}", if portable.is_none() { "What is different:" } else { "To know:" });
    for change in changes {
        println!("  - {change}");
    }
    if let Some(previous) = previous(&paths.config_file) {
        println!("The configuration before is kept at {}.", previous.display());
    }
    if portable.is_some() {
        println!(
            "`ferrolab up` starts the lab with it, `ferrolab reload` lets a running one take it up."
        );
        return Ok(ExitCode::SUCCESS);
    }
    println!("Stop PyroLab with `pyrolab down` before `ferrolab up`: both want the same ports.");
    Ok(ExitCode::SUCCESS)
}

/// Tells what this host lacks for a file that is not taken over.
fn lacking(file: &Path, rows: &[Shortcoming], json: bool) -> Outcome {
    if json {
        print_json(&json!({ "file": file, "problems": [], "shortcomings": rows }))?;
        return Ok(ExitCode::FAILURE);
    }
    readiness::print(rows);
    println!("\nNothing was changed. `--force` takes {} over all the same.", file.display());
    Ok(ExitCode::FAILURE)
}

/// Where PyroLab 0.5 keeps its user's configuration.
fn find() -> Result<PathBuf, Report> {
    const NAME: &str = "user_configuration.yaml";
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let mut places = Vec::new();
    if let Some(folder) = variable("PYROLAB_DATA_DIR") {
        places.push(PathBuf::from(folder).join(NAME));
    }
    let home = std::env::home_dir();
    let config = variable("XDG_CONFIG_HOME").map(PathBuf::from);
    if let Some(config) = config.or_else(|| Some(home.clone()?.join(".config"))) {
        places.push(config.join("pyrolab").join(NAME));
    }
    if let Some(home) = home {
        places.push(home.join("Library/Application Support/pyrolab").join(NAME));
        // Before 0.4 everything was in one folder.
        places.push(home.join(".pyrolab").join(NAME));
    }
    if let Some(found) = places.iter().find(|place| place.is_file()) {
        return Ok(found.clone());
    }
    let looked: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
    Err(miette!(
        help = "name the file: `ferrolab config import FILE`",
        "no PyroLab configuration of this user was found; looked for {}",
        looked.join(", ")
    ))
}

/// The interpreter that the `pyrolab` command in PATH runs with, as its first line says.
fn pyrolabs_python() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let script = std::env::split_paths(&path)
        .map(|folder| folder.join("pyrolab"))
        .find(|script| script.is_file())?;
    let text = fs::read(script).ok()?;
    let first = text.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(first).into_owned();
    let python = PathBuf::from(line.strip_prefix("#!")?.split_whitespace().next()?);
    let is_python =
        python.file_name().is_some_and(|name| name.to_string_lossy().starts_with("python"));
    (is_python && python.is_file()).then_some(python)
}

/// Adds the interpreter at the end of the file, if that is a place for it.
fn add_python(checked: Checked, python: &Path) -> Result<Checked, Report> {
    let mut text = checked.text.clone();
    if !text.is_empty() && !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    // JSON's text is YAML's in double quotes.
    let quoted = serde_json::Value::from(python.display().to_string());
    let added = format!("python:\n  executable: {quoted}\n");
    let comment = "\n# Added by `ferrolab config import`: the Python that drivers run in.\n";
    text.extend_from_slice(comment.as_bytes());
    text.extend_from_slice(added.as_bytes());
    checked.with_text(text).map_err(|_| {
        miette!(
            help = format!(
                "add `executable: {quoted}` under `python` to a copy of the file, and take that over \
                 with `ferrolab config update`"
            ),
            "the Python that drivers run in cannot be added to this file: it has a `python` of its \
             own, or is written in braces, or ends with `...`"
        )
    })
}
