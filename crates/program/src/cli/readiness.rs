//! Readiness of this host for a lab of another one: what is missing here, and what to do about it.
//!
//! Looked for before `ferrolab config import` changes anything: secrets that were left out,
//! interpreters, packages, drivers, files, people, addresses and ports. Interpreters are asked for
//! their packages; no driver is imported.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use lab_config::{Configuration, Host, Portable, unfilled};
use miette::Report;
use serde::Serialize;
use tokio::time::timeout;

use super::labs::block_on;
use super::supervisor;
use super::table::{self, for_terminal, lines_for_terminal};
use super::target::TIMEOUT;
use crate::host::address::bind;
use crate::host::{DriverPackages, driver_packages};
use crate::paths::Paths;
use crate::supervise::active_config::Checked;
use crate::supervise::control::{Listing, Request};

/// Something that is missing on this host, or another than on the first one.
#[derive(Debug, Serialize)]
pub(super) struct Shortcoming {
    /// `secret`, `interpreter`, `package`, `driver`, `file`, `people`, `address` or `port`.
    kind: &'static str,
    subject: String,
    problem: String,
    advice: String,
    /// Whether the lab does not run as it should before this is mended.
    pub(super) is_missing: bool,
}

/// Everything that stands in the way of a portable file on this host.
///
/// # Errors
/// No runtime can be made.
pub(super) fn shortcomings(
    checked: &Checked,
    portable: &Portable,
    file: &Path,
    paths: &Paths,
) -> Result<Vec<Shortcoming>, Report> {
    let mut found = secrets(checked, portable, file);
    let (asked, addresses) = block_on(async {
        let wanted = |service: &str| {
            let of_service = |row: &&lab_config::PortablePackages| {
                row.services.iter().any(|name| name == service)
            };
            let rows = portable.packages.iter().filter(of_service);
            rows.flat_map(|row| &row.needs).map(|need| split(need).0.to_owned()).collect()
        };
        let asked = driver_packages(&checked.configuration, wanted).await;
        (asked, addresses(&checked.configuration, portable, paths).await)
    })?;
    for packages in &asked {
        found.extend(of_packages(packages, checked, portable));
    }
    found.extend(files(checked, &asked));
    found.extend(addresses);
    found.sort_by_key(|row| !row.is_missing);
    Ok(found)
}

/// Prints shortcomings as a table.
pub(super) fn print(rows: &[Shortcoming]) {
    let mut shown = table::table(&["WHAT", "WHICH", "PROBLEM"]);
    for Shortcoming { kind, subject, problem, .. } in rows {
        shown.add_row([(*kind).to_owned(), for_terminal(subject), for_terminal(problem)]);
    }
    table::print(&shown);
    println!("\nWhat to do:");
    let mut told = BTreeSet::new();
    for Shortcoming { advice, .. } in rows {
        if told.insert(advice) {
            println!("  - {}", lines_for_terminal(advice));
        }
    }
}

fn secrets(checked: &Checked, portable: &Portable, file: &Path) -> Vec<Shortcoming> {
    let file = file.display();
    let missing = unfilled(&checked.text, &portable.left_out).into_iter().map(|key| Shortcoming {
        kind: "secret",
        subject: key,
        problem: "it was left out".to_owned(),
        advice: format!("write each secret into {file}, or remove its key from `left_out` there"),
        is_missing: true,
    });
    let shortened = portable.shortened.iter().map(|key| Shortcoming {
        kind: "secret",
        subject: key.clone(),
        problem: "the address is without its user, password or query".to_owned(),
        advice: format!(
            "look at the addresses of `shortened` in {file}, and remove them from the list"
        ),
        is_missing: false,
    });
    missing.chain(shortened).collect()
}

/// The name and the version of a package.
fn split(need: &str) -> (&str, Option<&str>) {
    match need.split_once("==") {
        Some((name, version)) => (name, Some(version)),
        None => (need, None),
    }
}

fn of_packages(
    packages: &DriverPackages,
    checked: &Checked,
    portable: &Portable,
) -> Vec<Shortcoming> {
    let DriverPackages { services, python, answer } = packages;
    let python = python.display().to_string();
    let names = services.join(", ");
    let needs: BTreeSet<&String> = portable
        .packages
        .iter()
        .filter(|row| row.services.iter().any(|service| services.contains(service)))
        .flat_map(|row| &row.needs)
        .collect();
    let install = |needs: &[&String]| {
        let quoted: Vec<String> = needs.iter().map(|need| format!("'{need}'")).collect();
        format!("{} -m pip install {}", shell_word(&python), quoted.join(" "))
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            let all: Vec<&String> = needs.into_iter().collect();
            let mut advice =
                format!("make the interpreter {python} for {names}, or name another one");
            if let Some(folder) = environment_of(&python) {
                let folder = shell_word(folder);
                advice = format!("{advice} as `executable`:\npython3 -m venv {folder}");
                if !all.is_empty() {
                    advice = format!("{advice} && {}", install(&all));
                }
            }
            return vec![Shortcoming {
                kind: "interpreter",
                subject: python,
                problem: format!("{names}: {error}"),
                advice,
                is_missing: true,
            }];
        }
    };
    let mut found = Vec::new();
    for need in needs {
        let (name, version) = split(need);
        let installed = answer.installed.get(name).cloned().flatten();
        let problem = match (&installed, version) {
            (None, _) => format!("{names}: not installed in {python}"),
            (Some(here), Some(version)) if here != version => {
                format!("{names}: {here} is installed in {python}")
            }
            _ => continue,
        };
        found.push(Shortcoming {
            kind: "package",
            subject: need.clone(),
            problem,
            advice: install(&[need]),
            is_missing: installed.is_none(),
        });
    }
    let origin = match (&portable.folder, &portable.host) {
        (Some(folder), Some(host)) => format!("{folder} of {host}"),
        _ => "the lab's folder on the first host".to_owned(),
    };
    for (service, module) in &answer.absent {
        found.push(Shortcoming {
            kind: "driver",
            subject: service.clone(),
            problem: format!("{python} finds no module {module}"),
            advice: format!("copy {origin} to {}", checked.folder().display()),
            is_missing: true,
        });
    }
    found
}

