//! Measurement of calls over any number of connections, in a closed or an open loop, on one thread.
//!
//! In a closed loop each call follows the answer before it. A single connection blocks in its read,
//! as a client's does; several are watched with epoll. In an open loop the calls have a rate, and
//! the latency of a call counts from when it was due, not from when it was sent. So a server that
//! stalls shows in the latency of every call that had to wait.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use serde_json::Value as Json;
use wire::message::Flags;

use crate::answers::AnswerCounter;
use crate::job::{CallTarget, Calls, Oneway};
use crate::latency::Latencies;
use crate::requests;
use crate::stream::LoadStream;

/// Size of the read buffer in bytes.
const READ_BUFFER_BYTES: usize = 256 * 1024;
/// Time without an answer after which a measurement has failed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Makes calls for the job's time.
pub(crate) fn measure_calls(job: &Calls) -> Result<Json, String> {
    let request = job.target.encode_request(Flags::default())?;
    let mut connections = (0..job.connections.max(1))
        .map(|_| LoadConnection::open(&job.target))
        .collect::<Result<Vec<_>, String>>()?;
    let period = MeasuredPeriod::new(job);
    match (connections.as_mut_slice(), job.rate) {
        ([connection], None) => {
            run_one_connection(connection, &request, job.pipeline.max(1), period)
        }
        (connections, None) => run_closed_loop(connections, &request, job.pipeline.max(1), period),
        (connections, Some(rate)) => run_open_loop(connections, &request, rate, period),
    }
}

/// Makes oneway calls in bursts. A burst ends when the server's counter has counted all of it.
pub(crate) fn measure_oneway(job: &Oneway) -> Result<Json, String> {
    let counter = CallTarget { method: job.counter.clone(), ..job.target.clone() };
    let mut done = fetch_count(&counter)?;
    let request = job.target.encode_request(Flags::ONEWAY)?.repeat(job.burst);
    let ask = counter.encode_request(Flags::default())?;
    let mut connection = LoadConnection::open(&job.target)?;
    let mut buffer = vec![0; READ_BUFFER_BYTES];
    let mut elapsed = Duration::ZERO;
    for _ in 0..job.bursts {
        done = done.saturating_add(i64::try_from(job.burst).unwrap_or(i64::MAX));
        let started = Instant::now();
        connection.send(&request)?;
        // An answer on the same connection means that the server has read all calls before it.
        connection.begin_call(&ask, started)?;
        while !connection.pending.is_empty() {
            connection.receive_answers(&mut buffer, |_| {})?;
        }
        while fetch_count(&counter)? < done {
            if started.elapsed() > ANSWER_TIMEOUT {
                return Err("oneway calls were lost".to_owned());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        elapsed += started.elapsed();
    }
    let calls = job.burst * job.bursts;
    Ok(serde_json::json!({
        "calls": calls,
        "seconds": elapsed.as_secs_f64(),
        "per_second": calls as f64 / elapsed.as_secs_f64(),
    }))
}

fn fetch_count(counter: &CallTarget) -> Result<i64, String> {
    let (header, answer) = requests::call_once(counter)?;
    let value = requests::decode_result(counter, &header, &answer)?;
    value.as_i64().ok_or_else(|| format!("a counter that returns {value}"))
}

/// The begin and end of a measurement.
#[derive(Clone, Copy, Debug)]
struct MeasuredPeriod {
    /// Answers before this moment belong to the warm-up.
    begin: Instant,
    end: Instant,
}

impl MeasuredPeriod {
    fn new(job: &Calls) -> Self {
        let begin = Instant::now() + Duration::from_secs_f64(job.warmup);
        MeasuredPeriod { begin, end: begin + Duration::from_secs_f64(job.seconds) }
    }
}

/// The latencies of calls within a period.
struct Measurement {
    period: MeasuredPeriod,
    warm: bool,
    latencies: Latencies,
}

impl Measurement {
    fn new(period: MeasuredPeriod) -> Self {
        Measurement { period, warm: false, latencies: Latencies::default() }
    }

    fn record_answer(&mut self, began: Instant, now: Instant) {
        if !self.warm && now >= self.period.begin {
            self.warm = true;
            self.latencies.clear();
            self.period.begin = now;
            return;
        }
        self.latencies.add(now.saturating_duration_since(began));
    }

    fn is_over(&self, now: Instant) -> bool {
        now >= self.period.end
    }

    fn report(self, now: Instant) -> Json {
        self.latencies.report(now.saturating_duration_since(self.period.begin))
    }
}

/// A connection and its calls in flight.
struct LoadConnection {
    stream: LoadStream,
    answers: AnswerCounter,
    /// The begin of each call in flight.
    pending: VecDeque<Instant>,
}

impl LoadConnection {
    fn open(target: &CallTarget) -> Result<Self, String> {
        Ok(LoadConnection {
            stream: target.connect()?,
            answers: target.answer_counter(),
            pending: VecDeque::new(),
        })
    }

    fn begin_call(&mut self, request: &[u8], at: Instant) -> Result<(), String> {
        self.send(request)?;
        self.pending.push_back(at);
        Ok(())
    }

    fn send(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    wait_for_socket(watched(&self.stream)?, PollFlags::OUT, Some(ANSWER_TIMEOUT))?;
                }
                Err(error) => return Err(format!("cannot send: {error}")),
            }
        }
        self.stream.flush().map_err(|error| format!("cannot send: {error}"))
    }

    /// Reads once, and calls `answered` with the begin of each call that was answered.
    fn receive_answers(
        &mut self,
        buffer: &mut [u8],
        mut answered: impl FnMut(Instant),
    ) -> Result<(), String> {
        let read = match self.stream.read(buffer) {
            Ok(0) => return Err("the server closed a connection".to_owned()),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(format!("no answer: {error}")),
        };
        let done = self.answers.count_answers(buffer.get(..read).unwrap_or_default())?;
        for began in self.pending.drain(..done.min(self.pending.len())) {
            answered(began);
        }
        Ok(())
    }
}

