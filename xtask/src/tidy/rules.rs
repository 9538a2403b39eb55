//! The rules, each with its reason, as a table of functions over one file.

use super::Finding;
use super::prose;
use crate::source::{Source, has_word};

/// A rule: its name, why it is one, and the lines of a file that break it, with what is there.
struct Rule {
    name: &'static str,
    reason: &'static str,
    broken: fn(&Source) -> Vec<(usize, String)>,
}

const RULES: &[Rule] = &[
    Rule {
        name: "sqlite-room",
        reason: "only the stores speak SQL: crates/nameserver/src/store, crates/history/src/store",
        broken: |source| {
            named_outside(source, &["rusqlite"], |path| {
                ["nameserver", "history"]
                    .iter()
                    .any(|name| path.starts_with(&format!("{name}/src/store/")))
            })
        },
    },
    Rule {
        name: "yaml-room",
        reason: "YAML is read in crates/lab-config only",
        broken: |source| named_outside(source, YAML, |path| path.starts_with("lab-config/src/")),
    },
    Rule {
        name: "http-room",
        reason: "crates/program/src/web/ alone serves HTTP; crates/outbound is its client",
        broken: |source| {
            named_outside(source, &["axum", "rust_embed"], |path| {
                path.starts_with("program/src/web/")
            })
            .into_iter()
            .chain(named_outside(source, &["hyper", "hyper_util", "http_body_util"], |path| {
                path.starts_with("program/src/web/") || path.starts_with("outbound/src/")
            }))
            .collect()
        },
    },
    Rule {
        name: "clap-room",
        reason: "arguments are read in crates/program/src/cli/, nowhere else",
        broken: |source| {
            named_outside(source, &["clap"], |path| path.starts_with("program/src/cli/"))
        },
    },
    Rule {
        name: "spawn",
        reason: "only crates/supervisor starts processes, so that none outlives its parent",
        broken: spawns,
    },
    Rule {
        name: "module-comment",
        reason: "a module opens with //! saying what it owns and what it refuses to know",
        broken: opens_without_comment,
    },
    Rule {
        name: "file-length",
        reason: "a file of more than 500 lines is split by meaning",
        broken: too_long,
    },
    Rule {
        name: "machine-path",
        reason: "a path of one person's machine is wrong on every other",
        broken: machine_paths,
    },
    Rule {
        name: "fixed-sleep",
        reason: "tests wait for a condition, in a helper called wait_for, wait_until or poll",
        broken: fixed_sleeps,
    },
    Rule { name: "plain-words", reason: "docs/style.md", broken: prose::phrases },
    Rule { name: "comment-width", reason: "docs/style.md", broken: prose::wide_comments },
];

const YAML: &[&str] = &["serde_saphyr", "saphyr", "saphyr_parser", "granit_parser", "serde_yaml"];
const LIMIT: usize = 500;
const NEAR_LIMIT: usize = 400;
const POLLING_HELPERS: [&str; 3] = ["wait_for", "wait_until", "poll"];
/// In two halves each, so that this file does not break its own rule.
const MACHINE_PATHS: [&str; 3] =
    [concat!("/wo", "rk/"), concat!("/tmp", "/ref"), concat!("/ro", "ot/")];

/// Everything that `source` breaks.
pub(super) fn findings(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for Rule { name, reason, broken } in RULES {
        findings.extend(broken(source).into_iter().map(|(line, what)| Finding {
            path: source.path.clone(),
            line,
            rule: name,
            what,
            reason,
        }));
    }
    findings
}

/// How many lines `source` has, where that is allowed but too many soon.
pub(super) fn nearly_too_long(source: &Source) -> Option<usize> {
    let lines = code_length(source)?;
    (NEAR_LIMIT < lines && lines <= LIMIT).then_some(lines)
}

/// Lines of the crates' code that name one of `words` in a file whose path (below `crates/`) is not
/// `allowed`.
fn named_outside(
    source: &Source,
    words: &[&str],
    allowed: impl Fn(&str) -> bool,
) -> Vec<(usize, String)> {
    match source.path.strip_prefix("crates/") {
        Some(path) if path.contains("/src/") && !allowed(path) => matching(source, |_, line| {
            words.iter().find(|word| has_word(line, word)).map(|word| format!("names {word}"))
        }),
        _ => Vec::new(),
    }
}

fn spawns(source: &Source) -> Vec<(usize, String)> {
    if source.extension() != "rs" || source.path.starts_with("crates/supervisor/") {
        return Vec::new();
    }
    matching(source, |number, line| {
        if source.is_test(number) {
            return None;
        }
        let process = ["process::Command", "process::{"].iter().any(|path| line.contains(path))
            && has_word(line, "Command");
        let made = has_word(line, "Command::new") && !line.contains("clap::Command::new");
        (process || made).then(|| "makes a process".to_owned())
    })
}

