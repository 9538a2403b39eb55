//! `simulated.power_supply`: a programmable bench supply, 0 to 30 V.

use std::sync::Arc;

use remote::{Dict, Exception, Expose, Object};

use crate::bench::{Bench, Benches, Wiring, require_finite};

/// Volts that the supply can be set to at most.
const MAX_VOLTS: f64 = 30.0;
/// Amperes that it can be limited to at most.
const MAX_AMPERES: f64 = 3.0;

/// The supply; its state is the bench's.
pub(crate) struct PowerSupply {
    bench: Arc<Bench>,
}

pub(crate) fn build(parameters: &Dict, benches: &mut Benches) -> Result<Arc<dyn Object>, String> {
    Ok(PowerSupply { bench: benches.of(parameters)? }.into_object())
}

#[remote::expose]
impl PowerSupply {
    /// Maker, model, serial number and version, as `*IDN?` gives them.
    pub fn identify(&self) -> &'static str {
        "Ferrolab,Simulated power supply,0,1.0"
    }

    /// Switches the output on.
    pub fn on(&self) {
        self.bench.wiring().output = true;
    }

    /// Switches the output off.
    pub fn off(&self) {
        self.bench.wiring().output = false;
    }

    /// Goes back to the settings of the start: 0 V, output off.
    pub fn reset(&self) {
        *self.bench.wiring() = Wiring::default();
    }

    /// Volts that the output is set to.
    #[getter]
    pub fn voltage(&self) -> f64 {
        self.bench.wiring().voltage
    }

    #[setter]
    pub fn set_voltage(&self, volts: f64) -> Result<(), Exception> {
        self.bench.wiring().voltage = within(volts, "voltage", "volts", MAX_VOLTS)?;
        Ok(())
    }

    /// Amperes at which the supply limits.
    #[getter]
    pub fn current_limit(&self) -> f64 {
        self.bench.wiring().current_limit
    }

    #[setter]
    pub fn set_current_limit(&self, amperes: f64) -> Result<(), Exception> {
        let amperes = within(amperes, "current_limit", "amperes", MAX_AMPERES)?;
        self.bench.wiring().current_limit = amperes;
        Ok(())
    }

    /// Whether the output is on.
    #[getter]
    pub fn output(&self) -> bool {
        self.bench.wiring().output
    }

    #[setter]
    pub fn set_output(&self, output: bool) {
        self.bench.wiring().output = output;
    }
}

fn within(number: f64, what: &str, unit: &str, most: f64) -> Result<f64, Exception> {
    let number = require_finite(number, what, unit)?;
    if (0.0..=most).contains(&number) {
        return Ok(number);
    }
    Err(Exception::value_error(format!("{what} must be 0 to {most} {unit}, not {number}")))
}
