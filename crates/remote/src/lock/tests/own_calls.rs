//! Calls of the daemon itself: they give way to clients, which wait for no more than their end.

use super::super::policy::{Call, OWN_SESSION};
use super::Story;

/// A story in which `daemon polls` and `daemon polled` are its own call and the end of that.
fn tell(lines: &str) -> String {
    let mut story = Story::new(false);
    for line in lines.split("; ") {
        match line {
            "daemon polls" => {
                let started = story.lock.own_start(false);
                story.log.push(
                    started.map_or_else(|refusal| super::short(&refusal), |_| "polls".into()),
                );
            }
            "daemon polled" => {
                let mut effects = Vec::new();
                story.lock.call_end(story.now, OWN_SESSION, &mut effects);
                // The records of grants, as a tick of no time has them.
                let granted =
                    effects.iter().any(|effect| format!("{effect:?}").contains("Granted"));
                story.log.push(if granted { "granted" } else { "polled" }.into());
            }
            line => story.line(line),
        }
    }
    story.log.join("; ")
}

#[test]
fn a_client_waits_for_a_poll_and_is_not_refused_for_it() {
    for (lines, expected) in [
        ("daemon polls; A asks; daemon polled", "polls; granted"),
        ("daemon polls; A asks wait=0; daemon polled", "polls; granted"),
        ("daemon polls; A asks wait=1; 5 s; daemon polled", "polls; granted"),
        ("daemon polls; A calls; A asks wait=0; daemon polled", "polls; runs; granted"),
        // A call of another client is waited for no longer than before.
        ("daemon polls; B calls; A asks wait=0", "polls; runs; in vain"),
        // Nobody waits for one that hangs: it counts as ended before.
        ("daemon polls; A asks; 10 s", "polls; busy"),
        ("daemon polls; A calls; A ends", "polls; runs"),
    ] {
        assert_eq!(tell(lines), expected, "{lines}");
    }
}

#[test]
fn a_poll_does_not_begin_where_a_client_has_the_lock_or_waits_for_it() {
    for (lines, expected) in [
        ("A asks; daemon polls", "A has it #1; locked by A"),
        ("B calls; A asks wait=9; daemon polls", "runs; locked by A"),
        (
            "A asks; A calls; A leaves; daemon polls",
            "A has it #1; runs; A disconnected #1; ending after A",
        ),
        ("B calls; daemon polls; daemon polls", "runs; polls; polls"),
    ] {
        assert_eq!(tell(lines), expected, "{lines}");
    }
    let mut story = Story::new(false);
    story.line("A asks");
    assert_eq!(story.lock.own_start(true), Ok(Call::Read));
}
