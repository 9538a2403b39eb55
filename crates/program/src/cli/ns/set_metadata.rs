//! `ferrolab ns set-metadata`: gives a name other tags.

use std::process::ExitCode;

use clap::Args;

use super::entry::{entry, failed, the_one};
use crate::cli::nslist::NameserverArgument;
use crate::cli::output::print_json;
use crate::cli::{Outcome, runtime};

/// Replace a name's metadata
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab ns set-metadata lab.camera camera room2\n  \
    ferrolab ns set-metadata lab.camera          # removes all of it")]
pub(crate) struct Arguments {
    /// The name
    name: String,
    /// The new tags, in place of all it has
    #[arg(value_name = "TAG")]
    tags: Vec<String>,
    #[command(flatten)]
    nameserver: NameserverArgument,
    /// Print the name as it is then as a JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let Arguments { name, tags, nameserver, json } = arguments;
    runtime()?.block_on(async {
        let (title, mut nameserver) = the_one(nameserver).await?;
        nameserver.set_metadata(name, tags).await.map_err(|error| failed(&title, error))?;
        if *json {
            let changed = entry(&title, &mut nameserver, name).await;
            print_json(&changed.map_err(|error| failed(&title, error))?)?;
            return Ok(ExitCode::SUCCESS);
        }
        match tags.as_slice() {
            [] => println!("{name} has no metadata any more (nameserver {title})."),
            tags => println!("{name} now has: {} (nameserver {title}).", tags.join(", ")),
        }
        Ok(ExitCode::SUCCESS)
    })
}
