//! Deadline of a call: the time by which its caller wants it to begin, or not at all.
//!
//! Ferrolab's clients send theirs as an annotation, where a call has a timeout. Clocks of two hosts
//! differ, so it is the time that is left. Pyro5's daemons know no such annotation. A call that
//! waits for its turn in a `multiplex` daemon is answered at its deadline: its client learns that
//! nothing has moved, before it gives up without knowing.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use wire::exception::Exception;
use wire::message::Annotations;

use crate::daemon::call::decode;

/// Annotation with the microseconds that are left, as 8 bytes, the highest first.
const ANNOTATION: [u8; 4] = *b"DLIN";

/// The deadline of a call. A request without one costs a look at its annotations.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    at: Instant,
    time: Duration,
}

impl Deadline {
    /// The deadline of a request that has been received now.
    pub(super) fn of(annotations: &[([u8; 4], &[u8])]) -> Option<Self> {
        let (_, data) = annotations.iter().find(|(id, _)| *id == ANNOTATION)?;
        let time = Duration::from_micros(u64::from_be_bytes((*data).try_into().ok()?));
        // A time that the clock cannot say never comes.
        Instant::now().checked_add(time).map(|at| Deadline { at, time })
    }

    /// The result of a wait; `None` where the deadline has passed before it came.
    pub(super) async fn limit<T>(self, wait: impl Future<Output = T>) -> Option<T> {
        let done = timeout_at(self.at, wait).await.ok()?;
        // It may have come at the same moment.
        (Instant::now() < self.at).then_some(done)
    }

    /// The answer to a call that has not begun.
    pub(super) fn exception(self, id: &str, member: &str) -> Exception {
        let text = format!(
            "'{member}' of service '{id}' has not begun: it has waited for other calls of its \
             daemon for {} s, and its time is over",
            self.time.as_secs_f64()
        );
        Exception::new("Pyro5.errors.TimeoutError", text)
    }
}

/// The annotations that are the driver's to see.
pub(super) fn without(annotations: &[([u8; 4], &[u8])]) -> Annotations {
    let mut owned = decode::owned(annotations);
    owned.retain(|(id, _)| *id != ANNOTATION);
    owned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_of_annotations() {
        let (other, own) = (*b"CORR", ANNOTATION);
        let second = 1_000_000_u64.to_be_bytes();
        let cases: &[(&[([u8; 4], &[u8])], Option<u64>)] = &[
            (&[], None),
            (&[(other, &second)], None),
            (&[(other, b"x"), (own, &second)], Some(1)),
            (&[(own, &[0; 8])], Some(0)),
            (&[(own, &[1, 2, 3])], None),
            (&[(own, &[])], None),
        ];
        for (annotations, seconds) in cases {
            let found = Deadline::of(annotations).map(|it| it.time.as_secs());
            assert_eq!(found, *seconds, "{annotations:?}");
        }
        // Half a million years.
        let far = u64::MAX.to_be_bytes();
        assert!(Deadline::of(&[(own, &far)]).is_none_or(|it| it.at > Instant::now()));
        assert_eq!(without(&[(own, b"x"), (other, b"y")]), vec![(other, b"y".to_vec())]);
    }
}
