//! Samples: the value of a member at a time, and how well it is known.

use std::sync::Arc;
use std::time::Duration;

/// Time in two clocks: the wall clock, which people read and which may jump, and one that never
/// goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Microseconds since 1970.
    pub wall: i64,
    /// Time since any fixed moment.
    pub steady: Duration,
}

/// Name of a series.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey {
    /// The service.
    pub service: Arc<str>,
    /// The member; with a dot and the name of a part where its value has parts.
    pub member: Arc<str>,
}

impl SeriesKey {
    /// The series of a member.
    pub fn new(service: &str, member: &str) -> Self {
        SeriesKey { service: service.into(), member: member.into() }
    }
}

/// How well a value is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quality {
    /// It was read.
    #[default]
    Good,
    /// It is older than it should be.
    Stale,
    /// Another client has the lock, so it was not read.
    Locked,
    /// The driver raised, or returned what is no value.
    Error,
    /// Nothing is known; also the beginning of a gap.
    NoData,
}

impl Quality {
    /// All of them, from the best to the worst.
    pub const ALL: [Quality; 5] =
        [Quality::Good, Quality::Stale, Quality::Locked, Quality::Error, Quality::NoData];

    /// Its word: `good`, `no data`.
    pub fn word(self) -> &'static str {
        match self {
            Quality::Good => "good",
            Quality::Stale => "stale",
            Quality::Locked => "locked",
            Quality::Error => "error",
            Quality::NoData => "no data",
        }
    }

    /// The quality of a word; an unknown word is an error's.
    pub fn of_word(word: &str) -> Self {
        Self::ALL.into_iter().find(|quality| quality.word() == word).unwrap_or(Quality::Error)
    }

    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    pub(crate) fn of_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|quality| quality.code() == code)
    }
}

/// Value of a member.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Reading {
    /// Not known.
    #[default]
    Nothing,
    /// A number.
    Float(f64),
    /// A whole number.
    Int(i64),
    /// True or false.
    Bool(bool),
    /// A short text.
    Text(Arc<str>),
}

impl Reading {
    /// The number for minima, maxima and means; `None` for texts and for what is not finite.
    pub fn number(&self) -> Option<f64> {
        match self {
            Reading::Float(number) => Some(*number).filter(|number| number.is_finite()),
            Reading::Int(number) => Some(*number as f64),
            Reading::Bool(flag) => Some(f64::from(u8::from(*flag))),
            Reading::Nothing | Reading::Text(_) => None,
        }
    }
}

/// One sample of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Microseconds since 1970, by the clock of the lab host.
    pub time: i64,
    /// The value.
    pub reading: Reading,
    /// How well it is known.
    pub quality: Quality,
}

impl Sample {
    /// The beginning of a gap.
    pub fn gap(time: i64) -> Self {
        Sample { time, reading: Reading::Nothing, quality: Quality::NoData }
    }
}
