//! When the calls of an owner are aborted, and what an abort keeps waiting.

use super::super::policy::{ABORT_SESSION, Effect};
use super::Story;

#[test]
fn calls_are_aborted_when_their_owner_has_lost_the_lock() {
    let cases = [
        ("A asks; A calls; A leaves; A is over", 1),
        ("A asks; A calls; X breaks; X breaks", 1),
        ("A asks token=x ttl=9; A calls; A leaves; 8 s", 0),
        ("A asks token=x ttl=9; A calls; A leaves; 9 s", 1),
        ("A asks token=x ttl=9; A calls; C returns token=x", 1),
        ("A asks token=x ttl=9; C asks token=x; C calls; A calls", 0),
        ("A asks; A calls; A unlocks; A leaves", 0),
        ("A asks; A reads; A leaves", 0),
        ("A asks; A calls; A ends; A leaves", 0),
        ("A asks; A sends; A leaves", 1),
        ("A calls; A leaves", 0),
        ("A asks; B leaves", 0),
    ];
    for (lines, aborts) in cases {
        let mut story = Story::new(false);
        lines.split("; ").for_each(|line| story.line(line));
        assert_eq!(story.aborts, aborts, "{lines}");
    }
}

#[test]
fn an_abort_runs_before_the_next_grant() {
    let mut story = Story::new(false);
    ["A asks", "A calls", "A leaves"].into_iter().for_each(|line| story.line(line));
    assert_eq!(story.lock.abort_start(), [65]);
    ["B asks wait=60", "A ends", "B calls"].into_iter().for_each(|line| story.line(line));
    assert_eq!(story.log.last().unwrap(), "ending after A");
    let mut effects = Vec::new();
    story.lock.call_end(story.now, ABORT_SESSION, &mut effects);
    assert!(matches!(effects[..], [Effect::Record(_), Effect::Answer(..)]), "{effects:?}");
}
