//! Histories of several writers as one, by time.

use std::collections::VecDeque;

use jiff::Timestamp;

/// Merges histories. Each keeps its order, whatever its clock did.
pub(crate) fn merge_by_time<L>(
    mut histories: Vec<VecDeque<L>>,
    time: impl Fn(&L) -> Timestamp,
) -> Vec<L> {
    let mut lines = Vec::with_capacity(histories.iter().map(VecDeque::len).sum());
    loop {
        let heads = histories.iter_mut().filter(|history| !history.is_empty());
        let next = heads.min_by_key(|history| history.front().map(&time));
        let Some(line) = next.and_then(VecDeque::pop_front) else { return lines };
        lines.push(line);
    }
}
