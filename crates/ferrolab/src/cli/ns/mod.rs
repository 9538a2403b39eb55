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
