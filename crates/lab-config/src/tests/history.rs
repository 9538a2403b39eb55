//! The section of the history: forms, and the room on its disk.

use super::*;

#[test]
fn a_history_is_on_off_or_described() {
    let history = |text: &str| right(&format!("{LAB}{text}\n")).history;
    let keep_and_size = |text: &str| {
        history(text).map(|history| (history.keep.map(|keep| keep.as_secs()), history.size))
    };
    let day = 86_400;
    for (text, expected) in [
        ("", None),
        ("history: null", None),
        ("history: false", None),
        ("history: true", Some((Some(30 * day), 2 << 30))),
        ("history: {}", Some((Some(30 * day), 2 << 30))),
        ("history: {keep: 0, size: 1048576}", Some((None, 1 << 20))),
        ("history: {keep: 1d, size: 1.5 GB}", Some((Some(day), 1_500_000_000))),
    ] {
        assert_eq!(keep_and_size(text), expected, "{text}");
    }
    for (text, expected) in [
        ("history: 3", "11:10 history: expected `true` or `false`"),
        ("history: {size: 5}", "11:17 history.size: expected a size of at least 1 MiB"),
        ("history: {size: much}", "11:17 history.size: expected a size of at least 1 MiB"),
        ("history: {retention: 3d}", "11:11 history.retention: `history` has no key"),
        ("history: {keep: -1}", "11:17 history.keep: expected a number of seconds"),
    ] {
        check(&format!("{LAB}{text}\n"), &[expected]);
    }
}

#[test]
fn what_the_disk_cannot_hold_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let base = Folder { base: folder.path().to_owned(), home: None };
    let state = Some(folder.path().join("state"));
    let surroundings = Surroundings { folder: Some(base), state, ..surroundings() };
    for (history, fits) in
        [("{size: 8000TiB}", false), ("{size: 8000TiB, folder: x}", false), ("{size: 1MiB}", true)]
    {
        let text = format!("history: {history}\n");
        let parsed = Configuration::parse("lab.yaml", text.as_bytes(), &surroundings);
        assert_eq!(parsed.is_ok(), fits, "{text}");
        if let Err(error) = parsed {
            let told = error.plain();
            let expected = ["1:17: history.size", "do not fit: the disk of"];
            assert!(expected.iter().all(|part| told.contains(part)), "{told}");
        }
    }
}

#[test]
fn a_history_that_keeps_too_little_or_nothing_is_told() {
    let lab = |members: &str, history: &str| {
        format!(
            "daemons: {{b: {{}}}}\nservices:\n  x: {{native: demo.sine, daemon: b, members: \
             {{frequency: {members}}}}}\n{history}"
        )
    };
    for (members, history, expected) in [
        ("{keep: 1d}", "", &["3:59 nothing is kept: the file has no `history`"][..]),
        ("{poll: 1s}", "", &[]),
        ("{keep: 1d}", "history: true\n", &[]),
        ("{poll: 1s, keep: 30d}", "history: true\n", &[]),
        ("{poll: 1s}", "history: {size: 20MiB}\n", &["4:17 20 MiB hold less than `keep`"]),
        ("{poll: 1s, deadband: 1}", "history: {size: 20MiB}\n", &[]),
        ("{poll: 50ms, keep: 365d}", "history: true\n", &["4:10 2 GiB hold less than `keep`"]),
    ] {
        check_warnings(&lab(members, history), expected);
    }
}
