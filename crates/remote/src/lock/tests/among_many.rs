//! Locks among many: owners that are silent, clients that do not wait, and crowds of one host.

use std::time::Duration;

use super::super::policy::MAX_WAITING_OF_HOST;
use super::super::types::{Party, Request};
use super::{Story, party_of};

fn run(cases: &[(&str, &str)], lease: Option<u64>) {
    for (lines, expected) in cases {
        let mut story = Story::new(false);
        story.lock.set_lease(story.now, lease.map(Duration::from_secs));
        lines.split("; ").for_each(|line| story.line(line));
        assert_eq!(story.log.join("; "), *expected, "{lines}");
    }
}

#[test]
fn a_silent_owner_loses_the_lock_never_during_a_call() {
    let cases = [
        // It is told at its next call, like the owner of a broken lock.
        (
            "A asks; B asks wait=60; 9 s; 10 s; A calls; B calls",
            "A has it #1; A is silent #1; B has it #2; idle; runs",
        ),
        (
            "A asks; 10 s; A calls; A calls; A asks; A calls",
            "A has it #1; A is silent #1; idle; idle; A has it #2; runs",
        ),
        ("A asks; 10 s; A unlocks; A calls", "A has it #1; A is silent #1; idle; runs"),
        // Each call is a sign of life, when it begins and when it ends.
        (
            "A asks; 9 s; A calls; 18 s; A ends; 27 s; A calls; A ends; 36 s; 37 s",
            "A has it #1; runs; runs; A is silent #1",
        ),
        (
            "A asks; A calls; 60 s; 3600 s; A ends; 3609 s; 3610 s",
            "A has it #1; runs; A is silent #1",
        ),
        ("A asks; A reads; 60 s; A looked; 69 s; 70 s", "A has it #1; runs; A is silent #1"),
        ("A asks; A sends; 60 s; A ends; 70 s", "A has it #1; runs; A is silent #1"),
        ("A asks; 9 s; A asks; 18 s; 19 s", "A has it #1; A is silent #1"),
        // Others' calls do not count.
        ("A asks; 9 s; B reads; B calls; 10 s", "A has it #1; runs; locked by A; A is silent #1"),
        // A connection that has joined the owner calls for it, and loses the lock with it.
        (
            "A asks token=x ttl=60 via=stage; C asks token=x via=axis; 9 s; C calls; 60 s; C ends; 70 s; \
             C calls; A calls",
            "A has it #1; C joined #1; runs; A is silent #1; idle; idle",
        ),
        // An owner that is away has the time of its token, and begins anew when it is back.
        (
            "A asks token=x ttl=60; 9 s; A leaves; 50 s; C asks token=x; 59 s; 60 s",
            "A has it #1; A is away #1; C has it again #2; C is silent #2",
        ),
        // A lock that was lost so is asked for like any other.
        (
            "A asks token=x ttl=60; 10 s; A leaves; C asks token=x",
            "A has it #1; A is silent #1; C has it #2",
        ),
        ("A asks; A unlocks; 60 s; B asks", "A has it #1; A unlocked #1; true; B has it #2"),
    ];
    run(&cases, Some(10));
    run(&[("A asks; 100000 s; A calls", "A has it #1; runs")], None);
}

#[test]
fn a_lease_that_comes_later_counts_from_then() {
    let mut story = Story::new(false);
    ["A asks", "60 s"].into_iter().for_each(|line| story.line(line));
    story.lock.set_lease(story.now, Some(Duration::from_secs(10)));
    for line in ["69 s", "B asks", "70 s", "A calls"] {
        story.line(line);
    }
    assert_eq!(story.log, ["A has it #1", "locked by A", "A is silent #1", "idle"]);
}

