//! `ferrolab config export`: the configuration as it was written, or for another host.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use lab_config::{Configuration, Portable, PortablePackages};
use miette::{IntoDiagnostic, Report, WrapErr, miette};
use serde::Serialize;
use serde_json::json;

use super::installed::previous;
use super::output::print_json;
use super::table::{self, for_terminal, lines_for_terminal};
use super::{Outcome, paths, runtime};
use crate::access::Users;
use crate::files;
use crate::host::{DriverPackages, driver_packages};
use crate::open;
use crate::paths::Paths;
use crate::supervise::active_config;
use crate::supervise::active_config::portable::{self, PortableLab};

/// Where to, and in which form.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab config export > lab.yaml\n  \
    ferrolab config export lab.yaml\n  \
    ferrolab config export --portable lab-to-go.yaml")]
pub(super) struct Export {
    /// A file to write it to; the version before is kept beside it
    file: Option<PathBuf>,
    /// Write it for another host, where `ferrolab config import` takes it over: with relative
    /// paths, without secrets, and with the Python packages that drivers need; what it leaves out
    /// and what belongs to this host is told
    #[arg(long)]
    portable: bool,
    /// Print which file was written as one JSON object
    #[arg(long, requires = "file")]
    json: bool,
}

pub(super) fn run(arguments: &Export) -> Outcome {
    let Export { file, portable, json } = arguments;
    let paths = paths()?;
    if *portable {
        return export_portable(&paths, file.as_deref(), *json);
    }
    let path = &paths.config_file;
    let text = open::read_text(path).into_diagnostic().wrap_err_with(|| missing(path))?;
    let Some(file) = file else {
        print!("{text}");
        return Ok(ExitCode::SUCCESS);
    };
    write(file, &text)?;
    match json {
        true => print_json(&json!({ "file": file, "previous": previous(file) }))?,
        false => println!("Written to {}.", file.display()),
    }
    Ok(ExitCode::SUCCESS)
}

fn write(file: &Path, text: &str) -> Result<(), Report> {
    files::replace_keeping_previous(file, text.as_bytes(), active_config::has_secret)
        .into_diagnostic()
}

/// A key of the file with its value.
#[derive(Debug, Serialize)]
struct Setting {
    key: String,
    value: String,
}

/// Notes for the reader of a portable file; `--json` prints them.
#[derive(Debug, Serialize)]
struct Told {
    /// The folder that goes to the other host with the file.
    folder: PathBuf,
    left_out: Vec<String>,
    shortened: Vec<String>,
    /// Settings of this host.
    of_host: Vec<Setting>,
    /// Paths outside the folder.
    outside: Vec<Setting>,
    packages: Vec<PortablePackages>,
    /// Gaps in the knowledge about packages; a sentence each.
    unknown: Vec<String>,
    /// Users of this lab, whose logins stay here.
    users: Vec<String>,
}

fn export_portable(paths: &Paths, file: Option<&Path>, json: bool) -> Outcome {
    if !paths.config_file.exists() {
        return Err(missing(&paths.config_file));
    }
    let lab = portable::export(paths).map_err(|error| Report::new(*error))?;
    let asked = runtime()?.block_on(driver_packages(&lab.configuration, |_| Vec::new()));
    let (text, told) = compose(paths, lab, asked);
    let Some(file) = file else {
        print!("{text}");
        told.print(|line| eprintln!("{line}"));
        return Ok(ExitCode::SUCCESS);
    };
    write(file, &text)?;
    if json {
        let mut done = json!(told);
        done["file"] = json!(file);
        done["previous"] = json!(previous(file));
        print_json(&done)?;
        return Ok(ExitCode::SUCCESS);
    }
    told.print(|line| println!("{line}"));
    println!("Written to {}.", file.display());
    Ok(ExitCode::SUCCESS)
}

