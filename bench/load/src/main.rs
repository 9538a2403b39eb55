//! Load generator `load JOB`: one measurement of one server, JSON in and JSON out.
//!
//! `cargo xtask bench` runs it; `bench/*.py` has the servers, rounds and tables. It uses `wire` and
//! bare sockets, because neither our client nor Pyro5's is fast enough to measure a server.

mod answers;
mod calls;
mod connects;
mod floor;
mod job;
mod latency;
mod raw;
mod requests;
mod stream;

use std::process::ExitCode;

use serde_json::Value as Json;

use crate::job::Job;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (Some(line), None) = (words.next(), words.next()) else {
        eprintln!("usage: load JOB, where JOB is one line of JSON (bench/load/src/job.rs)");
        return ExitCode::from(2);
    };
    match run_job(&line) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("load: {problem}\n  the job was {line}");
            ExitCode::FAILURE
        }
    }
}

fn run_job(line: &str) -> Result<Json, String> {
    let job: Job = serde_json::from_str(line).map_err(|error| format!("not a job: {error}"))?;
    if let Some(core) = job.core {
        pin_to_core(core)?;
    }
    match job.mode {
        job::Mode::Calls(calls) => calls::measure_calls(&calls),
        job::Mode::Probe(target) => requests::measure_lengths(&target),
        job::Mode::Oneway(oneway) => calls::measure_oneway(&oneway),
        job::Mode::Connects(connects) => connects::measure_connects(&connects),
        job::Mode::Hold(hold) => connects::hold_connections(&hold),
        job::Mode::RawServer => raw::serve_forever(),
        job::Mode::FloorServer(target) => floor::serve_call(&target),
    }
}

/// Pins this thread, and the threads that it starts, to one core.
fn pin_to_core(core: usize) -> Result<(), String> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    rustix::thread::sched_setaffinity(None, &set)
        .map_err(|error| format!("cannot stay on core {core}: {error}"))
}
