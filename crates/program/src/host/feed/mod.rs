//! Feed of a daemon's events: samples, locks, calls, status and alarms, numbered in order.
//!
//! Other processes read it by calls of the object `ferrolab.Feed` ([`object`]), with a reader that
//! reconnects ([`reader`]); parts of this process subscribe ([`ring`]).

mod changes;
pub(crate) mod event;
mod object;
pub(crate) mod reader;
pub(crate) mod ring;
mod rings;
pub(crate) mod scrape;

pub(crate) use changes::{publish_call, publish_changes};
pub(crate) use object::FEED;
pub(super) use object::FeedObject;
pub(crate) use ring::Feed;
