//! Facts about the host that a configuration is checked against.

use super::address::host_name;

/// Facts about the host, for checks that the file alone does not allow.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The name of the host, from which names for `auto` follow.
    pub host: String,
    /// The built-in services; with `None`, any name of one is accepted.
    pub natives: Option<Vec<Native>>,
}

/// A built-in service, as far as a configuration can speak of it.
#[derive(Clone, Debug, Default)]
pub struct Native {
    /// Its name, as `native:` of a service gives it.
    pub name: String,
    /// Its methods.
    pub methods: Vec<String>,
    /// Its properties.
    pub attrs: Vec<String>,
}

impl Surroundings {
    /// Those of this process, which has the given built-in services.
    pub fn current(natives: Option<Vec<Native>>) -> Surroundings {
        Surroundings { host: host_name(), natives }
    }
}
