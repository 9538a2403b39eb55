//! The lab as it is now: one copy in this process, which follows the supervisor and the feeds of
//! the daemons, and the events of its changes.
//!
//! Tabs read this copy. However many there are, the lab is asked once, and so are others beside it.

mod changes;
mod feeds;
mod follow;
mod follow_log;
mod live;
mod others;
mod ring;
mod rows;
mod series;

pub(super) use follow::follow;
pub(super) use live::LiveLab;
pub(super) use ring::RingEvent;
pub(crate) use rows::PROCESS_NAME;
pub(super) use rows::unix_seconds;
