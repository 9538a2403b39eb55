//! `simulated.loopback`: gives back what it is given, and data of any size.
//!
//! Owns an instrument without a measurement: what a call of it takes is what lies between a client
//! and any service. `cargo xtask bench` measures with it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use remote::{Array, Dict, Exception, Expose, Object, Value};

use crate::bench::Benches;

/// Items and bytes that one call returns at most.
const MAX_ITEMS: i64 = 1_000_000;
const MAX_BYTES: i64 = 32 << 20;
/// Seconds that a call can be made to take at most.
const MAX_SECONDS: f64 = 60.0;

/// The instrument.
#[derive(Debug, Default)]
pub(crate) struct Loopback {
    ticks: AtomicI64,
    /// The last result of `floats`: a benchmark measures its transport, not its making.
    floats: Mutex<Vec<f64>>,
}

pub(crate) fn build(parameters: &Dict, _: &mut Benches) -> Result<Arc<dyn Object>, String> {
    match parameters.iter().next() {
        None => Ok(Loopback::default().into_object()),
        Some((name, _)) => Err(format!("a loopback has no parameters, and so no {name}")),
    }
}

#[remote::expose]
impl Loopback {
    /// Returns its argument.
    pub fn echo(&self, value: Value) -> Value {
        value
    }

    /// Does nothing.
    pub fn nothing(&self) {}

    /// `count` numbers between 0 and 1, the same ones each time.
    pub fn floats(&self, count: i64) -> Result<Vec<f64>, Exception> {
        let count = within(count, "count", MAX_ITEMS)?;
        let mut floats = self.floats.lock().unwrap_or_else(PoisonError::into_inner);
        if usize::try_from(count) != Ok(floats.len()) {
            // Fractional parts of multiples of the golden ratio: all digits are in use.
            *floats = (0..count).map(|i| (i as f64 * 0.618_033_988_749_894_9).fract()).collect();
        }
        Ok(floats.clone())
    }

    /// The same numbers as an array.
    pub fn array(&self, count: i64) -> Result<Array, Exception> {
        let floats = self.floats(count)?;
        Array::from_values(&[floats.len()], &floats).map_err(Exception::value_error)
    }

    /// A frame of a camera: pixels of 16 bits that count up.
    pub fn frame(&self, rows: i64, columns: i64) -> Result<Array, Exception> {
        let rows = within(rows, "rows", MAX_ITEMS)?;
        let columns = within(columns, "columns", MAX_ITEMS)?;
        let count = within(rows.saturating_mul(columns), "rows * columns", MAX_BYTES)?;
        let pixels: Vec<u16> = (0..count).map(|number| number as u16).collect();
        let shape = [rows, columns].map(|length| usize::try_from(length).unwrap_or_default());
        Array::from_values(&shape, &pixels).map_err(Exception::value_error)
    }

    /// The mean of numbers.
    pub fn mean(&self, values: Vec<f64>) -> f64 {
        values.iter().sum::<f64>() / values.len() as f64
    }

    /// So many bytes.
    pub fn block(&self, size: i64) -> Result<Value, Exception> {
        let size = within(size, "size", MAX_BYTES)?;
        Ok(Value::bytes(vec![0x5a; usize::try_from(size).unwrap_or_default()]))
    }

    /// Takes so many seconds, on a thread that it blocks.
    #[blocking]
    pub fn wait(&self, seconds: f64) -> Result<(), Exception> {
        if !(0.0..=MAX_SECONDS).contains(&seconds) {
            return Err(Exception::value_error(format!(
                "seconds must be 0 to {MAX_SECONDS}, not {seconds}"
            )));
        }
        std::thread::sleep(Duration::from_secs_f64(seconds));
        Ok(())
    }

    /// Counts the call; for oneway calls, whose end nobody sees.
    #[oneway]
    pub fn tick(&self) {
        self.ticks.fetch_add(1, Ordering::Relaxed);
    }

    /// How often `tick` was called.
    pub fn ticks(&self) -> i64 {
        self.ticks.load(Ordering::Relaxed)
    }
}

fn within(number: i64, what: &str, most: i64) -> Result<i64, Exception> {
    if (0..=most).contains(&number) {
        return Ok(number);
    }
    Err(Exception::value_error(format!("{what} must be 0 to {most}, not {number}")))
}
