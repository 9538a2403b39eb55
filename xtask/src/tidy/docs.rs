//! The pages that must name every crate.

use super::Finding;
use crate::source::{Source, has_word};

const PAGES: [&str; 2] = ["ARCHITECTURE.md", "CHANGELOG.md"];
const REASON: &str = "a crate that the page does not name is one that nobody finds";

/// The crates that a page does not name.
pub(super) fn findings(sources: &[Source], crates: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for page in PAGES {
        let text = sources.iter().find(|source| source.path == page);
        for name in crates {
            if !text.is_some_and(|source| source.lines().any(|line| has_word(line, name))) {
                findings.push(Finding {
                    path: page.to_owned(),
                    line: 1,
                    rule: "crate-named",
                    what: match text {
                        Some(_) => format!("crate `{name}` is not named"),
                        None => format!("the page is missing; crate `{name}` is not named"),
                    },
                    reason: REASON,
                });
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_crate_is_named_on_every_page() {
        let crates = ["wire".to_owned(), "remote".to_owned()];
        let architecture = Source::new("ARCHITECTURE.md", "`wire`, then crates/remote.");
        let changelog = Source::new("CHANGELOG.md", "- wires were added");
        let sources = [architecture, changelog];
        let found: Vec<_> = findings(&sources, &crates).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found.iter().all(|finding| finding.starts_with("CHANGELOG.md:1: crate-named")));
        assert_eq!(findings(&sources[..1], &crates).len(), 2);
    }
}
