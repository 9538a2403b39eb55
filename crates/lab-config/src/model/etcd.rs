//! The etcd cluster of a nameserver.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// The etcd cluster in which nameservers keep one directory of names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Etcd {
    /// The addresses of its members.
    pub endpoints: Vec<String>,
    /// The beginning of its keys.
    pub prefix: String,
    /// The certificates that its own are trusted by; those of the operating system if absent.
    pub cacert: Option<PathBuf>,
    /// The certificate that it is shown.
    pub cert: Option<PathBuf>,
    /// That certificate's key, if it is in its own file.
    pub key: Option<PathBuf>,
    /// Its user.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
}

impl Etcd {
    pub(super) fn certificate_paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        [&mut self.cacert, &mut self.cert, &mut self.key].into_iter().filter_map(Option::as_mut)
    }
}
