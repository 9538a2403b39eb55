//! Helpers of the `ferrolab ns` commands: the one nameserver that a change goes to, a registered
//! name as the nameserver has it now, and a nameserver's error in words.

use miette::{Report, miette};
use remote::{Error, NameServer};

use crate::cli::nslist::{NameserverArgument, Row};
use crate::cli::paths;
use crate::cli::table::for_terminal;

/// The nameserver to change, with its title. The user must name it if there are several.
pub(super) async fn the_one(argument: &NameserverArgument) -> Result<(String, NameServer), Report> {
    let targets = argument.targets(&paths()?).await?;
    if targets.len() > 1 {
        let names: Vec<&str> = targets.iter().map(|target| target.title.as_str()).collect();
        return Err(miette!(
            help = format!("for example `--ns {}`", names.first().unwrap_or(&"")),
            "there are several nameservers ({}); choose one with `--ns`",
            names.join(", ")
        ));
    }
    let one = targets.into_iter().next();
    one.map(|target| (target.title.clone(), target.client()))
        .ok_or_else(|| miette!("there is no nameserver to ask"))
}

/// A name as the nameserver has it now.
pub(super) async fn entry(
    title: &str,
    nameserver: &mut NameServer,
    name: &str,
) -> Result<Row, Error> {
    let (uri, metadata) = nameserver.lookup_with_tags(name).await?;
    let uri = uri.to_string();
    Ok(Row { name: name.to_owned(), uri, metadata, nameserver: title.to_owned() })
}

/// An error of a nameserver, in words for a person.
pub(super) fn failed(title: &str, error: Error) -> Report {
    match error {
        Error::Remote(exception) => {
            miette!("nameserver {title}: {}", for_terminal(&exception.message()))
        }
        error => miette!("nameserver {title}: {error}"),
    }
}
