//! Streams without a daemon.

use std::time::Duration;

use super::*;

use crate::object::BoxFuture;
use crate::session::Peer;

/// Counts up to a number.
struct Numbers(std::ops::RangeInclusive<i64>);

impl ItemStream for Numbers {
    fn next(&mut self) -> BoxFuture<Result<Option<Value>, Exception>> {
        let item = self.0.next().map(Value::from);
        Box::pin(async move { Ok(item) })
    }
}

fn streams(lifetime: Option<u64>, linger: u64) -> (Streams, Instant) {
    let limits = StreamLimits {
        lifetime: lifetime.map(Duration::from_secs),
        linger: Duration::from_secs(linger),
        per_connection: 2,
        in_all: 4,
    };
    (Streams::new(limits), Instant::now())
}

fn reader(id: u64) -> Arc<Session> {
    Arc::new(Session::new(id, Peer::Unix { process: None }, String::new(), Value::None))
}

async fn next(streams: &Streams, id: &str, session: u64) -> String {
    match streams.next(id, &reader(session), Context::internal()).await {
        Ok(Reply { body: ReplyBody::Value(value), .. }) => value.to_string(),
        Ok(_) => "a stream".to_owned(),
        Err(exception) => exception.to_string(),
    }
}

const ENDED: &str = "PyroError: item stream terminated";

#[tokio::test]
async fn a_stream_gives_its_items_then_stops() {
    let (streams, now) = streams(None, 0);
    let id = streams.add(1, Box::new(Numbers(1..=2)), Origin::default(), now).unwrap();
    for expected in ["1", "2", "StopIteration", ENDED] {
        assert_eq!(next(&streams, &id, 1).await, expected);
    }
}

#[tokio::test]
async fn a_stream_is_its_connections_own() {
    let (streams, now) = streams(None, 0);
    let id = streams.add(1, Box::new(Numbers(1..=9)), Origin::default(), now).unwrap();
    assert_eq!(next(&streams, &id, 2).await, ENDED);
    assert_eq!(next(&streams, &id, 1).await, "1");
    streams.end_session(1, now);
    assert_eq!(next(&streams, &id, 1).await, ENDED);
}

#[tokio::test]
async fn whoever_knows_a_stream_may_close_it() {
    let (streams, now) = streams(None, 0);
    let id = streams.add(1, Box::new(Numbers(1..=9)), Origin::default(), now).unwrap();
    streams.close(&id);
    assert_eq!(next(&streams, &id, 1).await, ENDED);
}

#[tokio::test]
async fn a_stream_lingers_for_a_client_that_comes_back() {
    let (streams, start) = streams(None, 10);
    let id = streams.add(1, Box::new(Numbers(1..=9)), Origin::default(), start).unwrap();
    streams.end_session(1, start);
    streams.expire(start + Duration::from_secs(9));
    assert_eq!(next(&streams, &id, 2).await, "1");
    streams.expire(start + Duration::from_secs(60));
    assert_eq!(next(&streams, &id, 2).await, "2", "it has an owner again");
    streams.end_session(2, start + Duration::from_secs(60));
    streams.expire(start + Duration::from_secs(71));
    assert_eq!(next(&streams, &id, 3).await, ENDED);
}

#[tokio::test]
async fn a_reader_that_has_ended_keeps_no_stream() {
    let (streams, start) = streams(None, 10);
    let id = streams.add(1, Box::new(Numbers(1..=9)), Origin::default(), start).unwrap();
    streams.end_session(1, start);
    let late = reader(2);
    late.set_ended();
    assert!(streams.next(&id, &late, Context::internal()).await.is_ok());
    streams.expire(start + Duration::from_secs(11));
    assert_eq!(next(&streams, &id, 3).await, ENDED);
}