/// The folder of a virtual environment, by the path of its interpreter; `None` for the system's.
fn environment_of(python: &str) -> Option<&str> {
    let (folder, name) = python.rsplit_once('/')?;
    let folder = folder.strip_suffix("/bin")?;
    let is_of_system = ["", "/usr", "/usr/local"].contains(&folder);
    (name.starts_with("python") && !is_of_system).then_some(folder)
}

/// A text as one word of a POSIX shell.
fn shell_word(text: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+:@%,=".contains(letter);
    match text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

/// Files that are not there and people whom nobody knows.
fn files(checked: &Checked, asked: &[DriverPackages]) -> Vec<Shortcoming> {
    // Of interpreters the question has told already.
    let is_told = |path: &str| {
        path.ends_with("executable") && asked.iter().any(|packages| packages.answer.is_err())
    };
    let rows = checked.unready().into_iter().filter(|problem| !is_told(&problem.path));
    rows.map(|problem| {
        let is_people = problem.path.starts_with("access");
        let place = format!("{} (line {})", problem.path, problem.line);
        Shortcoming {
            kind: if is_people { "people" } else { "file" },
            subject: place,
            problem: problem.message,
            advice: match is_people {
                true => {
                    "make the users with `ferrolab user add NAME`, or change `access`".to_owned()
                }
                false => problem.help.unwrap_or_else(|| "correct the path".to_owned()),
            },
            is_missing: !is_people,
        }
    })
    .collect()
}

/// Addresses that are not this host's, and ports that are taken.
async fn addresses(
    configuration: &Configuration,
    portable: &Portable,
    paths: &Paths,
) -> Vec<Shortcoming> {
    let own = own_ports(paths).await;
    let mut found = Vec::new();
    for Listener { key, port_key, host, port } in listeners(configuration, portable) {
        let Err(error) = bind(host, port).await else { continue };
        let text = String::from(host.clone());
        let row = match error.source.kind() {
            io::ErrorKind::AddrInUse if own.contains(&port) => continue,
            io::ErrorKind::AddrInUse => Shortcoming {
                kind: "port",
                subject: format!("{key}.{port_key}: {port}"),
                problem: format!("another program listens at {text} port {port}"),
                advice: format!("stop that program, or change `{port_key}` of {key}"),
                is_missing: true,
            },
            _ => Shortcoming {
                kind: "address",
                subject: format!("{key}.host: {text}"),
                problem: format!("this host cannot listen there: {}", error.source),
                advice: format!("change `host` of {key}: an address of this host, or `public`"),
                is_missing: true,
            },
        };
        found.push(row);
    }
    found
}

/// An address at which the lab is to listen.
struct Listener<'a> {
    key: String,
    port_key: &'static str,
    host: &'a Host,
    port: u16,
}

fn listeners<'a>(configuration: &'a Configuration, portable: &Portable) -> Vec<Listener<'a>> {
    let was_there = |host: &Host| {
        let first = |name: &str| name.split('.').next().unwrap_or("").to_ascii_lowercase();
        let Host::Named(name) = host else { return false };
        portable.host.as_ref().is_some_and(|there| first(there) == first(name))
    };
    let mut all = Vec::new();
    for entry in &configuration.nameservers {
        // One that ran on the first host is meant to run here.
        if entry.host.is_this_host() || was_there(&entry.host) {
            let key = format!("nameservers.{}", entry.name);
            all.push(Listener { key, port_key: "ns_port", host: &entry.host, port: entry.port });
        }
    }
    for entry in configuration.daemons.iter().filter(|daemon| daemon.unixsocket.is_none()) {
        let key = format!("daemons.{}", entry.name);
        all.push(Listener { key, port_key: "port", host: &entry.host, port: entry.port });
    }
    if let Some(web) = &configuration.web {
        let key = "web".to_owned();
        all.push(Listener { key, port_key: "port", host: &web.host, port: web.port });
    }
    if let Some((history, port)) =
        configuration.history.as_ref().and_then(|it| Some((it, it.port?)))
    {
        let key = "history".to_owned();
        all.push(Listener { key, port_key: "port", host: &history.host, port });
    }
    all
}

/// The ports of this host's own lab, if it is up: they are free when it takes up the file.
async fn own_ports(paths: &Paths) -> BTreeSet<u16> {
    let ask = async {
        let client = supervisor(paths).await.ok()?;
        client.ask(&Request::Ps { looks: false }, |_| {}).await.ok()
    };
    let Ok(Some(listing)) = timeout(TIMEOUT, ask).await else { return BTreeSet::new() };
    let Listing { nameservers, daemons, processes, .. } = listing;
    let rows = nameservers.into_iter().chain(daemons).chain(processes);
    let port = |address: String| {
        let digits = address.trim_end_matches('/').rsplit(':').next()?;
        digits.parse().ok()
    };
    rows.filter_map(|row| row.address).filter_map(port).collect()
}
