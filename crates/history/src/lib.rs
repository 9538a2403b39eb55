//! History of live values: series of samples on the disk of a lab host.
//!
//! Owns how samples are kept ([`Store`]): a journal for the newest, compressed chunks in an SQLite
//! file for the rest, and what happens where the disk is full, a file is damaged or the clock
//! jumps. Must not know connections, daemons, configuration files and command lines; the time comes
//! from the caller.

mod buckets;
mod bytes;
mod chunk;
mod disk;
mod journal;
mod maintenance;
mod newer;
mod query;
mod recovery;
mod retention;
mod sample;
mod store;
mod unsealed;
mod writer;

pub use buckets::CurvePoint;
pub use newer::Newer;
pub use query::{MAX_POINTS, Page, Range};
pub use retention::{Rules, SeriesRetention};
pub use sample::{Moment, Quality, Reading, Sample, SeriesKey};
pub use store::{SeriesRow, StoreError};
pub use writer::{AppendError, Batch, Note, Settings, Store};
