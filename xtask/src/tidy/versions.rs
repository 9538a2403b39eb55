//! The version of the workspace, which stands in one place and is repeated where it must be.

use super::Finding;
use crate::source::Source;

const MANIFEST: &str = "Cargo.toml";
const CHANGELOG: &str = "CHANGELOG.md";
const REASON: &str = "every crate has the version of [workspace.package]; releases are documented";

/// Our crates with another version than the workspace's, and a changelog without this version.
pub(super) fn findings(sources: &[Source]) -> Vec<Finding> {
    let lines = |path: &str| {
        let source = sources.iter().find(|source| source.path == path);
        source.into_iter().flat_map(Source::lines).enumerate()
    };
    let finding = |path: &str, index: usize, what: String| Finding {
        path: path.to_owned(),
        line: index + 1,
        rule: "one-version",
        what,
        reason: REASON,
    };
    let Some(version) = lines(MANIFEST).find_map(|(_, line)| line.strip_prefix("version = "))
    else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for (index, line) in lines(MANIFEST).filter(|(_, line)| line.contains("path = \"crates/")) {
        if line.contains("version = ") && !line.contains(&format!("version = {version}")) {
            findings.push(finding(MANIFEST, index, format!("is not of version {version}")));
        }
    }
    let heading = format!("## {}", version.trim_matches('"'));
    if !lines(CHANGELOG).any(|(_, line)| line.starts_with(&heading)) {
        findings.push(finding(CHANGELOG, 0, format!("has no `{heading}`")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_is_found() {
        let manifest = "[workspace.package]\nversion = \"0.2.0\"\n[workspace.dependencies]\n\
             wire = { path = \"crates/wire\", version = \"0.2.0\" }\n\
             remote = { path = \"crates/remote\", version = \"0.1.0\" }\nserde = \"1.0\"\n";
        let sources =
            [Source::new(MANIFEST, manifest), Source::new(CHANGELOG, "## Unreleased\n## 0.1.0\n")];
        let found: Vec<_> = findings(&sources).iter().map(|f| (f.path.clone(), f.line)).collect();
        assert_eq!(found, [(MANIFEST.to_owned(), 5), (CHANGELOG.to_owned(), 1)]);
    }
}
