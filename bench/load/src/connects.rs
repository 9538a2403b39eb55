//! Measurements of connections: handshakes per second, and idle connections.

use std::io::Read;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::job::{Connects, Hold};
use crate::latency::Latencies;

/// Opens and closes connections, one after the other, for the job's time.
pub(crate) fn measure_connects(job: &Connects) -> Result<Json, String> {
    let period = Duration::from_secs_f64(job.seconds);
    let mut latencies = Latencies::default();
    let started = Instant::now();
    while started.elapsed() < period {
        let began = Instant::now();
        drop(job.target.connect()?);
        latencies.add(began.elapsed());
    }
    Ok(latencies.report(started.elapsed()))
}

/// Opens connections, prints their number, and keeps them until standard input ends.
pub(crate) fn hold_connections(job: &Hold) -> Result<Json, String> {
    let held =
        (0..job.connections).map(|_| job.target.connect()).collect::<Result<Vec<_>, String>>()?;
    println!("{}", json!({ "held": held.len() }));
    let mut input = Vec::new();
    std::io::stdin().read_to_end(&mut input).map_err(|error| error.to_string())?;
    Ok(json!({ "released": held.len() }))
}
