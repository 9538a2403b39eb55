//! Throughput of each serializer in both directions, in bytes of the encoded data per second.
//!
//! ```text
//! cargo bench -p ferrolab-wire
//! ```
//!
//! `bench/serializers.py` prints Python's figures for the same values.

#![expect(missing_docs, reason = "the macros of criterion make public functions")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wire::Limits;
use wire::serializer::{Call, CallRef, Serializer};
use wire::value::{Dict, Value};

/// Items in a long list.
const LONG: i64 = 100_000;

fn serializers(criterion: &mut Criterion) {
    let limits = Limits::default();
    for serializer in Serializer::ALL {
        let mut group = criterion.benchmark_group(serializer.name());
        group.sample_size(20).warm_up_time(Duration::from_millis(300));
        group.measurement_time(Duration::from_secs(1));
        for (name, value) in values() {
            let mut data = Vec::new();
            if serializer.encode(&value, &mut data).is_err() {
                continue;
            }
            group.throughput(Throughput::Bytes(data.len() as u64));
            let mut out = Vec::with_capacity(data.len());
            group.bench_function(format!("write {name}"), |bencher| {
                bencher.iter(|| {
                    out.clear();
                    serializer.encode(black_box(&value), &mut out).is_ok()
                });
            });
            group.bench_function(format!("read {name}"), |bencher| {
                bencher.iter(|| serializer.decode(black_box(&data), &limits).is_ok());
            });
        }
        let Call { object, method, args, kwargs } = call();
        let call = CallRef { object: &object, method: &method, args: &args, kwargs: &kwargs };
        let mut data = Vec::new();
        if serializer.encode_call(call, &mut data).is_err() {
            continue;
        }
        group.throughput(Throughput::Bytes(data.len() as u64));
        group.bench_function("read call", |bencher| {
            bencher.iter(|| serializer.decode_call(black_box(&data), &limits).is_ok());
        });
    }
}

/// A typical call of an instrument.
fn call() -> Call {
    Call {
        object: "lab.supply".into(),
        method: "set_output".into(),
        args: vec![3.into(), 12.5.into(), true.into()],
        kwargs: vec![("unit".into(), "V".into())],
    }
}

fn values() -> Vec<(&'static str, Value)> {
    // The fractional parts of multiples of the golden ratio have all their digits.
    let floats = (0..LONG).map(|i| ((i as f64 * 0.618_033_988_749_894_9) % 1.0).into());
    let short = (0..LONG).map(|i| (i as f64 / 64.0).into());
    let ints = (0..LONG).map(|i| (i * 37 % 65_536).into());
    let records = (0..LONG / 10).map(|i| record(i).into());
    vec![
        ("floats", Value::List(floats.collect())),
        ("short floats", Value::List(short.collect())),
        ("ints", Value::List(ints.collect())),
        ("records", Value::List(records.collect())),
        ("bytes", Value::bytes(vec![0x5a; 1 << 20])),
        ("text", "It is a truth, universally acknowledged. ".repeat(25_000).into()),
        ("record", record(3).into()),
    ]
}

fn record(i: i64) -> Dict {
    let mut record = Dict::new();
    record.insert("name", format!("sensor {i}"));
    record.insert("value", i as f64 * 0.1);
    record.insert("unit", "mbar");
    record.insert("ok", true);
    record
}

criterion_group!(benches, serializers);
criterion_main!(benches);
