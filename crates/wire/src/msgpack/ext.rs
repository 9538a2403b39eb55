//! Pyro5's extension types.

pub(super) const EXT_COMPLEX: u8 = 0x30;
pub(super) const EXT_LONG: u8 = 0x31;
pub(super) const EXT_DATETIME: u8 = 0x32;
pub(super) const EXT_DATE: u8 = 0x33;

/// Classes of the dicts that stand for dates, and the keys of their values.
pub(super) const DATETIME: (&str, &str) = ("datetime.datetime", "timestamp");
pub(super) const DATE: (&str, &str) = ("datetime.date", "ordinal");
