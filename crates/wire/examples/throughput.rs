//! How fast each serializer writes and reads some typical data, in MB of encoded bytes per second.
//!
//! ```text
//! cargo run --release -p wire --example throughput
//! ```

use std::hint::black_box;
use std::time::{Duration, Instant};

use wire::Limits;
use wire::serializer::Serializer;
use wire::value::{Dict, Value};

const ROUND: Duration = Duration::from_millis(300);

fn main() {
    let limits = Limits::default();
    for (name, value) in samples() {
        for serializer in Serializer::ALL {
            let mut data = Vec::new();
            if serializer.encode(&value, &mut data).is_err() {
                continue;
            }
            let mut out = Vec::with_capacity(data.len());
            let written = megabytes_per_second(data.len(), || {
                out.clear();
                black_box(serializer.encode(black_box(&value), &mut out)).is_ok()
            });
            let read = megabytes_per_second(data.len(), || {
                black_box(serializer.decode(black_box(&data), &limits)).is_ok()
            });
            println!(
                "{name:16} {:8} {:9} bytes  write {written:6.0} MB/s  read {read:6.0} MB/s",
                serializer.name(),
                data.len()
            );
        }
    }
}

fn samples() -> Vec<(&'static str, Value)> {
    // A fixed sequence that looks random enough: all 53 bits of the floats are in use.
    let mut state = 1u64;
    let mut random = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 11
    };
    let mut unit = move || random() as f64 / (1u64 << 53) as f64;
    let floats: Vec<Value> = (0..100_000).map(|_| unit().into()).collect();
    let short: Vec<Value> = (0..100_000).map(|i| (f64::from(i) / 64.0).into()).collect();
    let ints: Vec<Value> = (0..100_000).map(|i| (i * 37 % 65_536).into()).collect();
    let records: Vec<Value> = (0..10_000)
        .map(|i| {
            let mut record = Dict::new();
            record.insert("name", format!("sensor {i}"));
            record.insert("value", f64::from(i) * 0.1);
            record.insert("unit", "mbar");
            record.insert("ok", true);
            record.into()
        })
        .collect();
    vec![
        ("random floats", floats.into()),
        ("short floats", short.into()),
        ("ints", ints.into()),
        ("records", records.into()),
        ("bytes", Value::bytes(vec![0x5a; 1 << 20])),
        ("text", "It is a truth, universally acknowledged. ".repeat(25_000).into()),
    ]
}

fn megabytes_per_second(bytes: usize, mut run: impl FnMut() -> bool) -> f64 {
    let start = Instant::now();
    let mut rounds = 0u32;
    while start.elapsed() < ROUND {
        assert!(run());
        rounds += 1;
    }
    bytes as f64 * f64::from(rounds) / start.elapsed().as_secs_f64() / 1e6
}
