//! `ferrolab reference`: the pages that are generated from the program itself. Hidden: `cargo
//! xtask docs` writes them to files.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use miette::IntoDiagnostic;

use super::Outcome;
use crate::config;

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
}

pub(super) fn run(Arguments { page }: &Arguments) -> Outcome {
    match page {
        Page::Configuration => print!("{}", config::markdown()),
        Page::Schema => {
            let schema = config::json_schema();
            println!("{}", serde_json::to_string_pretty(&schema).into_diagnostic()?);
        }
    }
    Ok(ExitCode::SUCCESS)
}