/// Closed loop on one blocking connection, with `depth` calls in flight.
fn run_one_connection(
    connection: &mut LoadConnection,
    request: &[u8],
    depth: usize,
    period: MeasuredPeriod,
) -> Result<Json, String> {
    let mut measurement = Measurement::new(period);
    let mut buffer = vec![0; READ_BUFFER_BYTES];
    let several = request.repeat(depth);
    let mut now = Instant::now();
    while !measurement.is_over(now) {
        let missing = depth - connection.pending.len();
        connection.send(several.get(..missing * request.len()).unwrap_or_default())?;
        connection.pending.extend(std::iter::repeat_n(now, missing));
        connection.receive_answers(&mut buffer, |began| {
            now = Instant::now();
            measurement.record_answer(began, now);
        })?;
        while connection.pending.len() == depth {
            connection.receive_answers(&mut buffer, |began| {
                now = Instant::now();
                measurement.record_answer(began, now);
            })?;
        }
    }
    Ok(measurement.report(now))
}

/// Closed loop over several connections, each with `depth` calls in flight.
fn run_closed_loop(
    connections: &mut [LoadConnection],
    request: &[u8],
    depth: usize,
    period: MeasuredPeriod,
) -> Result<Json, String> {
    let mut measurement = Measurement::new(period);
    let mut buffer = vec![0; READ_BUFFER_BYTES];
    let epoll_fd = watch_connections(connections)?;
    let several = request.repeat(depth);
    for connection in &mut *connections {
        connection.send(&several)?;
        connection.pending.extend(std::iter::repeat_n(Instant::now(), depth));
    }
    let mut events = Vec::with_capacity(256);
    loop {
        wait_for_events(&epoll_fd, &mut events, ANSWER_TIMEOUT)?;
        for event in events.drain(..) {
            let Some(connection) = find_connection(connections, event) else { continue };
            let now = Instant::now();
            let mut answered = 0;
            connection.receive_answers(&mut buffer, |began| {
                measurement.record_answer(began, now);
                answered += 1;
            })?;
            if measurement.is_over(now) {
                return Ok(measurement.report(now));
            }
            if answered > 0 {
                connection.send(several.get(..answered * request.len()).unwrap_or_default())?;
                connection.pending.extend(std::iter::repeat_n(Instant::now(), answered));
            }
        }
    }
}

