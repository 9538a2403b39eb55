//! The host's log in the stream: new lines, as they are written.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;
use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

use super::live::LiveLab;
use crate::log::query::Tail;

/// Time between two looks.
const READ_INTERVAL: Duration = Duration::from_millis(500);
/// Lines of one event; of more, the last are sent.
const MAX_LINES: usize = 100;

/// Follows the log for ever. Lines from before the start of this process are not sent.
pub(super) async fn follow_log(lab: Arc<LiveLab>, file: PathBuf) {
    let mut tail = Some(Tail::new(file));
    let mut look = interval(READ_INTERVAL);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_first = true;
    loop {
        look.tick().await;
        let Some(own) = tail.take() else { return };
        let Ok((own, lines)) = tokio::task::spawn_blocking(move || read(own)).await else {
            return;
        };
        tail = Some(own);
        if !lines.is_empty() && !is_first && lab.ring.has_readers() {
            lab.ring.push("log", Json::Array(lines.into()).to_string());
        }
        is_first = false;
    }
}

fn read(mut tail: Tail) -> (Tail, VecDeque<Json>) {
    let mut lines = VecDeque::new();
    let read = tail.read(|line| {
        if lines.len() == MAX_LINES {
            lines.pop_front();
        }
        lines.push_back(line.with_unix_time());
    });
    if let Err(error) = read {
        debug!(%error, "the log cannot be followed");
    }
    (tail, lines)
}