fn opens_without_comment(source: &Source) -> Vec<(usize, String)> {
    if source.extension() != "rs" || source.is_test_file() && !source.path.starts_with("xtask/src/")
    {
        return Vec::new();
    }
    let mut lines = source.lines().map(str::trim);
    let opening = lines.find(|line| !line.is_empty() && !line.starts_with("#!["));
    match opening {
        Some(line) if line.starts_with("//!") => Vec::new(),
        _ => vec![(1, "opens without a module comment".to_owned())],
    }
}

fn too_long(source: &Source) -> Vec<(usize, String)> {
    match code_length(source) {
        Some(lines) if lines > LIMIT => vec![(lines, format!("{lines} lines"))],
        _ => Vec::new(),
    }
}

fn code_length(source: &Source) -> Option<usize> {
    matches!(source.extension(), "rs" | "py").then(|| source.lines().count())
}

fn machine_paths(source: &Source) -> Vec<(usize, String)> {
    // Behind one of these the words are the middle of a longer, relative path.
    let continues = |c: char| c.is_alphanumeric() || "._-~*$})]>/".contains(c);
    let mut found = Vec::new();
    for (index, line) in source.lines().enumerate() {
        for path in MACHINE_PATHS {
            if line.match_indices(path).any(|(at, _)| !line[..at].ends_with(continues)) {
                found.push((index + 1, format!("names {path}")));
            }
        }
    }
    found
}

fn fixed_sleeps(source: &Source) -> Vec<(usize, String)> {
    let in_tests_folder = source.path.starts_with("tests/") || source.path.contains("/tests/");
    // A driver may be slow; that is what some tests are about.
    let driver = source.path.contains("/drivers/");
    // Under a paused clock a sleep waits for nothing.
    let paused = source.code_lines().any(|(_, line)| {
        line.contains("start_paused") || line.contains("time::pause") || line.contains("pause()")
    });
    matching(source, |number, line| {
        let blocks = has_word(line, "thread::sleep");
        let sleeps = match source.extension() {
            "py" if in_tests_folder && !driver => {
                let in_disguise =
                    line.contains("wait_for(lambda") && line.contains("monotonic() >");
                in_disguise || has_word(line, "time.sleep")
            }
            "rs" if in_tests_folder => {
                let imported = line.contains("time::{") && has_word(line, "sleep");
                blocks || !paused && (imported || has_word(line, "time::sleep"))
            }
            "rs" => blocks && source.is_test(number),
            _ => false,
        };
        let helper = || source.function(number).is_some_and(|name| POLLING_HELPERS.contains(&name));
        (sleeps && !helper()).then(|| "sleeps a fixed time".to_owned())
    })
}

