//! `ferrolab ns remove`: takes names out of a nameserver. With `--prefix` or `--regex` it only
//! shows what it would remove, until `--yes` is given.

use std::process::ExitCode;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use miette::Report;
use remote::{Error, NAMESERVER_NAME, NameServer, Registration};
use serde::Serialize;

use super::entry::{entry, failed, the_one};
use crate::cli::nslist::{NameserverArgument, Row};
use crate::cli::output::print_json;
use crate::cli::table::for_terminal;
use crate::cli::{Outcome, runtime};

/// Remove names
///
/// Names of a running daemon's services come back within seconds.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab ns remove lab.camera\n  \
    ferrolab ns remove --prefix old.           # shows what it would remove\n  \
    ferrolab ns remove --prefix old. --yes\n  \
    ferrolab ns remove --regex 'test\\d+$' --yes\n  \
    ferrolab ns remove --hidden --prefix old. --yes   # of hosts that are away for ever")]
#[command(group = clap::ArgGroup::new("which").required(true))]
pub(crate) struct Arguments {
    /// The name
    #[arg(group = "which")]
    name: Option<String>,
    /// All names that begin with this
    #[arg(long, group = "which", value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    prefix: Option<String>,
    /// All names that match this regular expression at their beginning
    #[arg(long, group = "which", value_name = "REGEX", value_parser = NonEmptyStringValueParser::new())]
    regex: Option<String>,
    /// Of names that a nameserver with `storage: etcd` hides, because their hosts are away: for
    /// hosts that never come back
    #[arg(long)]
    hidden: bool,
    /// Really remove all that `--prefix` or `--regex` finds
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    nameserver: NameserverArgument,
    /// Print a JSON list of the names, each with whether it was removed
    #[arg(long)]
    json: bool,
}

/// A name with the result of its removal, for scripts.
#[derive(Serialize)]
struct Removal {
    #[serde(flatten)]
    row: Row,
    removed: bool,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let Arguments { yes, json, .. } = arguments;
    runtime()?.block_on(async {
        let (title, mut nameserver) = the_one(&arguments.nameserver).await?;
        if let Some(name) = &arguments.name {
            return remove_one(&title, &mut nameserver, (name, arguments.hidden), *json).await;
        }
        let found = find(arguments, &mut nameserver, &title).await?;
        if found.is_empty() && !json {
            println!("Nothing to remove: no such name in nameserver {title}.");
            return Ok(ExitCode::SUCCESS);
        }
        let count = found.len();
        let mut removals = Vec::with_capacity(count);
        let mut failure = None;
        for Registration { name, uri, metadata } in found {
            let removed = match *yes && failure.is_none() {
                true => {
                    remove(&mut nameserver, &name, arguments.hidden).await.unwrap_or_else(|error| {
                        failure = Some(failed(&title, error));
                        false
                    })
                }
                false => false,
            };
            let row = Row { name, uri, metadata, nameserver: title.clone() };
            removals.push(Removal { row, removed });
        }
        if *json {
            print_json(&removals)?;
        } else if *yes {
            let removed = removals.iter().filter(|removal| removal.removed).count();
            let of = if failure.is_some() { format!(" of {count}") } else { String::new() };
            println!("Removed {removed}{of} name(s) from nameserver {title}.");
        } else {
            for Removal { row, .. } in &removals {
                println!("{} -> {}", for_terminal(&row.name), for_terminal(&row.uri));
            }
        }
        // The removals are reported first: nothing undoes them.
        if let Some(failure) = failure {
            return Err(failure);
        }
        if *yes || count == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        eprintln!("{count} name(s) would be removed; add `--yes` to do it.");
        Ok(ExitCode::FAILURE)
    })
}

async fn remove_one(
    title: &str,
    nameserver: &mut NameServer,
    (name, is_hidden): (&str, bool),
    json: bool,
) -> Outcome {
    let row = match (json, is_hidden) {
        (false, _) => None,
        (true, false) => entry(title, nameserver, name).await.ok(),
        (true, true) => {
            let found = nameserver.hidden(Some(name), None).await;
            let found = found.map_err(|error| failed(title, error))?.into_iter();
            let row = |Registration { name, uri, metadata }| Row {
                name,
                uri,
                metadata,
                nameserver: title.to_owned(),
            };
            found.map(row).find(|row| row.name == name)
        }
    };
    let removed =
        remove(nameserver, name, is_hidden).await.map_err(|error| failed(title, error))?;
    if json {
        print_json(&Vec::from_iter(row.map(|row| Removal { row, removed })))?;
    } else if removed {
        println!("Removed {name} from nameserver {title}.");
    }
    if removed {
        return Ok(ExitCode::SUCCESS);
    }
    let reason = match (name == NAMESERVER_NAME, is_hidden) {
        (true, _) => "its own name cannot be removed",
        (false, true) => "it hides no such name",
        (false, false) => "it does not know the name",
    };
    eprintln!("Nothing removed from nameserver {title}: {reason}.");
    Ok(ExitCode::FAILURE)
}

/// True if the name was there.
async fn remove(nameserver: &mut NameServer, name: &str, is_hidden: bool) -> Result<bool, Error> {
    match is_hidden {
        true => nameserver.remove_hidden(name).await,
        false => nameserver.remove(name).await,
    }
}

async fn find(
    arguments: &Arguments,
    nameserver: &mut NameServer,
    title: &str,
) -> Result<Vec<Registration>, Report> {
    let found = match (&arguments.prefix, &arguments.regex) {
        (prefix, regex) if arguments.hidden => {
            nameserver.hidden(prefix.as_deref(), regex.as_deref()).await
        }
        (Some(prefix), _) => nameserver.list(Some(prefix)).await,
        (None, Some(regex)) => nameserver.matching(regex).await,
        (None, None) => Ok(Vec::new()),
    };
    let mut found = found.map_err(|error| failed(title, error))?;
    found.retain(|entry| entry.name != NAMESERVER_NAME);
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}
