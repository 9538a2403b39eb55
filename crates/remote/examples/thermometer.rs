//! A plain struct as a Pyro5 object: `cargo run -p remote --example thermometer`.
//!
//! It prints the lines of Python that talk to it, and serves until Ctrl-C.

use std::sync::Mutex;
use std::time::Duration;

use remote::{Daemon, DaemonConfig, Expose, Listener};
use tokio_util::sync::CancellationToken;

/// A thermometer with a heater beside it.
struct Thermometer {
    celsius: Mutex<f64>,
}

#[derive(Debug, thiserror::Error, remote::IntoException)]
enum HeaterError {
    #[error("the heater goes from 15 to 90 degrees, not to {0}")]
    #[exception("ValueError")]
    OutOfRange(f64),
}

#[remote::expose]
impl Thermometer {
    /// Degrees Celsius, now.
    #[getter]
    pub fn celsius(&self) -> f64 {
        *self.lock()
    }

    /// Degrees in another unit: K or F.
    pub fn read(&self, #[default("K")] unit: &str) -> Result<f64, remote::Exception> {
        match unit {
            "K" => Ok(self.celsius() + 273.15),
            "F" => Ok(self.celsius() * 1.8 + 32.0),
            other => {
                Err(remote::Exception::value_error(format!("unit must be K or F, not {other}")))
            }
        }
    }

    /// Heats, which takes its time: other clients are served meanwhile.
    pub async fn heat(&self, target: f64) -> Result<f64, HeaterError> {
        if !(15.0..=90.0).contains(&target) {
            return Err(HeaterError::OutOfRange(target));
        }
        while self.celsius() < target {
            tokio::time::sleep(Duration::from_millis(100)).await;
            *self.lock() += 1.0;
        }
        Ok(self.celsius())
    }

    /// Readings, one for each step of a client's `for` loop.
    #[stream]
    pub fn readings(&self, count: u32) -> impl Iterator<Item = f64> + use<> {
        let start = self.celsius();
        (0..count).map(move |step| start + f64::from(step) / 10.0)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, f64> {
        self.celsius.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let daemon = Daemon::new(DaemonConfig::default());
    daemon.register("thermometer", Thermometer { celsius: Mutex::new(20.0) }.into_object())?;
    let listener = Listener::bind_tcp("localhost", 0).await?;
    let uri = daemon.uri_for("thermometer", &listener);
    println!("from Pyro5.api import Proxy\nthermometer = Proxy(\"{uri}\")");
    println!("thermometer.celsius, thermometer.read(unit=\"F\"), list(thermometer.readings(3))");
    let stop = CancellationToken::new();
    let serving = tokio::spawn(daemon.serve(listener, stop.clone()));
    tokio::signal::ctrl_c().await?;
    stop.cancel();
    serving.await?;
    Ok(())
}
