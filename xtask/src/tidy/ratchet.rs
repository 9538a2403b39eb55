//! Findings of the comment rules that stood here before the rules did: a count for each file, which
//! only shrinks.
//!
//! Owns the list of counts and its file. Refuses to know the rules.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;

use super::Finding;
use crate::failure::{Failure, Outcome};
use crate::workspace::Workspace;

/// The list: a line for each file, its count and its path.
const LIST: &str = "xtask/comments-left.txt";
/// The rules that have findings on the list.
const RULES: [&str; 2] = ["plain-words", "comment-width"];

type Counts = BTreeMap<String, usize>;

/// Whether files are being renamed by many at a time: then the sum of all counts decides, so that a
/// renamed file keeps its allowance. Else each file's count does, and a lower one is written down.
const FILES_MOVE: bool = true;

/// Removes the listed findings; returns the files whose counts on the list are too high.
pub(super) fn apply(workspace: &Workspace, findings: &mut Vec<Finding>) -> Outcome<Vec<String>> {
    let (listed, found) = (read(workspace)?, count(findings));
    println!("{} findings in comments left of {}", total(&found), total(&listed));
    Ok(keep_new(findings, &listed, &found, FILES_MOVE))
}

fn keep_new(
    findings: &mut Vec<Finding>,
    listed: &Counts,
    found: &Counts,
    files_move: bool,
) -> Vec<String> {
    let of = |counts: &Counts, path: &str| counts.get(path).copied().unwrap_or(0);
    let fewer = files_move && total(found) <= total(listed);
    findings.retain(|finding| {
        let new = of(found, &finding.path) > of(listed, &finding.path);
        !RULES.contains(&finding.rule) || new && !fewer
    });
    let lower = |path: &&String| !files_move && of(found, path) < of(listed, path);
    listed.keys().filter(lower).cloned().collect()
}

/// Writes the list anew, if there are not more findings than on it.
pub(super) fn update(workspace: &Workspace, findings: &[Finding]) -> Outcome<()> {
    let (listed, found) = (total(&read(workspace)?), count(findings));
    if total(&found) > listed {
        return Err(Failure::new(format!(
            "{} findings in comments, {listed} before",
            total(&found)
        )));
    }
    let mut text = String::new();
    for (path, count) in &found {
        let _ = writeln!(text, "{count} {path}");
    }
    let path = file(workspace);
    File::create(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| Failure::file("write", &path, &error))?;
    println!("{LIST}: {} findings, {listed} before", total(&found));
    Ok(())
}

fn file(workspace: &Workspace) -> PathBuf {
    workspace.root().join(LIST)
}

fn read(workspace: &Workspace) -> Outcome<Counts> {
    let path = file(workspace);
    let text = fs::read_to_string(&path).map_err(|error| Failure::file("read", &path, &error))?;
    parse(&text).ok_or_else(|| Failure::new(format!("{LIST}: a line is not `COUNT PATH`")))
}

fn parse(text: &str) -> Option<Counts> {
    let mut counts = Counts::new();
    for line in text.lines() {
        let (count, path) = line.split_once(' ')?;
        counts.insert(path.to_owned(), count.parse().ok()?);
    }
    Some(counts)
}

fn count(findings: &[Finding]) -> Counts {
    let mut counts = Counts::new();
    for finding in findings.iter().filter(|finding| RULES.contains(&finding.rule)) {
        *counts.entry(finding.path.clone()).or_default() += 1;
    }
    counts
}

fn total(counts: &Counts) -> usize {
    counts.values().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read() {
        let counts = parse("2 a.rs\n13 b c.py\n").unwrap();
        assert_eq!((counts["a.rs"], counts["b c.py"], total(&counts)), (2, 13, 15));
        assert_eq!(parse("many a.rs"), None);
        assert_eq!(parse("<<<<<<<"), None);
    }

    fn finding(rule: &'static str, path: &str) -> Finding {
        Finding { path: path.to_owned(), line: 1, rule, what: String::new(), reason: "" }
    }

    #[test]
    fn the_counts_only_shrink() {
        let counts = |rows: &[(&str, usize)]| {
            rows.iter().map(|(path, count)| ((*path).to_owned(), *count)).collect::<Counts>()
        };
        // The list, the findings, the number of those reported and the counts that are too high:
        // strictly, and while files move.
        type Reported = (usize, &'static [&'static str]);
        type Rows = &'static [(&'static str, usize)];
        let cases: [(Rows, Rows, Reported, Reported); 4] = [
            (&[("a", 2)], &[("a", 2)], (0, &[]), (0, &[])),
            (&[("a", 2)], &[("a", 3)], (3, &[]), (3, &[])),
            (&[("a", 2)], &[("a", 1)], (0, &["a"]), (0, &[])),
            (&[("old", 2)], &[("new", 2)], (2, &["old"]), (0, &[])),
        ];
        for (listed, found, strictly, moving) in cases {
            for (files_move, expected) in [(false, strictly), (true, moving)] {
                let mut findings = vec![finding("spawn", "a")];
                for (path, count) in found {
                    findings.extend((0..*count).map(|_| finding("plain-words", path)));
                }
                let found = count(&findings);
                let lower = keep_new(&mut findings, &counts(listed), &found, files_move);
                assert_eq!(
                    (findings.len() - 1, &lower[..]),
                    (
                        expected.0,
                        &expected.1.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>()[..]
                    )
                );
            }
        }
    }
}
