//! Hostile files: refused within a bounded time.

use std::time::{Duration, Instant};

use super::*;

/// Timeout for a load, long enough for a busy machine.
const SOON: Duration = Duration::from_secs(120);

#[track_caller]
fn refused_soon(text: &str, part: &str) {
    let start = Instant::now();
    let error = parse(text).unwrap_err();
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    assert!(error.plain().contains(part), "{}", error.plain());
    // Its report is bounded, too.
    let shown = format!("{:?}", miette::Report::new(error));
    assert!(shown.len() < 200_000, "{}", shown.len());
}

#[test]
fn aliases_cannot_multiply_without_end() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let below = format!("*a{}, ", level - 1).repeat(10);
        bomb.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    refused_soon(&bomb, "more than 100000 values, counting what aliases repeat");

    let mut chain = "a0: &a0 [x]\n".to_owned();
    for level in 1..1000 {
        chain.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    refused_soon(&chain, "more than 64 levels of nesting");

    let text = "x".repeat(100_000);
    let many = "*t, ".repeat(50_000);
    let description = format!("a: &t {text}\nservices: {{s: {{arguments: [{many}]}}}}");
    refused_soon(&description, "more than 4096 KiB of text, counting what aliases repeat");
    let nested =
        format!("a: &a [{text}, {text}]\nb: &b [*a, *a, *a, *a]\nc: [*b, *b, *b, *b, *b, *b]");
    refused_soon(&nested, "more than 4096 KiB of text");
    let keys = format!("a: &a {{{}: 1}}\nb: [{}]", "k".repeat(1000), "*a, ".repeat(5000));
    refused_soon(&keys, "more than 4096 KiB of text");
}

#[test]
fn nesting_has_an_end() {
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", "")] {
        let deep = format!("{}x{}", open.repeat(100_000), close.repeat(100_000));
        refused_soon(&deep, "more than 64 levels of nesting");
    }
    let deep = |levels: usize| {
        let value = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        format!(
            "daemons: {{default: {{}}}}\nservices: {{s: {{module: m, classname: C, parameters: {{a: {value}}}}}}}"
        )
    };
    right(&deep(58));
    refused_soon(&deep(70), "more than 64 levels of nesting");
}

#[test]
fn a_file_that_is_wrong_everywhere_is_told_of_briefly() {
    let lines = |line: &dyn Fn(usize) -> String| (0..12_000).map(line).collect::<String>();
    let dangling = lines(&|n| format!("  s{n}: {{module: m, classname: C, daemon: d{n}}}\n"));
    refused_soon(&format!("daemons: {{d: {{}}}}\nservices:\n{dangling}"), "the first 100");
    let unknown = lines(&|n| format!("key{n}: 1\n"));
    refused_soon(&unknown, "12000 problems in lab.yaml, of which the first 100");
    let taken = lines(&|n| format!("  n{n}: {{}}\n"));
    refused_soon(&format!("nameservers:\n{taken}"), "11999 problems");
    refused_soon(&format!("daemons: {{d: {{port: {}}}}}", "9".repeat(500_000)), "the number 999");
    refused_soon(&format!("daemons: {{d: {{host: \"{}", "\\n".repeat(500_000)), "unclosed quote");
    refused_soon(&"x\n".repeat(500_000), "found the text `x x x");
}

/// Every file that is the beginning of a right one is right or has one problem; none is a panic.
#[test]
fn a_torn_file_has_one_problem_or_is_whole() {
    for end in 0..LAB.len() {
        let torn = &LAB[..end];
        if let Err(error) = parse(torn) {
            let ConfigError::Invalid(report) = &error else { panic!("{torn}") };
            assert!(!report.problems.is_empty(), "{torn}");
            if error.plain().contains("not YAML") {
                assert_eq!(report.problems.len(), 1, "{torn}\n{}", error.plain());
            }
        }
    }
}

/// Bytes changed at random (by a generator with a fixed seed) give an answer, never a panic.
#[test]
fn any_bytes_give_an_answer() {
    const BITS: [&str; 18] = [
        "[", "]", "{", "}", ": ", "- ", "\n", "  ", "\t", "&a ", "*a", "!!int ", "|\n", "\"", "'",
        "? ", "\u{feff}", "auto",
    ];
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut random = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % bound as u64).unwrap()
    };
    for _ in 0..3000 {
        let mut bytes = LAB.as_bytes().to_vec();
        for _ in 0..1 + random(5) {
            let at = random(bytes.len());
            match random(3) {
                0 => bytes[at] = u8::try_from(random(256)).unwrap(),
                1 => drop(bytes.splice(at..at, BITS[random(BITS.len())].bytes())),
                _ => drop(bytes.drain(at..(at + random(20)).min(bytes.len()))),
            }
        }
        match Configuration::parse("x", &bytes, &surroundings()) {
            Ok((lab, _)) => {
                let json = serde_json::to_string(&lab).unwrap();
                assert_eq!(serde_json::from_str::<Configuration>(&json).unwrap(), lab);
            }
            Err(error) => {
                let plain = error.plain();
                assert!(plain.lines().count() > 1 && !plain.contains("taken in"), "{plain}");
            }
        }
    }
}

#[test]
fn a_description_that_nameservers_would_refuse_is_a_warning() {
    let described = |registered: &str, bytes: usize| {
        format!(
            "nameservers: {{n: {{host: far.example}}}}\ndaemons: {{default: {{}}}}\n\
             services:\n  s: {{module: m, classname: C, {registered}description: {}, instancemode: single}}\n\
             autolaunch: {{daemons: [default]}}\n",
            "x".repeat(bytes)
        )
    };
    check_warnings(&described("nameservers: [n], ", 16 * 1024), &[]);
    check_warnings(
        &described("nameservers: [n], ", 16 * 1024 + 1),
        &["4:50 it is 16385 bytes long, and a nameserver of Ferrolab takes 16384 at most"],
    );
    check_warnings(&described("", 20_000), &[]);
}
