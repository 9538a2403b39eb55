//! `ferrolab nslist`: the names in a nameserver.

use std::process::ExitCode;

use clap::Args;
use lab_config::{Nameserver, OtherLab};
use miette::{Report, miette};
use remote::{Error, Location, NameServer, Registration, Search, locate_ns};
use serde::{Deserialize, Serialize};

use super::labs::{self, SeenLab};
use super::output::print_json;
use super::table::for_terminal;
use super::target::{NameserverTarget, of_environment};
use super::{Outcome, paths, table};
use crate::host::address::address_of;
use crate::labs::reason_of;
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
    ferrolab nslist --lab optics             # of another lab\n  \
    ferrolab nslist --hidden                 # of hosts that are away\n  \
    ferrolab nslist --discover               # whichever nameserver the network has")]
pub(super) struct Arguments {
    /// Only names that begin with this
    prefix: Option<String>,
    /// Only names that match this regular expression at their beginning
    #[arg(long, value_name = "REGEX", conflicts_with = "prefix")]
    regex: Option<String>,
    /// Only names that have all of these metadata tags; without a tag, the names of this lab and of
    /// all of `labs` in the configuration
    #[arg(long, value_name = "TAG", num_args = 0.., conflicts_with_all = ["prefix", "regex", "any"])]
    all: Option<Vec<String>>,
    /// Only names that have at least one of these metadata tags
    #[arg(long, value_name = "TAG", num_args = 1.., conflicts_with_all = ["prefix", "regex"])]
    any: Vec<String>,
    /// Names of this lab of `labs` in the configuration (several times for several)
    #[arg(long = "lab", value_name = "LAB", conflicts_with_all = ["location", "discover"])]
    labs: Vec<String>,
    /// Only names that nameservers with `storage: etcd` hide, because their hosts are away
    #[arg(long, conflicts_with_all = ["all", "any"])]
    hidden: bool,
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

/// Which names to list.
#[derive(Clone)]
struct Filter {
    prefix: Option<String>,
    regex: Option<String>,
    all: Vec<String>,
    any: Vec<String>,
    is_hidden: bool,
}

/// Names, and why some are missing.
#[derive(Default)]
struct Listed {
    rows: Vec<Row>,
    failures: Vec<String>,
    /// Whether a nameserver of this lab does not answer.
    is_silent: bool,
}

impl Arguments {
    /// `--all` without a tag: all labs.
    fn all_labs(&self) -> bool {
        self.all.as_ref().is_some_and(Vec::is_empty)
    }

    /// The other labs that are asked for.
    fn other_labs(&self, paths: &Paths) -> Result<Vec<OtherLab>, Report> {
        if self.all_labs() && self.nameserver.is_given() {
            return Err(miette!(
                help = "leave one of them out",
                "`--all` without a tag is for all labs, and `--ns` and `--discover` for one \
                 nameserver"
            ));
        }
        labs::find(&self.labs, self.all_labs(), paths)
    }

    fn filter(&self) -> Filter {
        Filter {
            prefix: self.prefix.clone(),
            regex: self.regex.clone(),
            all: self.all.clone().unwrap_or_default(),
            any: self.any.clone(),
            is_hidden: self.hidden,
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let paths = paths()?;
    let others = arguments.other_labs(&paths)?;
    let Listed { rows, failures, is_silent } = labs::block_on(async {
        let filter = arguments.filter();
        let here = async {
            match arguments.labs.is_empty() {
                true => names_here(arguments, &filter, &paths).await,
                false => Ok(Listed::default()),
            }
        };
        let there = names_elsewhere(others, &filter, &paths);
        let (here, there) = tokio::join!(here, there);
        let mut listed = here?;
        listed.rows.extend(there.rows);
        listed.failures.extend(there.failures);
        Ok::<_, Report>(listed)
    })??;
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

/// The names in the nameservers of this lab.
async fn names_here(
    arguments: &Arguments,
    filter: &Filter,
    paths: &Paths,
) -> Result<Listed, Report> {
    let mut listed = Listed::default();
    for target in arguments.nameserver.targets(paths).await? {
        let name = &target.title;
        match find(filter, &mut target.client()).await {
            Err(Error::Remote(exception)) => {
                listed.failures.push(format!("nameserver {name}: {}", exception.message()));
            }
            Err(error) => {
                listed.is_silent = true;
                listed.failures.push(format!("nameserver {name}: {error}"));
            }
            Ok(found) => listed.rows.extend(found.into_iter().map(|entry| Row {
                name: entry.name,
                uri: entry.uri,
                metadata: entry.metadata,
                nameserver: name.clone(),
            })),
        }
    }
    Ok(listed)
}

/// The names in the nameservers of other labs, which are asked side by side.
async fn names_elsewhere(others: Vec<OtherLab>, filter: &Filter, paths: &Paths) -> Listed {
    let mut listed = Listed::default();
    let asking = labs::ask_all(others, paths, |lab| {
        let filter = filter.clone();
        async move { find(&filter, &mut lab.nameserver()).await.map_err(|error| reason_of(&error)) }
    });
    for SeenLab { lab, answer } in asking.await {
        match answer {
            Err(reason) => listed.failures.push(format!("lab {} is away: {reason}", lab.name)),
            Ok(found) => listed.rows.extend(found.into_iter().map(|entry| Row {
                name: lab.qualify(&entry.name),
                uri: entry.uri,
                metadata: entry.metadata,
                nameserver: lab.name.clone(),
            })),
        }
    }
    listed
}

/// The names that are asked for, sorted.
async fn find(filter: &Filter, nameserver: &mut NameServer) -> Result<Vec<Registration>, Error> {
    let Filter { prefix, regex, all, any, is_hidden } = filter;
    let mut found = match (regex, all.as_slice(), any.as_slice()) {
        _ if *is_hidden => nameserver.hidden(prefix.as_deref(), regex.as_deref()).await,
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
