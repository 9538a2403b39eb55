//! `simulated.multimeter`: a native service that reads, with noise, the voltage and the current of
//! a simulated workbench ([`crate::bench`]), which a simulated power supply feeds.

use std::sync::{Arc, Mutex, PoisonError};

use remote::{Dict, Exception, Expose, Object};

use crate::bench::{Bench, Benches, require_finite};

/// Volts of noise, root mean square, where nothing else is set.
const NOISE: f64 = 0.001;
/// Samples that one call returns at most.
const MAX_SAMPLES: i64 = 1_000_000;

/// The meter.
pub(crate) struct Multimeter {
    bench: Arc<Bench>,
    noise: Mutex<Noise>,
}

/// Reproducible noise: parameters may set its seed.
struct Noise {
    /// Root mean square, in volts.
    rms: f64,
    state: u64,
}

pub(crate) fn build(parameters: &Dict, benches: &mut Benches) -> Result<Arc<dyn Object>, String> {
    let noise = match parameters.get("noise") {
        None => NOISE,
        Some(noise) => {
            noise.as_f64().filter(|noise| noise.is_finite() && *noise >= 0.0).ok_or_else(|| {
                format!(
                    "parameter `noise` must be a finite number of volts, 0 or more, not {noise}"
                )
            })?
        }
    };
    let seed = match parameters.get("seed") {
        None => 1,
        Some(seed) => seed
            .as_i64()
            .and_then(|seed| u64::try_from(seed).ok())
            .ok_or_else(|| format!("parameter `seed` must be a whole number, not {seed}"))?,
    };
    let meter = Multimeter {
        bench: benches.of(parameters)?,
        noise: Mutex::new(Noise { rms: noise, state: seed }),
    };
    Ok(meter.into_object())
}

#[remote::expose]
impl Multimeter {
    /// Maker, model, serial number and version, as `*IDN?` gives them.
    pub fn identify(&self) -> &'static str {
        "Ferrolab,Simulated multimeter,0,1.0"
    }

    /// Volts across the bench's resistor.
    pub fn measure_voltage(&self) -> f64 {
        self.bench.wiring().volts() + self.noise_source().next()
    }

    /// Amperes through the bench's resistor.
    pub fn measure_current(&self) -> f64 {
        let wiring = *self.bench.wiring();
        wiring.amperes() + self.noise_source().next() / wiring.load
    }

    /// `count` voltages in a row.
    pub fn sample(&self, count: i64) -> Result<Vec<f64>, Exception> {
        if !(0..=MAX_SAMPLES).contains(&count) {
            return Err(Exception::value_error(format!(
                "count must be 0 to {MAX_SAMPLES}, not {count}"
            )));
        }
        let volts = self.bench.wiring().volts();
        let mut noise = self.noise_source();
        Ok((0..count).map(|_| volts + noise.next()).collect())
    }

    /// Noise of the meter in volts, root mean square.
    #[getter]
    pub fn noise(&self) -> f64 {
        self.noise_source().rms
    }

    #[setter]
    pub fn set_noise(&self, volts: f64) -> Result<(), Exception> {
        let volts = require_finite(volts, "noise", "volts")?;
        if volts < 0.0 {
            return Err(Exception::value_error(format!(
                "noise must be 0 volts or more, not {volts}"
            )));
        }
        self.noise_source().rms = volts;
        Ok(())
    }

    fn noise_source(&self) -> std::sync::MutexGuard<'_, Noise> {
        self.noise.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
    fn noise_is_a_finite_number() {
        for noise in [f64::INFINITY, f64::NAN, -1.0] {
            let parameters = Dict::from_iter([("noise", noise)]);
            let refused = build(&parameters, &mut Benches::default()).err();
            assert!(refused.is_some_and(|text| text.contains("finite number of volts")), "{noise}");
        }
    }

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
