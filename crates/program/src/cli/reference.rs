//! `ferrolab reference`: the pages that are generated from the program itself. Hidden: `cargo
//! xtask docs` writes them to files.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::Outcome;
use super::output::print_json;
use crate::host;

/// Print a page that is generated from the program itself
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[arg(value_enum)]
    page: Page,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Page {
    /// The configuration reference, as Markdown
    Configuration,
    /// The JSON Schema of the configuration
    Schema,
    /// The limits of a daemon, as a table in Markdown
    Limits,
}

pub(super) fn run(Arguments { page }: &Arguments) -> Outcome {
    match page {
        Page::Configuration => print!("{}", lab_config::markdown()),
        Page::Schema => {
            let schema = lab_config::json_schema();
            print_json(&schema)?;
        }
        Page::Limits => print!("{}", host::limits_page()),
    }
    Ok(ExitCode::SUCCESS)
}
