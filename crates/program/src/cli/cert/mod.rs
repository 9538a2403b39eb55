//! `ferrolab cert …`: certificates of the lab's own authority.

mod files;
mod host;
mod issue;
mod show;

use clap::Subcommand;

use super::Outcome;

/// Make and show the certificates of the lab's own authority
#[derive(Debug, Subcommand)]
pub(super) enum CertCommand {
    Show(show::Arguments),
    Host(host::Arguments),
    Server(issue::ServerArguments),
    Client(issue::ClientArguments),
}

pub(super) fn run(command: &CertCommand) -> Outcome {
    match command {
        CertCommand::Show(arguments) => show::run(arguments),
        CertCommand::Host(arguments) => host::run(arguments),
        CertCommand::Server(arguments) => issue::server(arguments),
        CertCommand::Client(arguments) => issue::client(arguments),
    }
}
