//! Services written in Rust, by the names that a configuration gives as `native:`.
//!
//! Owns the list of them. A new one is a module beside this one and a line in [`build`].

mod bench;
mod loopback;
mod multimeter;
mod power_supply;

use std::sync::Arc;

use lab_config::Native;
use remote::card::{Member, MemberKind};
use remote::{Dict, Expose, Object};

pub(crate) use bench::Benches;

/// Names that `native:` knows.
const NAMES: [&str; 3] = ["simulated.loopback", "simulated.multimeter", "simulated.power_supply"];

/// The native services, with the parameters that a configuration may give them.
pub(crate) fn all() -> Vec<Native> {
    NAMES.iter().filter_map(|name| describe(name)).collect()
}

fn describe(name: &str) -> Option<Native> {
    let card = match name {
        "simulated.loopback" => loopback::Loopback::card(),
        "simulated.multimeter" => multimeter::Multimeter::card(),
        "simulated.power_supply" => power_supply::PowerSupply::card(),
        _ => return None,
    };
    let mut native = Native { name: name.to_owned(), ..Native::default() };
    for Member { name, kind, parameters, .. } in card.members {
        if kind == MemberKind::Property {
            native.attrs.push(name);
            continue;
        }
        let arguments = parameters.unwrap_or_default().into_iter().map(|one| one.name).collect();
        native.methods.push(name.clone());
        native.arguments.push((name, arguments));
    }
    Some(native)
}

/// Makes the native service `native` with `parameters`.
///
/// # Errors
/// There is none of this name, or its parameters make no sense; in words for `ferrolab status`.
pub(crate) fn build(
    native: &str,
    parameters: &Dict,
    benches: &mut Benches,
) -> Result<Arc<dyn Object>, String> {
    match native {
        "simulated.loopback" => loopback::build(parameters),
        "simulated.multimeter" => multimeter::build(parameters, benches),
        "simulated.power_supply" => power_supply::build(parameters, benches),
        other => {
            Err(format!("there is no native service '{other}'; there are {}", NAMES.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_can_be_described() {
        let described: Vec<String> = all().into_iter().map(|native| native.name).collect();
        assert_eq!(described, NAMES);
    }
}
