//! Clients that have lost their rights: they keep no lock by its token.

use super::Story;

#[test]
fn a_client_that_has_lost_its_rights_keeps_no_lock_by_its_token() {
    for (lines, expected) in [
        (
            "A asks token=x ttl=60; A forfeits; B asks; C asks token=x ttl=60",
            "A has it #1; A disconnected #1; B has it #2; locked by B",
        ),
        (
            "A asks token=x ttl=60; A calls; C asks token=x ttl=60 wait=60; A forfeits; A ends; B asks",
            "A has it #1; runs; gone; A disconnected #1; B has it #2",
        ),
        (
            "A asks token=x ttl=60 via=stage; C asks token=x via=axis; C forfeits; C calls; A calls",
            "A has it #1; C joined #1; gone; runs",
        ),
        // The owner is away when it loses its rights.
        (
            "A asks token=x ttl=60; A leaves; C resigns; B asks; A resigns; B asks; C asks token=x ttl=60",
            "A has it #1; A is away #1; locked by A; A disconnected #1; B has it #2; locked by B",
        ),
        (
            "A asks token=x ttl=60; A calls; A leaves; C asks token=x wait=9; A resigns; A ends; B asks",
            "A has it #1; runs; A is away #1; gone; A disconnected #1; B has it #2",
        ),
    ] {
        let mut story = Story::new(false);
        for line in lines.split("; ") {
            story.line(line);
        }
        assert_eq!(story.log.join("; "), expected, "{lines}");
    }
}
