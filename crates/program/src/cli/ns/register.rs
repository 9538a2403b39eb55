//! `ferrolab ns register`: gives an object a name.

use std::process::ExitCode;

use clap::Args;
use miette::miette;
use remote::{Error, Uri};

use super::entry::{entry, failed, the_one};
use crate::cli::nslist::NameserverArgument;
use crate::cli::output::print_json;
use crate::cli::table::for_terminal;
use crate::cli::{Outcome, runtime};

/// Register a name for an object that other programs serve
///
/// Services of the configuration are registered by their daemons; this is for others.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ferrolab ns register lab.camera PYRO:camera@labhost:41000\n  \
    ferrolab ns register lab.camera PYRO:camera@labhost:41000 --tag camera --tag room2\n  \
    ferrolab ns register lab.camera PYRO:camera@otherhost:41000 --replace")]
pub(crate) struct Arguments {
    /// The name
    name: String,
    /// Where it points: PYRO:OBJECT@HOST:PORT
    uri: String,
    /// Metadata by which it can be found; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Take the name from its present owner
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    nameserver: NameserverArgument,
    /// Print the name as it is then as a JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let Arguments { name, uri, tags, replace, nameserver, json } = arguments;
    let uri: Uri = uri
        .parse()
        .map_err(|error| miette!(help = "for example PYRO:camera@labhost:41000", "{error}"))?;
    runtime()?.block_on(async {
        let (title, mut nameserver) = the_one(nameserver).await?;
        let registered = match replace {
            true => nameserver.register(name, &uri, tags).await,
            false => nameserver.register_new(name, &uri, tags).await,
        };
        match registered {
            Ok(()) if *json => {
                let registered = entry(&title, &mut nameserver, name).await;
                print_json(&registered.map_err(|error| failed(&title, error))?)?;
                Ok(ExitCode::SUCCESS)
            }
            Ok(()) => {
                println!("Registered {name} with nameserver {title}.");
                Ok(ExitCode::SUCCESS)
            }
            Err(Error::Remote(exception))
                if !replace && exception.message().starts_with("name already registered") =>
            {
                let has = match nameserver.lookup(name).await {
                    Ok(uri) => format!("it points to {}; ", for_terminal(&uri.to_string())),
                    Err(_) => String::new(),
                };
                Err(miette!(
                    help = format!("{has}`--replace` takes it"),
                    "nameserver {title}: {}",
                    exception.message()
                ))
            }
            Err(error) => Err(failed(&title, error)),
        }
    })
}
