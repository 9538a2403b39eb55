//! Names of absent hosts: whose they stay, and which names of the directory a lab cannot have.

use super::value::{HOSTS, NAMES, read_name};
use crate::registry::{Registry, RegistryError};
use crate::store::index::{LAB, lab_owner};

/// Whether a name that is hidden with its host stays with its owner when a client registers it that
/// would be its `new` owner. A lab may take the name of a user, as it may while that is shown.
pub(super) fn stays_with(owner: &str, new: Option<&str>) -> bool {
    let outranks = |new: &str| new.starts_with(LAB) && !owner.starts_with(LAB);
    new != Some(owner) && !new.is_some_and(outranks)
}

/// Those of the names that a lab would not get, each with its URI: another host than `own` has the
/// name and is there, or is away and the name stays with its owner. Changes nothing.
///
/// # Errors
/// The registry does not answer.
pub async fn taken_by_others(
    registry: &dyn Registry,
    names: &[&str],
    own: Option<&str>,
    has_access: bool,
) -> Result<Vec<String>, RegistryError> {
    let new = has_access.then(|| lab_owner(own));
    let mut taken = Vec::new();
    for name in names {
        let key = format!("{NAMES}{name}");
        // The first of all keys that begin so is the key itself, where it exists.
        let found = registry.first(&key).await?.filter(|found| found.key == key);
        let Some(entry) = found.and_then(|found| read_name(&found.value?)) else { continue };
        let Some(host) = entry.host.as_deref().filter(|host| Some(*host) != own) else { continue };
        let is_there = registry.first(&format!("{HOSTS}{host}/")).await?.is_some();
        match entry.owner.as_deref().filter(|owner| stays_with(owner, new.as_deref())) {
            _ if is_there => taken.push(format!("{name} ({})", entry.uri)),
            Some(owner) => taken.push(format!("{name} ({}, of {owner}, away)", entry.uri)),
            None => {}
        }
    }
    Ok(taken)
}
