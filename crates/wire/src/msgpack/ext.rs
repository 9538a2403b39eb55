//! Codes of Pyro5's extension types. The table of their data is in [`msgpack`](super).

pub(super) const EXT_COMPLEX: u8 = 0x30;
pub(super) const EXT_LONG: u8 = 0x31;
pub(super) const EXT_DATETIME: u8 = 0x32;
pub(super) const EXT_DATE: u8 = 0x33;

/// msgpack's own type for a time.
pub(super) const EXT_TIMESTAMP: u8 = 0xff;

/// The class of the dict for a timestamp, and the keys of its values.
pub(super) const TIMESTAMP: (&str, &str, &str) = ("msgpack.Timestamp", "seconds", "nanoseconds");
/// Nanoseconds of a timestamp are below this.
pub(super) const NANOSECONDS_PER_SECOND: u32 = 1_000_000_000;
/// The class of the dict for a datetime, and the key of its value.
pub(super) const DATETIME: (&str, &str) = ("datetime.datetime", "timestamp");
/// The class of the dict for a date, and the key of its value.
pub(super) const DATE: (&str, &str) = ("datetime.date", "ordinal");
