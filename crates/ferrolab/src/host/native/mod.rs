//! Services written in Rust, by the names that a configuration gives as `native:`.
//!
//! Owns the list of them. A new one is a module beside this one and a line in [`build`].

mod bench;
mod loopback;
mod multimeter;
mod power_supply;

use std::sync::Arc;

use lab_config::Native;
use remote::{Dict, Expose, Metadata, Object};

pub(crate) use bench::Benches;

/// Names that `native:` knows.
const NAMES: [&str; 3] = ["simulated.loopback", "simulated.multimeter", "simulated.power_supply"];

/// The native services, with the parameters that a configuration may give them.
pub(crate) fn all() -> Vec<Native> {
    NAMES.iter().filter_map(|name| describe(name)).collect()
}

fn describe(name: &str) -> Option<Native> {
    let Metadata { methods, attrs, .. } = match name {
        "simulated.loopback" => loopback::Loopback::metadata(),
        "simulated.multimeter" => multimeter::Multimeter::metadata(),
        "simulated.power_supply" => power_supply::PowerSupply::metadata(),
        _ => return None,
    };
    Some(Native { name: name.to_owned(), methods, attrs })
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
