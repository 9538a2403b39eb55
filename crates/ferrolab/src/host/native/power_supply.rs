//! `simulated.power_supply`: a programmable bench supply, 0 to 30 V.

use std::sync::Arc;

use remote::{Dict, Exception, MethodCall, Object, Signature, Value};

use super::bench::{Bench, Benches, Wiring};
use super::members::{Members, Native, Property, number, plain};

/// Volts that the supply can be set to at most.
const MAX_VOLTS: f64 = 30.0;
/// Amperes that it can be limited to at most.
const MAX_AMPERES: f64 = 3.0;

/// The supply; its state is the bench's.
struct PowerSupply {
    bench: Arc<Bench>,
}

pub(super) fn build(parameters: &Dict, benches: &mut Benches) -> Result<Arc<dyn Object>, String> {
    let state = PowerSupply { bench: benches.of(parameters)? };
    Ok(Arc::new(Native { state, members: MEMBERS }))
}

const MEMBERS: Members<PowerSupply> = Members {
    methods: &[("identify", identify), ("on", on), ("off", off), ("reset", reset)],
    properties: &[
        Property {
            name: "voltage",
            get: |supply| supply.bench.wiring().voltage.into(),
            set: Some(set_voltage),
        },
        Property {
            name: "current_limit",
            get: |supply| supply.bench.wiring().current_limit.into(),
            set: Some(set_current_limit),
        },
        Property {
            name: "output",
            get: |supply| supply.bench.wiring().output.into(),
            set: Some(set_output),
        },
    ],
};

fn identify(_: &PowerSupply, call: MethodCall) -> Result<Value, Exception> {
    plain(Signature::none("PowerSupply.identify"), call, || {
        Value::from("Ferrolab,Simulated power supply,0,1.0")
    })
}

fn on(supply: &PowerSupply, call: MethodCall) -> Result<Value, Exception> {
    plain(Signature::none("PowerSupply.on"), call, || {
        supply.bench.wiring().output = true;
        Value::None
    })
}

fn off(supply: &PowerSupply, call: MethodCall) -> Result<Value, Exception> {
    plain(Signature::none("PowerSupply.off"), call, || {
        supply.bench.wiring().output = false;
        Value::None
    })
}

fn reset(supply: &PowerSupply, call: MethodCall) -> Result<Value, Exception> {
    plain(Signature::none("PowerSupply.reset"), call, || {
        *supply.bench.wiring() = Wiring::default();
        Value::None
    })
}

fn set_voltage(supply: &PowerSupply, value: Value) -> Result<(), Exception> {
    supply.bench.wiring().voltage = within(&value, "voltage", "volts", MAX_VOLTS)?;
    Ok(())
}

fn set_current_limit(supply: &PowerSupply, value: Value) -> Result<(), Exception> {
    supply.bench.wiring().current_limit = within(&value, "current_limit", "amperes", MAX_AMPERES)?;
    Ok(())
}

fn set_output(supply: &PowerSupply, value: Value) -> Result<(), Exception> {
    let Some(output) = value.as_bool() else {
        return Err(Exception::type_error(format!(
            "output must be True or False, not {}",
            value.type_name()
        )));
    };
    supply.bench.wiring().output = output;
    Ok(())
}

fn within(value: &Value, what: &str, unit: &str, most: f64) -> Result<f64, Exception> {
    let number = number(value, what, unit)?;
    if (0.0..=most).contains(&number) {
        return Ok(number);
    }
    Err(Exception::value_error(format!("{what} must be 0 to {most} {unit}, not {number}")))
}
