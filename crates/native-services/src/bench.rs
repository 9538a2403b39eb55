//! A simulated bench: a power supply that feeds a resistor, and whatever measures there.
//!
//! Owns the physics that the simulated instruments share: setting the one shows on the other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use remote::{Dict, Exception, Value};

/// The benches of one daemon, by name: instruments that name the same one are wired together.
#[derive(Debug, Default)]
pub struct Benches {
    by_name: HashMap<String, Arc<Bench>>,
}

/// One bench.
#[derive(Debug)]
pub(crate) struct Bench {
    wiring: Mutex<Wiring>,
}

/// The state of a bench.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Wiring {
    /// Volts that the supply is set to.
    pub(crate) voltage: f64,
    /// Amperes at which the supply limits.
    pub(crate) current_limit: f64,
    /// Whether the supply's output is on.
    pub(crate) output: bool,
    /// Ohms of the resistor across the output.
    pub(crate) load: f64,
}

impl Benches {
    /// The bench that an instrument's parameters name (`bench`, "bench" where they do not).
    ///
    /// # Errors
    /// The name is no text.
    pub(crate) fn of(&mut self, parameters: &Dict) -> Result<Arc<Bench>, String> {
        let name = match parameters.get("bench") {
            None => "bench",
            Some(Value::Str(name)) => name,
            Some(other) => return Err(format!("parameter `bench` must be a name, not {other}")),
        };
        Ok(Arc::clone(self.by_name.entry(name.to_owned()).or_default()))
    }
}

impl Bench {
    /// The state, to read or change.
    pub(crate) fn wiring(&self) -> MutexGuard<'_, Wiring> {
        self.wiring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Bench {
    fn default() -> Self {
        Bench { wiring: Mutex::new(Wiring::default()) }
    }
}

impl Default for Wiring {
    fn default() -> Self {
        Wiring { voltage: 0.0, current_limit: 1.0, output: false, load: 50.0 }
    }
}

impl Wiring {
    /// Volts across the resistor: what is set, or less where the supply limits the current.
    pub(crate) fn volts(&self) -> f64 {
        if self.output { self.voltage.min(self.current_limit * self.load) } else { 0.0 }
    }

    /// Amperes through the resistor.
    pub(crate) fn amperes(&self) -> f64 {
        self.volts() / self.load
    }
}

/// Refuses nan and the infinities, which no instrument can be set to.
pub(crate) fn require_finite(number: f64, what: &str, unit: &str) -> Result<f64, Exception> {
    if number.is_finite() {
        return Ok(number);
    }
    Err(Exception::value_error(format!("{what} must be a finite number of {unit}, not {number}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_supply_limits_its_current() {
        let cases = [
            // output, volts set, limit, load -> volts there
            (false, 5.0, 1.0, 50.0, 0.0),
            (true, 5.0, 1.0, 50.0, 5.0),
            (true, 30.0, 0.1, 50.0, 5.0),
        ];
        for (output, voltage, current_limit, load, volts) in cases {
            let wiring = Wiring { voltage, current_limit, output, load };
            assert!((wiring.volts() - volts).abs() < 1e-12, "{wiring:?}");
            assert!((wiring.amperes() - volts / load).abs() < 1e-12, "{wiring:?}");
        }
    }
}
