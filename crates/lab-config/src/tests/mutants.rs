//! Hostile files at random: each loads, or every problem of it has a place in the file.
//!
//! A short run each time; with `FERROLAB_TEST_EXTENDED=1` (`cargo xtask test --extended`) it is the
//! promised 5,000.

use std::time::{Duration, Instant};

use super::*;

/// Pieces that a file is broken with.
const PIECES: &[&str] = &[
    "",
    ":",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "'",
    "\"",
    "\t",
    "\n",
    "\n  ",
    "- ",
    "&a ",
    "*a",
    "*no",
    "!",
    "!!python/name:os.system ",
    "!!binary ",
    "|",
    ">",
    "?",
    "%",
    "@",
    "`",
    "#",
    "\\",
    ",",
    "---\n",
    "<<: ",
    "null",
    "~",
    "true",
    "-1",
    "1e400",
    ".nan",
    "0x",
    "99999999999999999999",
    "9090",
    "1.0",
    "localhost",
    "bench",
    "local",
    "services: ",
    "daemons: {}\n",
    "host: ",
    "\0",
    "\u{7f}",
    "\u{feff}",
    "\u{2028}",
    "\u{1b}[2J",
    "\u{202e}",
    "é",
    "{a: 1}",
    "[1, [2]]",
    "x:x",
    "a b",
    "access: ",
    "grants: ",
    "- {who: ada, role: view}\n",
    "who: ",
    "group:optics",
    "role: admin",
    "operate",
    "when: locked",
    "lab.*",
];
/// Lines that the file has besides those of [`LAB`].
const ACCESS: &str = "access:
  network: view
  groups: {optics: [ada, grace]}
  grants:
    - {who: \"group:optics\", what: lab.laser, role: operate, members: [power], when: locked}
    - {who: [ada, anonymous], what: [\"lab.*\", bench], role: admin}
";
/// The longest that one file may take, on a slow machine.
const MAX_PARSE_TIME: Duration = Duration::from_secs(20);

/// SplitMix64: the same files in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).unwrap()
    }
}

/// The file of this number.
fn mutant(number: u64) -> Vec<u8> {
    let mut random = Random(number);
    let mut file = [LAB.as_bytes(), ACCESS.as_bytes()].concat();
    for _ in 0..=random.below(6) {
        let at = random.below(file.len());
        let until = (at + random.below(4) * random.below(12)).min(file.len());
        match random.below(8) {
            // A part of the file once more.
            0 => {
                let from = random.below(file.len());
                let part = file[from..(from + random.below(200)).min(file.len())].to_vec();
                file.splice(at..at, part);
            }
            1 => drop(file.splice(at..until, [random.below(256) as u8])),
            2 => file.truncate(at.max(1)),
            3 => {
                let piece = PIECES[random.below(PIECES.len())];
                file.splice(at..at, piece.repeat(1 + random.below(300)).into_bytes());
            }
            _ => {
                let piece = PIECES[random.below(PIECES.len())];
                file.splice(at..until, piece.bytes());
            }
        }
    }
    file
}

#[test]
fn a_hostile_file_loads_or_is_refused_at_a_place() {
    let extended =
        std::env::var_os("FERROLAB_TEST_EXTENDED").is_some_and(|value| !value.is_empty());
    let count = if extended { 5000 } else { 500 };
    let mut refused = 0;
    for number in 0..count {
        let file = mutant(number);
        let shown = String::from_utf8_lossy(&file);
        let begin = Instant::now();
        let parsed = Configuration::parse("lab.yaml", &file, &surroundings());
        assert!(begin.elapsed() < MAX_PARSE_TIME, "file {number}:\n{shown}");
        let Err(error) = parsed else { continue };
        refused += 1;
        let ConfigError::Invalid(report) = &error else { panic!("file {number}: {error}") };
        assert!(!report.problems.is_empty(), "file {number}");
        for problem in &report.problems {
            let text = problem.plain();
            let place = text.strip_prefix("lab.yaml:").unwrap_or_default().splitn(3, ':');
            let numbers = place.take(2).filter_map(|part| part.parse::<usize>().ok()).count();
            let is_clean = !text.contains(|c: char| c.is_control() && c != '\n');
            assert!(numbers == 2 && is_clean, "file {number}: {text:?}\n{shown}");
        }
    }
    assert!(refused > count / 2, "{refused} of {count} files are refused");
}
