//! Facts that a portable file has about itself.

use serde::{Deserialize, Serialize};

/// Facts about a file that was exported for another host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Portable {
    /// The host that it comes from.
    pub host: Option<String>,
    /// The folder there in which its relative paths began.
    pub folder: Option<String>,
    /// The release of Ferrolab that has written it.
    pub release: Option<String>,
    /// Keys whose secret values are not in the file.
    pub left_out: Vec<String>,
    /// Keys of addresses that are there without a user, a password or a query.
    pub shortened: Vec<String>,
    /// Python packages that drivers need.
    pub packages: Vec<PortablePackages>,
}

/// Packages that the drivers of some services need.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortablePackages {
    /// The interpreter, on the first host.
    pub python: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// The services.
    pub services: Vec<String>,
    /// The packages, each as `NAME==VERSION` or `NAME`.
    pub needs: Vec<String>,
}
