//! `ferrolab ns lookup`: where a name points.

use std::process::ExitCode;

use clap::Args;
use lab_config::did_you_mean;
use miette::miette;
use remote::Error;

use super::entry::entry;
use crate::cli::nslist::NameserverArgument;
use crate::cli::output::print_json;
use crate::cli::table::for_terminal;
use crate::cli::{Outcome, paths, runtime};

/// Print where a name points
///
/// Where there are several nameservers, the first that knows the name counts. Its metadata comes
/// on the lines after the URI.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab ns lookup lab.laser\n  \
    ferrolab ns lookup lab.laser --json\n  \
    ferrolab ns lookup lab.laser --ns labserver:9090")]
pub(crate) struct Arguments {
    /// The name
    name: String,
    #[command(flatten)]
    nameserver: NameserverArgument,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    runtime()?.block_on(look_up(arguments))
}

async fn look_up(arguments: &Arguments) -> Outcome {
    let Arguments { name, nameserver, json } = arguments;
    let mut asked = Vec::new();
    let mut known = Vec::new();
    for target in nameserver.targets(&paths()?).await? {
        let (title, mut nameserver) = (&target.title, target.client());
        match entry(title, &mut nameserver, name).await {
            Ok(found) if *json => {
                print_json(&found)?;
                return Ok(ExitCode::SUCCESS);
            }
            Ok(found) => {
                println!("{}", for_terminal(&found.uri));
                found.metadata.iter().for_each(|tag| println!("  {}", for_terminal(tag)));
                return Ok(ExitCode::SUCCESS);
            }
            Err(Error::Remote(exception)) => {
                asked.push(format!("nameserver {title}: {}", exception.message()));
                let names = nameserver.list(None).await.unwrap_or_default();
                known.extend(names.into_iter().map(|entry| entry.name));
            }
            Err(error) => asked.push(format!("nameserver {title}: {error}")),
        }
    }
    let help = match did_you_mean(name, known.iter().map(String::as_str)) {
        Some(help) => help,
        None => "see the names with `ferrolab nslist`".to_owned(),
    };
    Err(miette!(help = help, "cannot find '{name}': {}", asked.join("; ")))
}
