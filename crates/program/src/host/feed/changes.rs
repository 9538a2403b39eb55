//! Events that follow from what a daemon reports and logs: locks, calls and the state of services.

use jiff::Timestamp;
use remote::CallRecord;

use super::event::{CallEvent, EventBody, LockEvent, unix_seconds};
use super::ring::Feed;
use crate::host::child_report::{CallRow, ChildReport, LockRow};
use crate::log::call_log;

/// Publishes the end of a call, as the call log has it.
pub(crate) fn publish_call(feed: &Feed, record: &CallRecord) {
    feed.publish(&record.object, || {
        let error = record.exception.as_ref().map(|exception| match exception.message.as_str() {
            "" => exception.class.clone(),
            message => format!("{}: {message}", exception.class),
        });
        EventBody::Call(CallEvent {
            state: "ended".to_owned(),
            member: record.member.clone(),
            action: call_log::kind_word(record).to_owned(),
            caller: record.peer.to_string(),
            user: record.user.clone(),
            since: unix_seconds(record.since),
            seconds: record.duration.as_secs_f64(),
            error,
        })
    });
}

/// Publishes the differences between two reports.
pub(crate) fn publish_changes(feed: &Feed, before: &ChildReport, now: &ChildReport) {
    if !feed.is_read() {
        return;
    }
    for (name, service) in &now.services {
        let last = before.services.get(name);
        let was = last.map(|last| (&last.status, &last.error));
        if was != Some((&service.status, &service.error)) {
            feed.publish(name, || EventBody::Status {
                state: service.status.clone(),
                error: service.error.clone(),
            });
        }
        if let Some(lock) = &service.lock {
            let lock = lock_event(lock);
            let last = last.and_then(|last| last.lock.as_ref()).map(lock_event);
            if last.as_ref() != Some(&lock) {
                feed.publish(name, || EventBody::Lock(lock));
            }
        }
    }
    let is_known = |call: &CallRow| {
        let is_same = |last: &CallRow| last.is_slow && last.since == call.since;
        before.calls.iter().any(|last| is_same(last) && last.caller == call.caller)
    };
    for call in now.calls.iter().filter(|call| call.is_slow && !is_known(call)) {
        let wall = Timestamp::now();
        let seconds = call.seconds_at(wall);
        feed.publish(&call.service, || {
            EventBody::Call(CallEvent {
                state: "slow".to_owned(),
                member: call.member.clone(),
                action: call.kind.clone(),
                caller: call.caller.clone(),
                user: call.user.clone(),
                since: wall.as_millisecond() as f64 / 1e3 - seconds,
                seconds,
                error: None,
            })
        });
    }
}

fn lock_event(lock: &LockRow) -> LockEvent {
    let owner = lock.owner.as_ref();
    LockEvent {
        state: lock.state.clone(),
        owner: owner.map(|owner| owner.name().to_owned()),
        address: owner.map(|owner| owner.address.clone()),
        epoch: owner.map(|owner| owner.epoch),
        waiting: lock.waiting.len(),
    }
}
