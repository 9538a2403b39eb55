//! Descriptions of a daemon's objects: metadata, and the known ids where one is unknown.

use wire::exception::Exception;
use wire::value::Value;

use crate::config::DAEMON_NAME;
use crate::daemon::Shared;
use crate::daemon::locks::lock_gate;

/// The metadata dict of an object.
pub(crate) fn metadata(shared: &Shared, id: &str) -> Result<Value, Exception> {
    let object = shared.registry.get(id).ok_or_else(|| unknown_object(shared, id))?;
    let mut metadata = object.metadata()?;
    if shared.locks.settings(id).is_some() {
        lock_gate::add_methods(&mut metadata);
    }
    Ok(metadata.to_value())
}

/// The same with the documentation of its members.
pub(crate) fn documented_metadata(shared: &Shared, id: &str) -> Result<Value, Exception> {
    let object = shared.registry.get(id).ok_or_else(|| unknown_object(shared, id))?;
    Ok(object.metadata()?.to_documented_value())
}

pub(crate) fn unknown_object(shared: &Shared, id: &str) -> Exception {
    let ids = shared.registry.ids();
    let served: Vec<&str> =
        ids.iter().map(String::as_str).filter(|id| *id != DAEMON_NAME).take(20).collect();
    let known = if served.is_empty() { "nothing yet".to_owned() } else { served.join(", ") };
    Exception::daemon_error(format!(
        "unknown object: daemon '{}' has no '{id}'; it serves {known}",
        shared.config.name
    ))
}