/// Open loop: calls at a rate, over the connections in turn.
fn run_open_loop(
    connections: &mut [LoadConnection],
    request: &[u8],
    rate: f64,
    period: MeasuredPeriod,
) -> Result<Json, String> {
    let mut measurement = Measurement::new(period);
    let mut buffer = vec![0; READ_BUFFER_BYTES];
    let epoll_fd = watch_connections(connections)?;
    let interval = Duration::from_secs_f64(1.0 / rate);
    let mut due = Instant::now();
    let mut next = 0;
    let mut events = Vec::with_capacity(256);
    // By default the kernel may wake a thread up to 50 us late.
    let precise = std::num::NonZeroU64::new(1);
    let _ = rustix::thread::set_current_timer_slack(precise);
    loop {
        let mut now = Instant::now();
        while due <= now {
            let count = connections.len();
            let Some(connection) = connections.get_mut(next % count) else { break };
            connection.begin_call(request, due)?;
            next += 1;
            due += interval;
            now = Instant::now();
        }
        if measurement.is_over(now) {
            return Ok(measurement.report(now));
        }
        wait_for_socket(&epoll_fd, PollFlags::IN, Some(due.saturating_duration_since(now)))?;
        wait_for_events(&epoll_fd, &mut events, Duration::ZERO)?;
        for event in events.drain(..) {
            let Some(connection) = find_connection(connections, event) else { continue };
            connection.receive_answers(&mut buffer, |began| {
                measurement.record_answer(began, Instant::now())
            })?;
        }
    }
}

/// Makes the connections non-blocking and adds them to an epoll instance.
fn watch_connections(connections: &[LoadConnection]) -> Result<OwnedFd, String> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot watch connections: {error}");
    let epoll_fd = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|error| failed(&error))?;
    for (number, connection) in connections.iter().enumerate() {
        let socket = watched(&connection.stream)?;
        socket.set_nonblocking(true).map_err(|error| failed(&error))?;
        let data = epoll::EventData::new_u64(number as u64);
        epoll::add(&epoll_fd, socket, data, epoll::EventFlags::IN)
            .map_err(|error| failed(&error))?;
    }
    Ok(epoll_fd)
}

/// The socket of a connection that is watched.
fn watched(stream: &LoadStream) -> Result<&TcpStream, String> {
    stream.plain_socket().ok_or_else(|| "with TLS only one connection is measured".to_owned())
}

/// Waits until connections have data to read.
fn wait_for_events(
    epoll_fd: &OwnedFd,
    events: &mut Vec<epoll::Event>,
    timeout: Duration,
) -> Result<(), String> {
    let timespec = timespec(timeout);
    epoll::wait(epoll_fd, rustix::buffer::spare_capacity(events), Some(&timespec))
        .map_err(|error| format!("cannot wait: {error}"))?;
    if events.is_empty() && !timeout.is_zero() {
        return Err(format!("no answer for {} seconds", timeout.as_secs()));
    }
    Ok(())
}

fn find_connection(
    connections: &mut [LoadConnection],
    event: epoll::Event,
) -> Option<&mut LoadConnection> {
    let number = event.data.u64();
    connections.get_mut(usize::try_from(number).ok()?)
}

fn wait_for_socket(
    on: &impl std::os::fd::AsFd,
    flags: PollFlags,
    timeout: Option<Duration>,
) -> Result<(), String> {
    let timeout = timeout.map(timespec);
    poll(&mut [PollFd::new(on, flags)], timeout.as_ref())
        .map(|_| ())
        .map_err(|error| format!("cannot wait: {error}"))
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}
