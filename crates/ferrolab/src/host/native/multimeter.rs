//! `simulated.multimeter`: measures the bench that a simulated supply feeds, with noise.

use std::sync::{Arc, Mutex, PoisonError};

use remote::{Dict, Exception, MethodCall, Object, Signature, Value};

use super::bench::{Bench, Benches};
use super::members::{Members, Native, Property, number, plain};

/// Volts of noise, root mean square, where nothing else is set.
const NOISE: f64 = 0.001;
/// Samples that one call returns at most.
const MAX_SAMPLES: i64 = 1_000_000;

/// The meter.
struct Multimeter {
    bench: Arc<Bench>,
    noise: Mutex<Noise>,
}

/// Reproducible noise: parameters may set its seed.
struct Noise {
    /// Root mean square, in volts.
    rms: f64,
    state: u64,
}

pub(super) fn build(parameters: &Dict, benches: &mut Benches) -> Result<Arc<dyn Object>, String> {
    let noise = match parameters.get("noise") {
        None => NOISE,
        Some(noise) => noise
            .as_f64()
            .filter(|noise| *noise >= 0.0)
            .ok_or_else(|| format!("parameter `noise` must be volts, 0 or more, not {noise}"))?,
    };
    let seed = match parameters.get("seed") {
        None => 1,
        Some(seed) => seed
            .as_i64()
            .and_then(|seed| u64::try_from(seed).ok())
            .ok_or_else(|| format!("parameter `seed` must be a whole number, not {seed}"))?,
    };
    let state = Multimeter {
        bench: benches.of(parameters)?,
        noise: Mutex::new(Noise { rms: noise, state: seed }),
    };
    Ok(Arc::new(Native { state, members: MEMBERS }))
}

const MEMBERS: Members<Multimeter> = Members {
    methods: &[
        ("identify", identify),
        ("measure_voltage", measure_voltage),
        ("measure_current", measure_current),
        ("sample", sample),
    ],
    properties: &[Property {
        name: "noise",
        get: |meter| meter.noise().rms.into(),
        set: Some(set_noise),
    }],
};

impl Multimeter {
    fn noise(&self) -> std::sync::MutexGuard<'_, Noise> {
        self.noise.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn identify(_: &Multimeter, call: MethodCall) -> Result<Value, Exception> {
    plain(Signature::none("Multimeter.identify"), call, || {
        Value::from("Ferrolab,Simulated multimeter,0,1.0")
    })
}

fn measure_voltage(meter: &Multimeter, call: MethodCall) -> Result<Value, Exception> {
    plain(Signature::none("Multimeter.measure_voltage"), call, || {
        (meter.bench.wiring().volts() + meter.noise().next()).into()
    })
}

fn measure_current(meter: &Multimeter, call: MethodCall) -> Result<Value, Exception> {
    plain(Signature::none("Multimeter.measure_current"), call, || {
        let wiring = *meter.bench.wiring();
        (wiring.amperes() + meter.noise().next() / wiring.load).into()
    })
}

fn sample(meter: &Multimeter, call: MethodCall) -> Result<Value, Exception> {
    const SAMPLE: Signature =
        Signature { name: "Multimeter.sample", parameters: &["count"], required: 1 };
    let [count] = SAMPLE.bind(call)?;
    let count = count.as_ref().and_then(Value::as_i64).ok_or_else(|| {
        Exception::type_error("Multimeter.sample() takes a whole number of samples")
    })?;
    if !(0..=MAX_SAMPLES).contains(&count) {
        return Err(Exception::value_error(format!(
            "count must be 0 to {MAX_SAMPLES}, not {count}"
        )));
    }
    let volts = meter.bench.wiring().volts();
    let mut noise = meter.noise();
    Ok(Value::List((0..count).map(|_| Value::Float(volts + noise.next())).collect()))
}

fn set_noise(meter: &Multimeter, value: Value) -> Result<(), Exception> {
    let rms = number(&value, "noise", "volts")?;
    if rms < 0.0 {
        return Err(Exception::value_error(format!("noise must be 0 volts or more, not {rms}")));
    }
    meter.noise().rms = rms;
    Ok(())
}

impl Noise {
    /// The next deviation, in volts: a sum of uniform numbers, close to a normal distribution.
    fn next(&mut self) -> f64 {
        let sum: f64 = (0..12).map(|_| self.uniform()).sum();
        (sum - 6.0) * self.rms
    }

    /// A number from 0 to 1, by the SplitMix64 generator.
    fn uniform(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        // The upper 53 bits: as many as a double holds.
        (bits >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_has_the_size_that_is_set() {
        let mut noise = Noise { rms: 0.5, state: 7 };
        let values: Vec<f64> = (0..10_000).map(|_| noise.next()).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let rms = (values.iter().map(|value| value * value).sum::<f64>() / 1e4).sqrt();
        assert!(mean.abs() < 0.02, "mean {mean}");
        assert!((rms - 0.5).abs() < 0.02, "rms {rms}");
    }
}
