//! Exceptions from the tidy rules, each with its reason.
//!
//! An exception names one file; one that is not needed any more is itself a finding.

use super::Finding;

/// `(rule, file, reason)`
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("plain-words", "crates/ferrolab/src/cli/act.rs", HELP),
    ("plain-words", "crates/ferrolab/src/cli/ns/register.rs", HELP),
    ("plain-words", "crates/ferrolab/src/cli/unlock.rs", HELP),
    ("plain-words", "crates/ferrolab/src/cli/up.rs", HELP),
];

const HELP: &str = "the help texts that users see have not been rewritten yet";

/// Takes the excepted findings out and returns the exceptions that excepted nothing.
pub(super) fn apply(findings: &mut Vec<Finding>) -> Vec<String> {
    apply_table(EXCEPTIONS, findings)
}

fn apply_table(table: &[(&str, &str, &str)], findings: &mut Vec<Finding>) -> Vec<String> {
    let mut unused = Vec::new();
    for (rule, path, _reason) in table {
        let before = findings.len();
        findings.retain(|finding| finding.rule != *rule || finding.path != *path);
        if findings.len() == before {
            unused.push(format!("{rule} in {path}"));
        }
    }
    unused
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(rule: &'static str, path: &str) -> Finding {
        Finding { path: path.to_owned(), line: 1, rule, what: String::new(), reason: "" }
    }

    #[test]
    fn an_exception_takes_its_own_findings_only() {
        let table = [("spawn", "a.rs", "it must"), ("spawn", "gone.rs", "it had to")];
        let mut findings =
            vec![finding("spawn", "a.rs"), finding("spawn", "b.rs"), finding("yaml", "a.rs")];
        assert_eq!(apply_table(&table, &mut findings), ["spawn in gone.rs"]);
        assert_eq!(findings, [finding("spawn", "b.rs"), finding("yaml", "a.rs")]);
    }

    #[test]
    fn every_exception_has_a_reason() {
        for (rule, path, reason) in EXCEPTIONS {
            assert!(reason.split_whitespace().count() >= 3, "{rule} in {path}: why?");
        }
    }
}
