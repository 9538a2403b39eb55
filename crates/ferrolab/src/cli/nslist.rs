//! `ferrolab nslist`: the names in a nameserver.

use std::process::ExitCode;

use clap::Args;
use lab_config::Nameserver;
use miette::{Report, miette};
use remote::{Error, Location, NameServer, Registration, Search, locate_ns};
use serde::{Deserialize, Serialize};

use super::output::print_json;
use super::table::for_terminal;
use super::target::{NameserverTarget, of_environment};
use super::{Outcome, paths, runtime, table};
use crate::host::address::address_of;
use crate::paths::Paths;
use crate::supervise::active_config;

/// Advice if no nameserver answers.
pub(super) const HINT: &str = "is the lab up? see `ferrolab ps`, start it with `ferrolab up`";

/// List the names in the lab's nameservers
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab nslist\n  ferrolab nslist lab.\n  \
    ferrolab nslist --regex '.*laser'\n  \
    ferrolab nslist --all camera room2       # names with both tags\n  \
    ferrolab nslist --any camera laser       # names with one of them\n  \
    ferrolab nslist --ns labserver:9090 --json\n  \
    ferrolab nslist --discover               # whichever nameserver the network has")]
pub(super) struct Arguments {
    /// Only names that begin with this
    prefix: Option<String>,
    /// Only names that match this regular expression at their beginning
    #[arg(long, value_name = "REGEX", conflicts_with = "prefix")]
    regex: Option<String>,
    /// Only names that have all of these metadata tags
    #[arg(long, value_name = "TAG", num_args = 1.., conflicts_with_all = ["prefix", "regex", "any"])]
    all: Vec<String>,
    /// Only names that have at least one of these metadata tags
    #[arg(long, value_name = "TAG", num_args = 1.., conflicts_with_all = ["prefix", "regex"])]
    any: Vec<String>,
    #[command(flatten)]
    pub(super) nameserver: NameserverArgument,
    /// Print a JSON list instead of a table
    #[arg(long)]
    json: bool,
}

/// Which nameserver to ask.
#[derive(Clone, Debug, Deserialize, Serialize, Args)]
pub(super) struct NameserverArgument {
    /// Ask this nameserver: a name of the configuration, or where it is
    #[arg(long = "ns", value_name = "NAME|HOST[:PORT]")]
    location: Option<String>,
    /// Ask the one that answers a search of the network (on this UDP port, mostly 9091)
    #[arg(long, value_name = "UDP_PORT", num_args = 0..=1, default_missing_value = "9091",
          require_equals = true, conflicts_with = "location")]
    discover: Option<u16>,
}

/// One name as scripts get it, from `ns` too.
#[derive(Serialize)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) uri: String,
    /// Sorted.
    pub(super) metadata: Vec<String>,
    pub(super) nameserver: String,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let paths = paths()?;
    let (rows, failures, is_silent) = runtime()?.block_on(async {
        let mut rows = Vec::new();
        let mut failures = Vec::new();
        let mut is_silent = false;
        for target in arguments.nameserver.targets(&paths).await? {
            let name = &target.title;
            match find(arguments, &mut target.client()).await {
                Err(Error::Remote(exception)) => {
                    failures.push(format!("nameserver {name}: {}", exception.message()));
                }
                Err(error) => {
                    is_silent = true;
                    failures.push(format!("nameserver {name}: {error}"));
                }
                Ok(found) => rows.extend(found.into_iter().map(|entry| Row {
                    name: entry.name,
                    uri: entry.uri,
                    metadata: entry.metadata,
                    nameserver: name.clone(),
                })),
            }
        }
        Ok::<_, Report>((rows, failures, is_silent))
    })?;
    if arguments.json {
        print_json(&rows)?;
    } else if !rows.is_empty() || failures.is_empty() {
        let mut shown = table::table(&["NAME", "URI", "METADATA", "NAMESERVER"]);
        for row in &rows {
            let metadata = row.metadata.join(", ");
            // Every client of a nameserver can register any text.
            shown.add_row(
                [&row.name, &row.uri, &metadata, &row.nameserver].map(|it| for_terminal(it)),
            );
        }
        table::print(&shown);
    }
    if failures.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    for line in failures {
        eprintln!("{}", for_terminal(&line));
    }
    if is_silent {
        eprintln!("{HINT}");
    }
    Ok(ExitCode::FAILURE)
}

/// The names that are asked for, sorted.
async fn find(
    arguments: &Arguments,
    nameserver: &mut NameServer,
) -> Result<Vec<Registration>, Error> {
    let Arguments { prefix, regex, all, any, .. } = arguments;
    let mut found = match (regex, all.as_slice(), any.as_slice()) {
        (Some(regex), ..) => nameserver.matching(regex).await,
        (None, [], []) => nameserver.list(prefix.as_deref()).await,
        (None, [], any) => nameserver.with_any_tag(any).await,
        (None, all, _) => nameserver.with_tags(all).await,
    }?;
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

impl NameserverArgument {
    /// Whether a nameserver was asked for.
    pub(super) fn is_given(&self) -> bool {
        self.location.is_some() || self.discover.is_some()
    }

    /// Names and locations of the nameservers to ask: the given one, else the configuration's,
    /// else the one that is found on this host or on the network.
    pub(super) async fn targets(&self, paths: &Paths) -> Result<Vec<NameserverTarget>, Report> {
        if let Some(broadcast_port) = self.discover {
            let search = Search { this_host: false, broadcast_port, ..Search::default() };
            return discovered(search).await;
        }
        let configured = configured(paths);
        if let Some(text) = &self.location {
            let known = configured.unwrap_or_default();
            return match known.into_iter().find(|target| target.title == *text) {
                Some(target) => Ok(vec![target]),
                None => Ok(vec![NameserverTarget::elsewhere(text.clone(), location(text)?)?]),
            };
        }
        let targets = configured?;
        if !targets.is_empty() {
            return Ok(targets);
        }
        discovered(Search::default()).await
    }
}

async fn discovered(search: Search) -> Result<Vec<NameserverTarget>, Report> {
    let found = locate_ns(&Search { tls: of_environment()?, ..search })
        .await
        .map_err(|error| miette!(help = "say where it is with `--ns HOST[:PORT]`", "{error}"))?;
    let location = found.location().clone();
    Ok(vec![NameserverTarget::elsewhere(location.to_string(), location)?])
}

/// The nameservers of the lab's configuration; none where there is no configuration.
fn configured(paths: &Paths) -> Result<Vec<NameserverTarget>, Report> {
    if !paths.config_file.exists() {
        return Ok(Vec::new());
    }
    let (configuration, _) = active_config::load(paths).map_err(|error| Report::new(*error))?;
    let target = |entry: &Nameserver| {
        let location = Location::Tcp { host: address_of(&entry.host), port: entry.port };
        NameserverTarget::configured(entry, location, paths)
    };
    configuration.nameservers.iter().map(target).collect()
}

/// `HOST`, `HOST:PORT` or `[IPV6]:PORT`, as in a URI.
fn location(text: &str) -> Result<Location, Report> {
    match format!("PYRONAME:x@{text}").parse::<remote::Uri>() {
        Ok(remote::Uri::PyroName { location: Some(location), .. }) => Ok(location),
        Ok(_) => Err(miette!("`--ns {text}` names no host")),
        Err(error) => Err(miette!("`--ns {text}`: {error}")),
    }
}
