//! `ferrolab nslist`: the names in a nameserver.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use miette::{IntoDiagnostic, Report, miette};
use remote::{Location, NameServer};
use serde::Serialize;

use super::{Outcome, paths, runtime, table};
use crate::config::Nameserver;
use crate::installed;
use crate::paths::Paths;

/// How long a nameserver may take for an answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// What to do where no nameserver answers.
pub(super) const HINT: &str = "is the lab up? see `ferrolab ps`, start it with `ferrolab up`";

/// List the names in the lab's nameservers
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab nslist\n  ferrolab nslist lab.\n  \
    ferrolab nslist --ns labserver:9090 --json")]
pub(super) struct Arguments {
    /// Only names that begin with this
    prefix: Option<String>,
    #[command(flatten)]
    pub(super) nameserver: NameserverArgument,
    /// Print a JSON list instead of a table
    #[arg(long)]
    json: bool,
}

/// Which nameserver to ask.
#[derive(Debug, Args)]
pub(super) struct NameserverArgument {
    /// Ask this nameserver instead of the configuration's
    #[arg(long = "ns", value_name = "HOST[:PORT]")]
    location: Option<String>,
}

/// One name.
#[derive(Serialize)]
struct Row {
    name: String,
    uri: String,
    metadata: Vec<String>,
    nameserver: String,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let paths = paths()?;
    let targets = arguments.nameserver.targets(&paths)?;
    let (rows, silent) = runtime()?.block_on(async {
        let mut rows = Vec::new();
        let mut silent = Vec::new();
        for (name, location) in targets {
            let mut nameserver = NameServer::at(location, Some(TIMEOUT));
            match nameserver.list(arguments.prefix.as_deref()).await {
                Err(error) => silent.push(format!("nameserver {name}: {error}")),
                Ok(found) => rows.extend(found.into_iter().map(|entry| Row {
                    name: entry.name,
                    uri: entry.uri,
                    metadata: entry.metadata,
                    nameserver: name.clone(),
                })),
            }
        }
        (rows, silent)
    });
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&rows).into_diagnostic()?);
    } else if !rows.is_empty() || silent.is_empty() {
        let mut shown = table::table(&["NAME", "URI", "METADATA", "NAMESERVER"]);
        for row in &rows {
            let metadata = row.metadata.join(", ");
            shown.add_row([&row.name, &row.uri, &metadata, &row.nameserver]);
        }
        table::print(&shown);
    }
    if silent.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    for line in silent {
        eprintln!("{line}");
    }
    eprintln!("{HINT}");
    Ok(ExitCode::FAILURE)
}

impl NameserverArgument {
    /// Names and locations of the nameservers to ask: the given one, else the configuration's,
    /// else the one that Pyro5 would look for.
    pub(super) fn targets(&self, paths: &Paths) -> Result<Vec<(String, Location)>, Report> {
        if let Some(text) = &self.location {
            return Ok(vec![(text.clone(), location(text)?)]);
        }
        let mut targets = Vec::new();
        if paths.config_file.exists() {
            let (configuration, _) = installed::load(paths).map_err(|error| Report::new(*error))?;
            for Nameserver { name, host, port, .. } in configuration.nameservers {
                targets.push((name, Location::Tcp { host: host.resolve(), port }));
            }
        }
        if targets.is_empty() {
            let host = "localhost".to_owned();
            targets.push(("localhost:9090".to_owned(), Location::Tcp { host, port: 9090 }));
        }
        Ok(targets)
    }
}

/// `HOST`, `HOST:PORT` or `[IPV6]:PORT`, as in a URI.
fn location(text: &str) -> Result<Location, Report> {
    match format!("PYRONAME:x@{text}").parse::<remote::Uri>() {
        Ok(remote::Uri::PyroName { location: Some(location), .. }) => Ok(location),
        Ok(_) => Err(miette!("`--ns {text}` names no host")),
        Err(error) => Err(miette!("`--ns {text}`: {error}")),
    }
}
