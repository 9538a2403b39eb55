//! `ferrolab ns remove`: takes names out of a nameserver.

use std::process::ExitCode;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use miette::Report;
use remote::{NAMESERVER_NAME, NameServer, Registration};

use super::{NameserverArgument, Outcome, failed, the_one};
use crate::cli::runtime;
use crate::cli::table::text;

/// Remove names
///
/// Names of a running daemon's services come back within seconds.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab ns remove lab.camera\n  \
    ferrolab ns remove --prefix old.           # shows what it would remove\n  \
    ferrolab ns remove --prefix old. --yes\n  \
    ferrolab ns remove --regex 'test\\d+$' --yes")]
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
    /// Really remove all that `--prefix` or `--regex` finds
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    nameserver: NameserverArgument,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    runtime()?.block_on(async {
        let (title, mut nameserver) = the_one(&arguments.nameserver).await?;
        if let Some(name) = &arguments.name {
            let removed = nameserver.remove(name).await.map_err(|error| failed(&title, error))?;
            if removed {
                println!("Removed {name} from nameserver {title}.");
                return Ok(ExitCode::SUCCESS);
            }
            let reason = match name == NAMESERVER_NAME {
                true => "its own name cannot be removed",
                false => "it does not know the name",
            };
            eprintln!("Nothing removed from nameserver {title}: {reason}.");
            return Ok(ExitCode::FAILURE);
        }
        let found = find(arguments, &mut nameserver, &title).await?;
        if found.is_empty() {
            println!("Nothing to remove: no such name in nameserver {title}.");
            return Ok(ExitCode::SUCCESS);
        }
        if !arguments.yes {
            found
                .iter()
                .for_each(|entry| println!("{} -> {}", text(&entry.name), text(&entry.uri)));
            eprintln!("{} name(s) would be removed; add `--yes` to do it.", found.len());
            return Ok(ExitCode::FAILURE);
        }
        let mut removed = 0;
        for entry in &found {
            let gone = nameserver.remove(&entry.name).await;
            removed += usize::from(gone.map_err(|error| failed(&title, error))?);
        }
        println!("Removed {removed} name(s) from nameserver {title}.");
        Ok(ExitCode::SUCCESS)
    })
}

async fn find(
    arguments: &Arguments,
    nameserver: &mut NameServer,
    title: &str,
) -> Result<Vec<Registration>, Report> {
    let found = match (&arguments.prefix, &arguments.regex) {
        (Some(prefix), _) => nameserver.list(Some(prefix)).await,
        (None, Some(regex)) => nameserver.matching(regex).await,
        (None, None) => Ok(Vec::new()),
    };
    let mut found = found.map_err(|error| failed(title, error))?;
    found.retain(|entry| entry.name != NAMESERVER_NAME);
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}
