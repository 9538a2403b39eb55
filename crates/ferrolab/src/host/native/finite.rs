//! Check of a number that a client sets: nan and the infinities are refused with a `ValueError`.

use remote::Exception;

/// Refuses nan and the infinities, which no instrument can be set to.
pub(super) fn require_finite(number: f64, what: &str, unit: &str) -> Result<f64, Exception> {
    if number.is_finite() {
        return Ok(number);
    }
    Err(Exception::value_error(format!("{what} must be a finite number of {unit}, not {number}")))
}
