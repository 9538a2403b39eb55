//! `ferrolab ns …`: names in a nameserver, one by one.
//!
//! Owns what its commands share: which nameserver they work on.

mod lookup;
mod register;
mod remove;
mod set_metadata;

use clap::Subcommand;
use miette::{Report, miette};
use remote::{Error, NameServer};

use super::nslist::{NameserverArgument, Row, TIMEOUT};
use super::table::text;
use super::{Outcome, paths};

/// Look up, register and remove names in a nameserver
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Lookup(lookup::Arguments),
    Register(register::Arguments),
    Remove(remove::Arguments),
    SetMetadata(set_metadata::Arguments),
}

pub(super) fn run(command: &Command) -> Outcome {
    match command {
        Command::Lookup(arguments) => lookup::run(arguments),
        Command::Register(arguments) => register::run(arguments),
        Command::Remove(arguments) => remove::run(arguments),
        Command::SetMetadata(arguments) => set_metadata::run(arguments),
    }
}

/// The one nameserver to change, with its title: where there are several, it must be said which.
async fn the_one(argument: &NameserverArgument) -> Result<(String, NameServer), Report> {
    let targets = argument.targets(&paths()?).await?;
    if targets.len() > 1 {
        let names: Vec<&str> = targets.iter().map(|(name, _)| name.as_str()).collect();
        return Err(miette!(
            help = format!("for example `--ns {}`", names.first().unwrap_or(&"")),
            "there are several nameservers ({}); choose one with `--ns`",
            names.join(", ")
        ));
    }
    let one = targets.into_iter().next();
    one.map(|(name, location)| (name, NameServer::at(location, Some(TIMEOUT))))
        .ok_or_else(|| miette!("there is no nameserver to ask"))
}

/// A name as the nameserver has it now.
async fn entry(title: &str, nameserver: &mut NameServer, name: &str) -> Result<Row, Error> {
    let (uri, metadata) = nameserver.lookup_with_tags(name).await?;
    let uri = uri.to_string();
    Ok(Row { name: name.to_owned(), uri, metadata, nameserver: title.to_owned() })
}

/// An error of a nameserver, in words for a person.
fn failed(title: &str, error: Error) -> Report {
    match error {
        Error::Remote(exception) => miette!("nameserver {title}: {}", text(&exception.message())),
        error => miette!("nameserver {title}: {error}"),
    }
}
