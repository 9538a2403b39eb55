//! `ferrolab stubs`: a stub file for each service, for editors and type checkers.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use miette::{IntoDiagnostic, Report, WrapErr, miette};

use super::nslist::NameserverArgument;
use super::{Outcome, describe, find, labs, paths, supervisor};
use crate::card;
use crate::files;
use crate::supervise::control::Request;

/// Write a stub file (.pyi) for each service, for editors and type checkers
///
/// A file is named after its service, with `_` for dots, and has a class with its members. Other
/// files in the folder stay as they are.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab stubs --out typings\n  \
    ferrolab stubs --out typings lab.laser lab.stage")]
pub(super) struct Arguments {
    /// The services; all of this lab without a name
    names: Vec<String>,
    /// The folder for the files; it is made where it does not exist
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    #[command(flatten)]
    nameserver: NameserverArgument,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let folder = &arguments.out;
    std::fs::create_dir_all(folder)
        .into_diagnostic()
        .wrap_err_with(|| format!("cannot make the folder {}", folder.display()))?;
    let failures = labs::block_on(async {
        let mut failures = Vec::new();
        let mut files = HashSet::new();
        for name in &names(arguments).await? {
            if !files.insert(card::module_name(name)) {
                failures.push(format!("{name}: its file would be that of another service"));
                continue;
            }
            match write(arguments, name).await {
                Ok(file) => println!("{}", file.display()),
                Err(error) => failures.push(format!("{name}: {error}")),
            }
        }
        Ok::<_, Report>(failures)
    })??;
    for failure in &failures {
        eprintln!("{failure}");
    }
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn names(arguments: &Arguments) -> Result<Vec<String>, Report> {
    if !arguments.names.is_empty() {
        return Ok(arguments.names.clone());
    }
    let client = supervisor(&paths()?).await?;
    let lab = client.ask(&Request::Ps { looks: false }, |_| {}).await.map_err(super::explain)?;
    let names: Vec<String> = lab.services.into_iter().map(|row| row.name).collect();
    if names.is_empty() {
        return Err(miette!(help = "name services of another lab", "this lab has no services"));
    }
    Ok(names)
}

async fn write(arguments: &Arguments, name: &str) -> Result<PathBuf, Report> {
    let target = find::service(&paths()?, name, &arguments.nameserver).await?;
    let service = describe::fetch(name, target).await?;
    let file = arguments.out.join(format!("{}.pyi", card::module_name(name)));
    files::replace(&file, card::stub(&service).as_bytes())
        .into_diagnostic()
        .wrap_err_with(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}
