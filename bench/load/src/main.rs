//! `load JOB`: one measurement of one server, as a line of JSON in and a line of JSON out.
//!
//! Owns the client's side of `cargo xtask bench`, on `wire` and bare sockets: no client of ours or of
//! Pyro5's is fast enough to measure a server with. Knows nothing of who serves, nor of rounds and
//! tables: `bench/*.py` has those.

mod answers;
mod calls;
mod connects;
mod job;
mod latency;
mod raw;
mod requests;

use std::process::ExitCode;

use serde_json::Value as Json;

use crate::job::Job;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (Some(line), None) = (words.next(), words.next()) else {
        eprintln!("usage: load JOB, where JOB is one line of JSON (bench/load/src/job.rs)");
        return ExitCode::from(2);
    };
    match carry_out(&line) {
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

fn carry_out(line: &str) -> Result<Json, String> {
    let job: Job = serde_json::from_str(line).map_err(|error| format!("not a job: {error}"))?;
    if let Some(core) = job.core {
        pin(core)?;
    }
    match job.what {
        job::What::Calls(calls) => calls::run(&calls),
        job::What::Probe(target) => requests::probe(&target),
        job::What::Oneway(oneway) => calls::oneway(&oneway),
        job::What::Connects(connects) => connects::run(&connects),
        job::What::Hold(hold) => connects::hold(&hold),
        job::What::RawServer => raw::serve(),
    }
}

/// Keeps this thread, and those that it starts, on one core.
fn pin(core: usize) -> Result<(), String> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    rustix::thread::sched_setaffinity(None, &set)
        .map_err(|error| format!("cannot stay on core {core}: {error}"))
}
