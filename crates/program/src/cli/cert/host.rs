//! `ferrolab cert host`: the certificate of this host's nameservers and daemons.

use std::process::ExitCode;

use clap::Args;
use miette::IntoDiagnostic;

use super::files::authority;
use super::show;
use crate::authority::host_names;
use crate::cli::{Outcome, paths};

/// Make the certificate of this host's ports, also for further names
///
/// The lab's authority is made if the lab has none yet. The certificate has this host's names and
/// addresses, those that it had before, and those that are given. Nameservers and daemons with
/// `ssl` and without `ssl_servercert` show it within a few seconds.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ferrolab cert host\n  ferrolab cert host lab.example.edu 10.0.0.7"
)]
pub(crate) struct Arguments {
    /// Further names or addresses at which clients reach this host
    names: Vec<String>,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let paths = paths()?;
    paths.ensure().into_diagnostic()?;
    let files = authority(&paths);
    files.prepare_host(&host_names(&arguments.names)).into_diagnostic()?;
    show::print(&files)?;
    Ok(ExitCode::SUCCESS)
}
