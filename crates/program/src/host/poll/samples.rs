//! One series: which of its readings make samples.
//!
//! A reading makes a sample where its number has left the deadband, its quality is another one, or
//! the last sample is a minute old: a flat line differs from a dead one. Samples are numbered, so
//! that no jump of the wall clock reorders them. Knows no clock.

use std::sync::Arc;
use std::time::Duration;

use lab_config::Deadband;
use remote::Value;
use tokio::time::Instant;

use super::reading::PartReading;
use crate::host::feed::event::Quality;

/// The longest time between two samples of a series that is read.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(60);

/// One series.
pub(super) struct Series {
    pub(super) name: Arc<str>,
    pub(super) seq: u64,
    kind: Option<Kind>,
    /// The last sample.
    pub(super) value: Option<Value>,
    pub(super) quality: Quality,
    pub(super) error: Option<String>,
    pub(super) sampled: Instant,
}

/// The kind of a series' values: it stays, so that a line of numbers has no texts in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Number,
    Bool,
    Text,
}

impl Series {
    pub(super) fn new(name: Arc<str>, now: Instant) -> Self {
        let quality = Quality::NoData;
        let error = Some("it has not been read yet".to_owned());
        Series { name, seq: 0, kind: None, value: None, quality, error, sampled: now }
    }

    /// Takes a reading; whether it is a sample.
    pub(super) fn update(
        &mut self,
        reading: PartReading,
        is_stale: bool,
        deadband: Option<Deadband>,
        now: Instant,
        margin: Duration,
    ) -> bool {
        let (value, quality, error) = match reading {
            Ok(value) => match self.accept(&value) {
                Ok(()) if is_stale => (Some(value), Quality::Stale, None),
                Ok(()) => (Some(value), Quality::Good, None),
                Err(text) => (None, Quality::Error, Some(text)),
            },
            Err((quality, text)) => (None, quality, Some(text)),
        };
        // The next reading would come too late.
        let is_due = now.saturating_duration_since(self.sampled) + margin >= HEARTBEAT;
        let has_changed = match (&value, &self.value) {
            (Some(value), Some(last)) => deadband.is_none_or(|it| has_left(it, last, value)),
            (None, None) => error != self.error,
            _ => true,
        };
        let is_sample = self.seq == 0 || quality != self.quality || is_due || has_changed;
        if is_sample {
            self.seq += 1;
            (self.value, self.quality, self.error, self.sampled) = (value, quality, error, now);
        }
        is_sample
    }

    fn accept(&mut self, value: &Value) -> Result<(), String> {
        let kind = match value {
            Value::Bool(_) => Kind::Bool,
            Value::Str(_) => Kind::Text,
            _ => Kind::Number,
        };
        let known = *self.kind.get_or_insert(kind);
        if kind == known {
            return Ok(());
        }
        let word = |kind| match kind {
            Kind::Number => "a number",
            Kind::Bool => "a boolean",
            Kind::Text => "a text",
        };
        Err(format!("it returned {}, and {} before", word(kind), word(known)))
    }
}

/// Whether a value is a new sample after `last`.
fn has_left(deadband: Deadband, last: &Value, value: &Value) -> bool {
    let number = |value: &Value| match value {
        Value::Bool(_) => None,
        value => value.as_f64(),
    };
    let (Some(before), Some(now)) = (number(last), number(value)) else { return last != value };
    let width = match deadband {
        Deadband::Absolute(width) => width,
        Deadband::Percent(percent) => before.abs() * percent / 100.0,
    };
    (now - before).abs() > width
}
