//! Another lab, and names of its services.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::address::Host;

/// The mark between the name of a lab and a name in it: `optics/lab.laser`.
pub const LAB_MARK: char = '/';

/// Another lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtherLab {
    /// The name that it has here.
    pub name: String,
    /// The host of its nameserver.
    pub host: Host,
    /// The port of its nameserver.
    pub port: u16,
    /// Whether it is read with TLS only.
    #[serde(default)]
    pub ssl: bool,
    /// The certificates that its own is trusted by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssl_cacerts: Option<PathBuf>,
    /// The certificate that is shown there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssl_clientcert: Option<PathBuf>,
    /// That certificate's key, if it is in its own file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssl_clientkey: Option<PathBuf>,
}

impl OtherLab {
    /// The name of something in this lab, as this host shows it: `optics/lab.laser`.
    pub fn qualify(&self, name: &str) -> String {
        format!("{}{LAB_MARK}{name}", self.name)
    }

    /// The name in this lab of what this host shows under `name`; `None` for anything else.
    pub fn unqualify<'a>(&self, name: &'a str) -> Option<&'a str> {
        name.strip_prefix(self.name.as_str())?.strip_prefix(LAB_MARK)
    }

    pub(super) fn certificate_paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let paths = [&mut self.ssl_cacerts, &mut self.ssl_clientcert, &mut self.ssl_clientkey];
        paths.into_iter().filter_map(Option::as_mut)
    }
}
