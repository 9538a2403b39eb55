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

/// Removes the listed findings. A renamed file keeps its allowance: while all files together have
/// no more findings than the list, not one is reported.
pub(super) fn apply(workspace: &Workspace, findings: &mut Vec<Finding>) -> Outcome<()> {
    let (listed, found) = (read(workspace)?, count(findings));
    if total(&found) <= total(&listed) {
        println!("{} findings in comments left of {}", total(&found), total(&listed));
        findings.retain(|finding| !RULES.contains(&finding.rule));
    } else {
        findings.retain(|finding| {
            let count = |counts: &Counts| counts.get(&finding.path).copied().unwrap_or(0);
            !RULES.contains(&finding.rule) || count(&found) > count(&listed)
        });
    }
    Ok(())
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

    #[test]
    fn only_findings_of_the_comment_rules_count() {
        let finding = |rule, path: &str| Finding {
            path: path.to_owned(),
            line: 1,
            rule,
            what: String::new(),
            reason: "",
        };
        let findings = [
            finding("plain-words", "a.rs"),
            finding("comment-width", "a.rs"),
            finding("spawn", "a.rs"),
        ];
        assert_eq!(count(&findings), Counts::from([("a.rs".to_owned(), 2)]));
    }
}