fn matching(
    source: &Source,
    mut what: impl FnMut(usize, &str) -> Option<String>,
) -> Vec<(usize, String)> {
    let lines = source.code_lines();
    lines.filter_map(|(number, line)| Some((number, what(number, line)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<(&'static str, usize)> {
        let source = Source::new(path, text);
        findings(&source).into_iter().map(|finding| (finding.rule, finding.line)).collect()
    }

    /// A path, what is in the file, and the rules that it breaks, with their lines.
    type Case<'a> = (&'a str, &'a str, &'a [(&'a str, usize)]);

    #[test]
    fn each_rule_on_the_right_lines() {
        const ROOM: &str = "crates/program/src";
        let machine = format!("# see {}x and a{}b", MACHINE_PATHS[0], MACHINE_PATHS[0]);
        let long = format!("//! long\n{}", "fn f() {}\n".repeat(LIMIT));
        let cases: &[Case] = &[
            ("host/mod.rs", "//! x\nuse rusqlite::Row;", &[("sqlite-room", 2)]),
            ("supervise/plan.rs", "//! x\n// not saphyr\nserde_saphyr::f(t)", &[("yaml-room", 3)]),
            ("cli/up.rs", "//! x\nuse clap::Args;", &[]),
            ("host/mod.rs", "//! x\nuse axum::Router;", &[("http-room", 2)]),
            ("web/mod.rs", "//! x\nuse axum::Router;\nuse hyper::server;", &[]),
            ("notify/mod.rs", "//! x\nuse hyper::client;", &[("http-room", 2)]),
            ("lib.rs", "//! x\nuse clap::Parser;", &[("clap-room", 2)]),
            ("host/mod.rs", "//! x\n#[derive(clap::Args)]", &[("clap-room", 2)]),
            ("host/mod.rs", "//! x\nlet c = Command::new(\"a\");", &[("spawn", 2)]),
            ("host/mod.rs", "//! x\nuse std::process::{Command, Stdio};", &[("spawn", 2)]),
            ("host/mod.rs", "//! x\nuse tokio::process::Command;", &[("spawn", 2)]),
            ("host/mod.rs", "//! x\nuse std::process::{self, ExitCode};", &[]),
            ("cli/x.rs", "//! x\nlet c = clap::Command::new(\"a\");", &[]),
            ("host/mod.rs", "//! x\n#[cfg(test)]\nmod tests {\n  Command::new(x);\n}", &[]),
            ("a.rs", "\n#![allow(x)]\n//! x\n", &[]),
            ("a.rs", "use b;\n//! x\n", &[("module-comment", 1)]),
            ("a.rs", &long, &[("file-length", LIMIT + 1)]),
            (
                "a.rs",
                "//! x\n#[cfg(test)]\nmod tests {\n  thread::sleep(d);\n}",
                &[("fixed-sleep", 4)],
            ),
            ("a.rs", "//! x\nfn f() {\n  thread::sleep(d);\n}", &[]),
        ];
        for (path, text, expected) in cases {
            assert_eq!(found(&format!("{ROOM}/{path}"), text), *expected, "{path}: {text}");
        }
        let other_crates: &[Case] = &[
            ("nameserver/src/store/sql.rs", "//! x\nuse rusqlite::Row;", &[]),
            ("nameserver/src/object.rs", "//! x\nuse rusqlite::Row;", &[("sqlite-room", 2)]),
            ("lab-config/src/tree.rs", "//! x\ngranit_parser::f(t)", &[]),
            ("remote/src/tls.rs", "//! x\ngranit_parser::f(t)", &[("yaml-room", 2)]),
        ];
        for (path, text, expected) in other_crates {
            assert_eq!(found(&format!("crates/{path}"), text), *expected, "{path}: {text}");
        }
        assert_eq!(found("README.md", &machine), [("machine-path", 1)]);
        assert_eq!(found("README.md", &format!("a{}", MACHINE_PATHS[2])), []);
    }

    #[test]
    fn sleeps_in_tests_folders() {
        let cases: &[(&str, &str, &[usize])] = &[
            ("crates/x/tests/a.rs", "fn f() {\n std::thread::sleep(d);\n}", &[2]),
            ("crates/x/tests/a.rs", "fn f() {\n tokio::time::sleep(d).await;\n}", &[2]),
            ("crates/x/tests/a.rs", "use tokio::time::{Duration, sleep};", &[1]),
            ("crates/x/tests/a.rs", "use tokio::time::{Duration, sleep_until};", &[]),
            ("crates/x/tests/a.rs", "#[tokio::test(start_paused = true)]\ntime::sleep(d)", &[]),
            ("crates/x/tests/a.rs", "fn wait_until() {\n thread::sleep(d);\n}", &[]),
            ("tests/test_a.py", "import time\ndef test_a():\n    time.sleep(1)", &[3]),
            ("tests/test_a.py", "wait_for(lambda: time.monotonic() >= due, 5, 'it is due')", &[1]),
            ("tests/harness/wait.py", "def wait_for(c):\n    time.sleep(1)", &[]),
            ("tests/drivers/slow.py", "def f():\n    time.sleep(1)", &[]),
            ("examples/x/driver.py", "def f():\n    time.sleep(1)", &[]),
        ];
        for (path, text, lines) in cases {
            let expected: Vec<_> = lines.iter().map(|line| ("fixed-sleep", *line)).collect();
            assert_eq!(found(path, text), expected, "{path}: {text}");
        }
    }

    #[test]
    fn a_note_before_the_limit() {
        let source = |lines| Source::new("a.py", "x\n".repeat(lines));
        assert_eq!(nearly_too_long(&source(NEAR_LIMIT)), None);
        assert_eq!(nearly_too_long(&source(NEAR_LIMIT + 1)), Some(NEAR_LIMIT + 1));
        assert_eq!(nearly_too_long(&source(LIMIT + 1)), None);
    }

    #[test]
    fn a_finding_tells_where_what_and_why() {
        let source = Source::new("crates/program/src/host/mod.rs", "//! x\nuse clap::Args;\n");
        let told: Vec<_> = findings(&source).iter().map(ToString::to_string).collect();
        assert!(
            told.concat().starts_with("crates/program/src/host/mod.rs:2: clap-room: names clap [")
        );
    }
}
