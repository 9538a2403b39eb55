//! Numbers that an instrument can be set to.

use remote::Exception;

/// Refuses nan and the infinities, which no instrument can be set to.
pub(super) fn finite(number: f64, what: &str, unit: &str) -> Result<f64, Exception> {
    if number.is_finite() {
        return Ok(number);
    }
    Err(Exception::value_error(format!("{what} must be a finite number of {unit}, not {number}")))
}