#[tokio::test]
async fn a_stream_ends_with_its_lifetime() {
    let (streams, start) = streams(Some(5), 0);
    let id = streams.add(1, Box::new(Numbers(1..=9)), Origin::default(), start).unwrap();
    streams.expire(start + Duration::from_secs(4));
    assert_eq!(next(&streams, &id, 1).await, "1");
    streams.expire(start + Duration::from_secs(6));
    assert_eq!(next(&streams, &id, 1).await, ENDED);
}

#[tokio::test]
async fn a_stream_that_lingers_makes_room_where_a_daemon_has_too_many() {
    let (streams, start) = streams(None, 100);
    let add = |session| streams.add(session, Box::new(Numbers(1..=9)), Origin::default(), start);
    let ids: Vec<String> = [1, 2, 3, 4].map(|session| add(session).unwrap()).to_vec();
    streams.end_session(2, start);
    streams.end_session(1, start + Duration::from_secs(1));
    add(5).unwrap();
    assert_eq!(next(&streams, &ids[1], 6).await, ENDED, "it lingered longest");
    assert_eq!(next(&streams, &ids[0], 6).await, "1");
}

#[tokio::test]
async fn who_has_most_streams_makes_room_for_the_others() {
    let (streams, start) = streams(None, 100);
    let add = |session, at| {
        let at = start + Duration::from_secs(at);
        streams.add(session, Box::new(Numbers(1..=9)), Origin::default(), at).unwrap()
    };
    let small = add(1, 0);
    let large = [add(2, 1), add(2, 2)];
    add(3, 3);
    let newcomer = add(4, 4);
    assert_eq!(next(&streams, &large[0], 2).await, ENDED, "the oldest of session 2's");
    for (id, session) in [(&small, 1), (&large[1], 2), (&newcomer, 4)] {
        assert_eq!(next(&streams, id, session).await, "1");
    }
}

/// Does something with the daemon's streams when it ends.
struct Entangled(std::sync::Arc<Streams>, std::sync::mpsc::Sender<bool>);

impl ItemStream for Entangled {
    fn next(&mut self) -> BoxFuture<Result<Option<Value>, Exception>> {
        Box::pin(async { Ok(Some(Value::None)) })
    }
}

impl Drop for Entangled {
    fn drop(&mut self) {
        let _ = self.1.send(self.0.open.try_lock().is_ok());
    }
}

#[tokio::test]
async fn no_stream_ends_under_the_lock_of_all() {
    const SECOND: Duration = Duration::from_secs(1);
    type End = fn(&Streams, &str, Instant);
    let ends: [(u64, End); 4] = [
        (0, |streams, id, _| streams.close(id)),
        (0, |streams, _, now| streams.end_session(1, now)),
        (9, |streams, _, now| streams.expire(now + 6 * SECOND)),
        (9, |streams, _, now| {
            streams.end_session(1, now);
            for session in [2, 2, 3, 3] {
                let further = Box::new(Numbers(1..=1));
                streams.add(session, further, Origin::default(), now).unwrap();
            }
        }),
    ];
    for (number, (linger, end)) in ends.into_iter().enumerate() {
        let (streams, now) = streams(Some(5), linger);
        let streams = std::sync::Arc::new(streams);
        let (ended, was_free) = std::sync::mpsc::channel();
        let stream = Box::new(Entangled(std::sync::Arc::clone(&streams), ended));
        let id = streams.add(1, stream, Origin::default(), now).unwrap();
        end(&streams, &id, now);
        assert_eq!(was_free.try_recv(), Ok(true), "case {number}");
    }
}

#[tokio::test]
async fn a_connection_has_only_so_many_streams() {
    let (streams, now) = streams(None, 0);
    let add = |session| streams.add(session, Box::new(Numbers(1..=1)), Origin::default(), now);
    add(1).unwrap();
    add(1).unwrap();
    let refused = add(1).unwrap_err();
    assert!(refused.message().starts_with("too many item streams"), "{refused}");
    add(2).unwrap();
    streams.end_session(1, now);
    add(1).unwrap();
}
