//! Locks that the next process of their daemon restores.

use super::super::policy::{Effect, KeptHold, Lock, is_restored_session, restored_session};
use super::super::types::Party;
use super::Story;

/// The first epoch of the next process.
const NEXT_EPOCH: u64 = 100;

fn tell(story: &mut Story, lines: &str) -> String {
    story.log.clear();
    for line in lines.split("; ").filter(|line| !line.is_empty()) {
        story.line(line);
    }
    story.log.join("; ")
}

/// The lock in the next process, and whether it has been restored.
fn restart(story: &Story) -> (Story, bool) {
    let mut next = Story::new(true);
    next.lock = Lock::new(NEXT_EPOCH, true);
    let Some(kept) = story.lock.kept() else { return (next, false) };
    let left = kept.until.map_or(kept.ttl, |until| until - story.now);
    let mut effects = Vec::new();
    let owner = Party { session: restored_session(1), ..kept.owner.clone() };
    let kept = KeptHold { owner: &owner, ..kept };
    let is_restored = next.lock.restore(next.now, kept, left, &mut effects);
    assert_eq!((is_restored, effects.len()), (true, 1));
    (next, true)
}

#[test]
fn a_lock_with_a_token_is_restored_for_its_token_only() {
    for (before, is_kept, after, expected) in [
        ("A asks", false, "B asks", "B has it #100"),
        ("A asks token=x ttl=0", false, "B asks", "B has it #100"),
        ("A asks token=x ttl=60; A unlocks", false, "B asks", "B has it #100"),
        ("A asks token=x ttl=60; A leaves; B breaks", false, "B asks", "B has it #100"),
        ("A asks token=x ttl=60; A leaves; 60 s; X rested", false, "B asks", "B has it #100"),
        (
            "A asks token=x ttl=60",
            true,
            "B asks; B calls; B unlocks; C asks token=y; D asks token=x; D calls",
            "locked by A; locked by A; locked by A; locked by A; D has it again #100; runs",
        ),
        // Nobody has driven the object since the safe state at the end of the process before.
        (
            "A asks token=x ttl=60",
            true,
            "B asks wait=90; 59 s; B calls; 60 s; X rested; B calls",
            "locked by A; A expired #1; rest; B has it #100; runs",
        ),
        // The time goes on where it was; a call does not keep the lock.
        (
            "A asks token=x ttl=60; A calls; A leaves; 20 s",
            true,
            "39 s; B asks; 40 s; X rested; B asks",
            "locked by A; A expired #1; rest; B has it #100",
        ),
        (
            "A asks token=x ttl=60",
            true,
            "B returns token=x; X rested; B calls",
            "A is given back #1; rest; true; runs",
        ),
        (
            "A asks token=x ttl=60",
            true,
            "B breaks; A asks token=x",
            "A is robbed #1; rest; true; broken",
        ),
    ] {
        let mut story = Story::new(false);
        tell(&mut story, before);
        let (mut next, restored) = restart(&story);
        assert_eq!(restored, is_kept, "{before}");
        assert_eq!(tell(&mut next, after), expected, "{before} | {after}");
    }
}

#[test]
fn a_restored_lock_is_restored_again_and_no_epoch_comes_twice() {
    let mut story = Story::new(false);
    tell(&mut story, "A asks token=x ttl=60");
    let (again, _) = restart(&story);
    let (mut third, restored) = restart(&again);
    assert!(restored);
    assert_eq!(
        tell(&mut third, "B asks token=x; B unlocks"),
        "B has it again #100; B unlocked #100; true"
    );
    // A row whose epoch is not below those of this process is refused: another daemon wrote it.
    let mut late = Lock::new(1, true);
    let kept = story.lock.kept().unwrap();
    assert!(!late.restore(story.now, kept, std::time::Duration::from_secs(1), &mut Vec::new()));
}

#[test]
fn each_restored_lock_has_a_session_of_its_own() {
    let numbers = [0, 1, 2, u64::MAX];
    let sessions = numbers.map(restored_session);
    assert!(sessions.into_iter().all(is_restored_session), "{sessions:?}");
    assert!(sessions.is_sorted_by(|one, next| one > next), "{sessions:?}");
    assert!(
        ![0, 1, u64::MAX].into_iter().any(is_restored_session),
        "of aborts, clients, the daemon"
    );
}

#[test]
fn a_lock_that_is_frozen_for_the_next_process_does_not_end() {
    for (before, is_kept) in [
        ("A asks token=x ttl=60; A calls; A leaves", true),
        ("A asks; A calls", false),
        ("A asks token=x ttl=60; A calls; A leaves; 60 s", false),
    ] {
        let mut story = Story::new(true);
        tell(&mut story, before);
        let mut effects = Vec::new();
        assert_eq!(story.lock.freeze(&mut effects), is_kept, "{before}");
        assert_eq!(story.lock.is_frozen(), is_kept, "{before}");
        assert_eq!(effects, if is_kept { vec![Effect::Abort] } else { vec![] }, "{before}");
        if is_kept {
            assert_eq!(story.lock.next_deadline(), None);
            assert!(story.lock.has_calls());
            assert_eq!(tell(&mut story, "60 s; A ends; 61 s"), "");
            assert!(!story.lock.has_calls() && story.lock.kept().is_some());
            // The table that has frozen it brings the object to a safe state.
            assert_eq!(tell(&mut story, "B breaks"), "A is robbed #1; true");
            assert!(story.lock.kept().is_none());
        }
    }
}
