//! The lab's configuration for another host, and what stands in a file's way on this one.

use std::path::PathBuf;

use lab_config::{
    ConfigError, Configuration, Folder, PortableText, Severity, Surroundings, Warning,
};

use super::{Checked, folder, origin_of, parse_in, surroundings};
use crate::open;
use crate::paths::Paths;

/// The lab's configuration in its portable form.
pub(crate) struct PortableLab {
    pub(crate) configuration: Configuration,
    pub(crate) text: PortableText,
    /// The folder in which its relative paths begin here.
    pub(crate) folder: PathBuf,
    /// The name of this host.
    pub(crate) host: String,
}

/// The lab's configuration for another host.
///
/// # Errors
/// Every problem in it, or that it does not exist.
pub(crate) fn export(paths: &Paths) -> Result<PortableLab, Box<ConfigError>> {
    let file = &paths.config_file;
    let unreadable = |source| Box::new(ConfigError::Unreadable { path: file.clone(), source });
    let opened = open::open_regular(file).map_err(unreadable)?;
    let text = lab_config::read_from(opened).map_err(unreadable)?;
    let base = folder(paths, origin_of(paths, &text));
    let name = file.display().to_string();
    let surroundings = surroundings(false);
    let (configuration, _) = parse_in(&name, &text, &base, &surroundings)?;
    let places = Folder { base: base.clone(), home: std::env::home_dir() };
    let portable = lab_config::portable(&name, &text, &surroundings, &places)?;
    Ok(PortableLab { configuration, text: portable, folder: base, host: surroundings.host })
}

impl Checked {
    /// The faults that keep entries of the file from starting on this host as it is now: files that
    /// are not there, people whom nobody knows.
    pub(crate) fn unready(&self) -> Vec<Warning> {
        let home = std::env::home_dir();
        let base = &self.origin.folder;
        let surroundings = Surroundings {
            folder: Some(Folder { base: base.clone(), home }),
            unready: Severity::Error,
            unknown_people: Severity::Error,
            ..surroundings(false)
        };
        match parse_in(&self.name, &self.text, base, &surroundings) {
            Err(error) => match *error {
                ConfigError::Invalid(report) => report.problems,
                ConfigError::Unreadable { .. } => Vec::new(),
            },
            Ok(_) => Vec::new(),
        }
    }

    /// The folder in which the file's relative paths begin.
    pub(crate) fn folder(&self) -> &std::path::Path {
        &self.origin.folder
    }
}
