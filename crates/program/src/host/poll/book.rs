//! The series of the members of one object, shared by its poller and by the calls of clients.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lab_config::Member;

use super::series::{MemberSeries, Moment};
use crate::host::feed::Feed;

/// Objects some of whose members cannot be read as they should be, with the reasons; by service and
/// object.
pub(super) type PollTroubles = BTreeMap<(String, String), String>;

/// The series by the names of their members; clones are the same book.
#[derive(Clone, Default)]
pub(super) struct Book {
    series: Arc<Mutex<BTreeMap<String, MemberSeries>>>,
    /// Series of members that the configuration no longer has. Where it has them again, their
    /// samples go on being numbered: readers skip numbers that they have seen.
    retired: Arc<Mutex<BTreeMap<String, MemberSeries>>>,
}

impl Book {
    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<String, MemberSeries>> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up the members of another configuration, with the names that they have in the object.
    pub(super) fn change(
        &self,
        service: &str,
        members: &[(String, Member)],
        now: Moment,
        feed: &Feed,
    ) {
        let (mut book, mut retired) =
            (self.lock(), self.retired.lock().unwrap_or_else(PoisonError::into_inner));
        let is_gone = |name: &&String| members.iter().all(|(own, _)| own != *name);
        let gone: Vec<String> = book.keys().filter(is_gone).cloned().collect();
        for name in gone {
            if let Some(mut series) = book.remove(&name) {
                series.retire(now, feed);
                retired.insert(name, series);
            }
        }
        for (name, member) in members {
            if let Some(series) = retired.remove(name) {
                book.insert(name.clone(), series);
            }
            match book.get_mut(name) {
                Some(series) => series.change(member, now, feed),
                None => {
                    let series = MemberSeries::new(&service.into(), member, now, feed);
                    book.insert(name.clone(), series);
                }
            }
        }
    }
}
