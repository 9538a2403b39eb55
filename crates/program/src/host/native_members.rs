//! The native services as a configuration can speak of them: their names and members.
//!
//! Owns the conversion from their cards. The services are the crate [`native_services`]'s, which
//! knows no configuration.

use lab_config::Native;
use native_services::{NativeService, SERVICES};
use remote::card::{Member, MemberKind};

/// Descriptions of all native services, for the checks of a configuration.
pub(crate) fn describe_natives() -> Vec<Native> {
    SERVICES.iter().map(describe).collect()
}

fn describe(service: &NativeService) -> Native {
    let mut native = Native { name: service.name().to_owned(), ..Native::default() };
    for Member { name, kind, parameters, .. } in service.card().members {
        if kind == MemberKind::Property {
            native.attrs.push(name);
            continue;
        }
        let arguments = parameters.unwrap_or_default().into_iter().map(|one| one.name).collect();
        native.methods.push(name.clone());
        native.arguments.push((name, arguments));
    }
    native
}
