//! `ferrolab ns …`: names in a nameserver, one by one.

mod entry;
mod lookup;
mod register;
mod remove;
mod set_metadata;

use clap::Subcommand;

use super::Outcome;

/// Look up, register and remove names in a nameserver
#[derive(Debug, Subcommand)]
pub(super) enum NsCommand {
    Lookup(lookup::Arguments),
    Register(register::Arguments),
    Remove(remove::Arguments),
    SetMetadata(set_metadata::Arguments),
}

pub(super) fn run(command: &NsCommand) -> Outcome {
    match command {
        NsCommand::Lookup(arguments) => lookup::run(arguments),
        NsCommand::Register(arguments) => register::run(arguments),
        NsCommand::Remove(arguments) => remove::run(arguments),
        NsCommand::SetMetadata(arguments) => set_metadata::run(arguments),
    }
}