/// The file's text, and what its reader is to know.
fn compose(paths: &Paths, lab: PortableLab, asked: Vec<DriverPackages>) -> (String, Told) {
    let PortableLab { configuration, text, folder, host } = lab;
    let (packages, unknown) = needs(&configuration, asked);
    let portable = Portable {
        host: Some(host),
        folder: Some(folder.display().to_string()),
        release: Some(env!("CARGO_PKG_VERSION").to_owned()),
        left_out: text.left_out.clone(),
        shortened: text.shortened.clone(),
        packages: packages.clone(),
    };
    let head = "# A lab for another host, written by `ferrolab config export --portable`.\n\
                # There: copy the folder that `portable` names at the end, put this file into the copy\n\
                # (relative paths begin in the file's folder), fill in the keys of `left_out`, then\n\
                #     ferrolab config import FILE\n";
    let body = format!("{head}{}", text.with_section(&portable));
    let settings = |rows: Vec<(String, String)>| {
        rows.into_iter().map(|(key, value)| Setting { key, value }).collect()
    };
    let users = Users::look(&paths.access_folder()).map(|users| users.users).unwrap_or_default();
    let told = Told {
        folder,
        left_out: text.left_out,
        shortened: text.shortened,
        of_host: settings(text.of_host),
        outside: settings(text.outside),
        packages,
        unknown,
        users: users.into_keys().collect(),
    };
    (body, told)
}

/// The packages of each interpreter, and what is not known about them.
fn needs(
    configuration: &Configuration,
    asked: Vec<DriverPackages>,
) -> (Vec<PortablePackages>, Vec<String>) {
    let (mut packages, mut unknown) = (Vec::new(), Vec::new());
    for DriverPackages { services, python, answer } in asked {
        let names = services.join(", ");
        let named = configuration.services.iter().any(|service| {
            services.contains(&service.name)
                && configuration.python_for(service).executable.is_some()
        });
        let python = python.display().to_string();
        match answer {
            Ok(answer) => {
                for (service, module) in answer.absent {
                    unknown.push(format!("{service}: {python} finds no module {module}"));
                }
                if !answer.unknown.is_empty() {
                    let modules = answer.unknown.join(", ");
                    unknown.push(format!("{names}: no installed package has {modules}"));
                }
                packages.push(PortablePackages {
                    python: Some(python).filter(|_| named),
                    version: Some(answer.version),
                    services,
                    needs: answer.needs,
                });
            }
            Err(error) => unknown.push(format!("{names}: {python} cannot be asked: {error}")),
        }
    }
    (packages, unknown)
}

impl Told {
    fn print(&self, print: impl Fn(String)) {
        let mut rows = table::table(&["WHAT", "KEY", "VALUE"]);
        let mut row = |what: &str, key: &str, value: &str| {
            rows.add_row([what.to_owned(), for_terminal(key), for_terminal(value)]);
        };
        for key in &self.left_out {
            row("left out", key, "a secret: fill it in there");
        }
        for key in &self.shortened {
            row("shortened", key, "without its user, password or query");
        }
        for Setting { key, value } in &self.of_host {
            row("of this host", key, value);
        }
        for Setting { key, value } in &self.outside {
            row("outside the folder", key, value);
        }
        for PortablePackages { services, needs, .. } in &self.packages {
            let needs = if needs.is_empty() { "no package".to_owned() } else { needs.join(" ") };
            row("packages", &services.join(", "), &needs);
        }
        if !rows.is_empty() {
            table::text(&rows).lines().for_each(|line| print(line.trim_end().to_owned()));
        }
        for sentence in &self.unknown {
            print(format!("not known: {}", lines_for_terminal(sentence)));
        }
        if !self.users.is_empty() {
            let users = for_terminal(&self.users.join(", "));
            print(format!(
                "Users and their logins stay here ({users}): `ferrolab user add NAME` makes them there."
            ));
        }
        let folder = for_terminal(&self.folder.display().to_string());
        print(format!("It goes with a copy of {folder}: its relative paths begin there."));
    }
}

fn missing(path: &Path) -> Report {
    miette!("there is no configuration yet at {}; see `ferrolab config update`", path.display())
}