#[test]
fn a_client_that_does_not_wait_has_its_turn_beside_the_queue() {
    let cases = [
        // P asks again and again, and is in line since its first attempt: after B, before C.
        (
            "A asks; B asks wait=99; 1 s; P asks; 2 s; P asks; C asks wait=99; A unlocks; 3 s; P asks; B unlocks; \
             C calls; C ends; 4 s; P asks; C calls; P unlocks; C calls",
            "A has it #1; locked by A; locked by A; A unlocked #1; B has it #2; true; locked by B; \
             B unlocked #2; true; runs; P has it #3; locked by P; P unlocked #3; C has it #4; true; runs",
        ),
        // A client that asks once keeps nobody waiting.
        (
            "A asks; P asks; 1 s; B asks wait=99; A unlocks; P asks",
            "A has it #1; locked by A; A unlocked #1; B has it #2; true; locked by B",
        ),
        // One that stays away when its turn comes keeps the queue for half as long again as the
        // time between its attempts, and has lost its turn.
        (
            "A asks; P asks; 4 s; P asks; B asks wait=99; A unlocks; 9 s; 10 s; P asks; 11 s; P asks; B unlocks",
            "A has it #1; locked by A; locked by A; A unlocked #1; true; B has it #2; locked by B; \
             locked by B; B unlocked #2; true",
        ),
        // One that has stayed away before keeps nobody waiting.
        (
            "A asks; P asks; 1 s; P asks; B asks wait=99; 9 s; A unlocks",
            "A has it #1; locked by A; locked by A; A unlocked #1; B has it #2; true",
        ),
        // So does one that is late, but it keeps its place if it is still there.
        (
            "A asks; P asks; 1 s; P asks; B asks wait=99; C asks wait=99; 9 s; A unlocks; P asks; B unlocks; \
             P asks; P unlocks",
            "A has it #1; locked by A; locked by A; A unlocked #1; B has it #2; true; locked by B; \
             B unlocked #2; true; P has it #3; P unlocked #3; C has it #4; true",
        ),
        // An owner that asks for the lock again at once does not pass it.
        (
            "A asks; P asks; 1 s; P asks; A unlocks; A asks wait=99; 2 s; P asks; A calls; P unlocks; A calls",
            "A has it #1; locked by A; locked by A; A unlocked #1; true; P has it #2; locked by P; \
             P unlocked #2; A has it #3; true; runs",
        ),
        // Without a queue, the first to ask has a free lock.
        (
            "A asks; P asks; 1 s; P asks; A unlocks; A asks; P asks",
            "A has it #1; locked by A; locked by A; A unlocked #1; true; A has it #2; locked by A",
        ),
        // Two of them, in the order of their first attempts.
        (
            "A asks; P asks; Q asks; 1 s; Q asks; P asks; B asks wait=99; A unlocks; 2 s; Q asks; P asks; P unlocks; \
             Q asks; Q unlocks",
            "A has it #1; locked by A; locked by A; locked by A; locked by A; A unlocked #1; true; \
             locked by B; P has it #2; P unlocked #2; true; Q has it #3; Q unlocked #3; B has it #4; true",
        ),
        // It waits for calls that run, as ever, and the queue for it.
        (
            "A asks; P asks; 1 s; P asks; B asks wait=99; A unlocks; D calls; 2 s; P asks; C calls; D ends; P unlocks",
            "A has it #1; locked by A; locked by A; A unlocked #1; true; runs; locked by P; \
             P has it #2; P unlocked #2; B has it #3; true",
        ),
        // A client that begins to wait is in the queue, not beside it.
        (
            "A asks; P asks; 1 s; P asks; B asks wait=99; P asks wait=99; A unlocks; B unlocks",
            "A has it #1; locked by A; locked by A; A unlocked #1; B has it #2; true; B unlocked #2; \
             P has it #3; true",
        ),
        // The owner of a token comes before everybody.
        (
            "A asks token=x ttl=60; P asks; 1 s; P asks; B asks wait=99; A leaves; D asks token=x; D unlocks; \
             P asks",
            "A has it #1; locked by A; locked by A; A is away #1; D has it again #2; \
             D unlocked #2; true; P has it #3",
        ),
    ];
    run(&cases, None);
}

#[test]
fn one_host_takes_some_places_of_the_queue_only() {
    let mut story = Story::new(false);
    story.line("A asks");
    let mut ask = |session: u64, host: &str| {
        story.ticket += 1;
        let address = format!("{host}:{session}");
        let party = Party { address, ..party_of(session, "") };
        let wait = Some(Duration::from_secs(99));
        let request = Request { party, via: String::new(), wait, token: None };
        let mut effects = Vec::new();
        story.lock.request(story.now, story.ticket, request, &mut effects);
        effects.is_empty()
    };
    let most = MAX_WAITING_OF_HOST as u64;
    let waiting = (1000..1000 + 2 * most).filter(|session| ask(*session, "10.0.0.1")).count();
    assert_eq!(waiting, MAX_WAITING_OF_HOST);
    assert!(ask(5000, "10.0.0.2") && ask(5001, "[fe80::1]"));
}
