//! Services written in Rust, by the names that a configuration gives as `native:`.
//!
//! Owns the list of them. A new one is a module beside this one and a line in [`build`].

mod bench;
mod loopback;
mod multimeter;
mod power_supply;

use std::sync::Arc;

use remote::{Dict, Exception, Object};

pub(crate) use bench::Benches;

/// Names that `native:` knows.
pub(crate) const NAMES: [&str; 3] =
    ["simulated.loopback", "simulated.multimeter", "simulated.power_supply"];

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

/// Refuses nan and the infinities, which no instrument can be set to.
fn finite(number: f64, what: &str, unit: &str) -> Result<f64, Exception> {
    if number.is_finite() {
        return Ok(number);
    }
    Err(Exception::value_error(format!("{what} must be a finite number of {unit}, not {number}")))
}
