//! Output about a configuration file that was checked or installed, for people and scripts.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lab_config::{ConfigError, Configuration, Warning};
use miette::Report;
use serde::Serialize;

use super::Outcome;
use super::output::print_json;
use crate::files;
use crate::paths::Paths;
use crate::supervise::active_config::Checked;

/// A file that is the lab's configuration now, for scripts; it begins as `config check --json`.
#[derive(Debug, Serialize)]
pub(super) struct Taken<'a> {
    file: &'a Path,
    problems: [(); 0],
    warnings: Vec<serde_json::Value>,
    /// Where the lab's configuration is.
    configuration: &'a Path,
    /// The one before, if there was one.
    pub(super) previous: Option<PathBuf>,
    nameservers: usize,
    daemons: usize,
    services: usize,
}

impl<'a> Taken<'a> {
    pub(super) fn new(file: &'a Path, checked: &Checked, paths: &'a Paths) -> Taken<'a> {
        Taken {
            file,
            problems: [],
            warnings: checked.warnings.iter().map(Warning::to_json).collect(),
            configuration: &paths.config_file,
            previous: previous(&paths.config_file),
            nameservers: checked.configuration.nameservers.len(),
            daemons: checked.configuration.daemons.len(),
            services: checked.configuration.services.len(),
        }
    }
}

/// Tells of every problem in a file.
pub(super) fn refused(error: ConfigError, json: bool) -> Outcome {
    if !json {
        return Err(Report::new(error));
    }
    print_json(&error.to_json())?;
    Ok(ExitCode::FAILURE)
}

/// The version of a file that was kept when it was replaced, if there is one.
pub(super) fn previous(file: &Path) -> Option<PathBuf> {
    Some(files::previous(file)).filter(|kept| kept.exists())
}

pub(super) fn print_warnings(warnings: &[Warning]) {
    for warning in warnings {
        eprintln!("warning: {}", warning.plain());
    }
}

pub(super) fn summary(configuration: &Configuration) -> String {
    format!(
        "{} nameserver(s), {} daemon(s), {} service(s)",
        configuration.nameservers.len(),
        configuration.daemons.len(),
        configuration.services.len()
    )
}
