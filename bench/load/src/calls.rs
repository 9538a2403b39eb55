//! Calls over any number of connections: each behind the answer before, or at a rate.
//!
//! One thread. A single connection blocks in its read, as a client's does; several are waited for
//! together. At a rate, a call's time counts from when it was due, not from when it was sent: a
//! server that stalls is told by every call that had to wait.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use serde_json::Value as Json;
use wire::message::Flags;

use crate::answers::Answers;
use crate::job::{Calls, Oneway, Target};
use crate::latency::Latencies;
use crate::requests;

/// Read at once.
const ROOM: usize = 256 * 1024;
/// Without an answer for so long, a measurement has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Makes calls for a time.
pub(crate) fn run(job: &Calls) -> Result<Json, String> {
    let request = job.target.request(Flags::default())?;
    let mut lines = (0..job.connections.max(1))
        .map(|_| Line::open(&job.target))
        .collect::<Result<Vec<_>, String>>()?;
    let span = Span::new(job);
    match (lines.as_mut_slice(), job.rate) {
        ([line], None) => alone(line, &request, job.pipeline.max(1), span),
        (lines, None) => closed(lines, &request, job.pipeline.max(1), span),
        (lines, Some(rate)) => open(lines, &request, rate, span),
    }
}

/// Makes oneway calls in bursts; the time of each ends when the server says that all are done.
pub(crate) fn oneway(job: &Oneway) -> Result<Json, String> {
    let counter = Target { method: job.counter.clone(), ..job.target.clone() };
    let mut done = count(&counter)?;
    let request = job.target.request(Flags::ONEWAY)?.repeat(job.burst);
    let ask = counter.request(Flags::default())?;
    let mut line = Line::open(&job.target)?;
    let mut buffer = vec![0; ROOM];
    let mut elapsed = Duration::ZERO;
    for _ in 0..job.bursts {
        done = done.saturating_add(i64::try_from(job.burst).unwrap_or(i64::MAX));
        let started = Instant::now();
        line.send(&request)?;
        // An answer on the same connection: everything before it has been read.
        line.begin(&ask, started)?;
        while !line.pending.is_empty() {
            line.receive(&mut buffer, |_| {})?;
        }
        while count(&counter)? < done {
            if started.elapsed() > PATIENCE {
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

fn count(counter: &Target) -> Result<i64, String> {
    let (header, body) = requests::call(counter)?;
    let value = requests::result(counter, &header, &body)?;
    value.as_i64().ok_or_else(|| format!("a counter that returns {value}"))
}

/// When a measurement begins and ends.
#[derive(Clone, Copy, Debug)]
struct Span {
    /// What is answered before is warming up.
    begin: Instant,
    end: Instant,
}

impl Span {
    fn new(job: &Calls) -> Self {
        let begin = Instant::now() + Duration::from_secs_f64(job.warmup);
        Span { begin, end: begin + Duration::from_secs_f64(job.seconds) }
    }
}

/// Takes the times of calls within a span; says when it is over.
struct Stopwatch {
    span: Span,
    warm: bool,
    latencies: Latencies,
}

impl Stopwatch {
    fn new(span: Span) -> Self {
        Stopwatch { span, warm: false, latencies: Latencies::default() }
    }

    fn answered(&mut self, began: Instant, now: Instant) {
        if !self.warm && now >= self.span.begin {
            self.warm = true;
            self.latencies.clear();
            self.span.begin = now;
            return;
        }
        self.latencies.add(now.saturating_duration_since(began));
    }

    fn over(&self, now: Instant) -> bool {
        now >= self.span.end
    }

    fn report(self, now: Instant) -> Json {
        self.latencies.report(now.saturating_duration_since(self.span.begin))
    }
}

/// A connection and its calls that are under way.
struct Line {
    stream: TcpStream,
    answers: Answers,
    /// When each began.
    pending: VecDeque<Instant>,
}

impl Line {
    fn open(target: &Target) -> Result<Self, String> {
        Ok(Line { stream: target.connect()?, answers: target.answers(), pending: VecDeque::new() })
    }

    fn begin(&mut self, request: &[u8], at: Instant) -> Result<(), String> {
        self.send(request)?;
        self.pending.push_back(at);
        Ok(())
    }

    fn send(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    wait(&self.stream, PollFlags::OUT, Some(PATIENCE))?;
                }
                Err(error) => return Err(format!("cannot send: {error}")),
            }
        }
        Ok(())
    }

    /// Reads once, and hands over when each call that was answered had begun.
    fn receive(
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
        let done = self.answers.take(buffer.get(..read).unwrap_or_default())?;
        for began in self.pending.drain(..done.min(self.pending.len())) {
            answered(began);
        }
        Ok(())
    }
}

/// One connection, blocking.
fn alone(line: &mut Line, request: &[u8], depth: usize, span: Span) -> Result<Json, String> {
    let mut stopwatch = Stopwatch::new(span);
    let mut buffer = vec![0; ROOM];
    let several = request.repeat(depth);
    let mut now = Instant::now();
    while !stopwatch.over(now) {
        let missing = depth - line.pending.len();
        line.send(several.get(..missing * request.len()).unwrap_or_default())?;
        line.pending.extend(std::iter::repeat_n(now, missing));
        line.receive(&mut buffer, |began| {
            now = Instant::now();
            stopwatch.answered(began, now);
        })?;
        while line.pending.len() == depth {
            line.receive(&mut buffer, |began| {
                now = Instant::now();
                stopwatch.answered(began, now);
            })?;
        }
    }
    Ok(stopwatch.report(now))
}

/// Several connections, each with so many calls under way.
fn closed(lines: &mut [Line], request: &[u8], depth: usize, span: Span) -> Result<Json, String> {
    let mut stopwatch = Stopwatch::new(span);
    let mut buffer = vec![0; ROOM];
    let waker = watch(lines)?;
    let several = request.repeat(depth);
    for line in &mut *lines {
        line.send(&several)?;
        line.pending.extend(std::iter::repeat_n(Instant::now(), depth));
    }
    let mut events = Vec::with_capacity(256);
    loop {
        ready(&waker, &mut events, PATIENCE)?;
        for event in events.drain(..) {
            let Some(line) = line_of(lines, event) else { continue };
            let now = Instant::now();
            let mut answered = 0;
            line.receive(&mut buffer, |began| {
                stopwatch.answered(began, now);
                answered += 1;
            })?;
            if stopwatch.over(now) {
                return Ok(stopwatch.report(now));
            }
            if answered > 0 {
                line.send(several.get(..answered * request.len()).unwrap_or_default())?;
                line.pending.extend(std::iter::repeat_n(Instant::now(), answered));
            }
        }
    }
}

/// Calls at a rate, over the connections in turn.
fn open(lines: &mut [Line], request: &[u8], rate: f64, span: Span) -> Result<Json, String> {
    let mut stopwatch = Stopwatch::new(span);
    let mut buffer = vec![0; ROOM];
    let waker = watch(lines)?;
    let interval = Duration::from_secs_f64(1.0 / rate);
    let mut due = Instant::now();
    let mut next = 0;
    let mut events = Vec::with_capacity(256);
    // The kernel may wake a thread later than it asked to be; not this one.
    let precise = std::num::NonZeroU64::new(1);
    let _ = rustix::thread::set_current_timer_slack(precise);
    loop {
        let mut now = Instant::now();
        while due <= now {
            let lines_there = lines.len();
            let Some(line) = lines.get_mut(next % lines_there) else { break };
            line.begin(request, due)?;
            next += 1;
            due += interval;
            now = Instant::now();
        }
        if stopwatch.over(now) {
            return Ok(stopwatch.report(now));
        }
        wait(&waker, PollFlags::IN, Some(due.saturating_duration_since(now)))?;
        ready(&waker, &mut events, Duration::ZERO)?;
        for event in events.drain(..) {
            let Some(line) = line_of(lines, event) else { continue };
            line.receive(&mut buffer, |began| stopwatch.answered(began, Instant::now()))?;
        }
    }
}

/// Has the kernel watch all connections; none of them blocks from then on.
fn watch(lines: &[Line]) -> Result<OwnedFd, String> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot watch connections: {error}");
    let waker = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|error| failed(&error))?;
    for (number, line) in lines.iter().enumerate() {
        line.stream.set_nonblocking(true).map_err(|error| failed(&error))?;
        let data = epoll::EventData::new_u64(number as u64);
        epoll::add(&waker, &line.stream, data, epoll::EventFlags::IN)
            .map_err(|error| failed(&error))?;
    }
    Ok(waker)
}

/// Waits for connections that have something.
fn ready(
    waker: &OwnedFd,
    events: &mut Vec<epoll::Event>,
    patience: Duration,
) -> Result<(), String> {
    let timeout = timespec(patience);
    epoll::wait(waker, rustix::buffer::spare_capacity(events), Some(&timeout))
        .map_err(|error| format!("cannot wait: {error}"))?;
    if events.is_empty() && !patience.is_zero() {
        return Err(format!("no answer for {} seconds", patience.as_secs()));
    }
    Ok(())
}

fn line_of(lines: &mut [Line], event: epoll::Event) -> Option<&mut Line> {
    let number = event.data.u64();
    lines.get_mut(usize::try_from(number).ok()?)
}

fn wait(
    on: &impl std::os::fd::AsFd,
    flags: PollFlags,
    patience: Option<Duration>,
) -> Result<(), String> {
    let timeout = patience.map(timespec);
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
