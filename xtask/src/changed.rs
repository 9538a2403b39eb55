//! Tests that a change asks for: those of the changed crates, and the Python test files that
//! changed.
//!
//! Owns the map from changed files to tests; git tells the files. The tests of crates that depend
//! on a changed one are left to a whole run: for a change at the bottom they are all tests.

use std::collections::BTreeSet;

use crate::failure::Outcome;
use crate::process;
use crate::workspace::Workspace;

/// Folders of packages outside `crates/`.
const OTHER_PACKAGES: [&str; 3] = ["bench/load", "fuzz/harness", "xtask"];
/// The crate that embeds the worker's script.
const EMBEDS_WORKER: &str = "crates/py-worker";

/// The tests to run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tests {
    /// Names of packages.
    pub(crate) packages: BTreeSet<String>,
    /// Files and folders for pytest.
    pub(crate) python: BTreeSet<String>,
    /// Whether a file changed that any Python test may depend on.
    pub(crate) harness: bool,
}

/// The tests of everything that changed since the branch left the main line, committed or not.
pub(crate) fn tests(workspace: &Workspace) -> Outcome<Tests> {
    let base = base(workspace)?;
    let mut files = git(workspace, &["diff", "--name-only", &base])?;
    files.push_str(&git(workspace, &["ls-files", "--others", "--exclude-standard"])?);
    let mut folders: Vec<String> =
        workspace.crates()?.into_iter().map(|name| format!("crates/{name}")).collect();
    folders.extend(OTHER_PACKAGES.map(str::to_owned));
    let changed = sort(files.lines(), &folders);
    println!(
        "{} changed since {}",
        plural(files.lines().count(), "file"),
        &base[..base.len().min(9)]
    );

    let mut tests = Tests { python: changed.python, harness: changed.harness, ..Tests::default() };
    tests.python.retain(|path| workspace.root().join(path).exists());
    for folder in &changed.folders {
        tests.packages.insert(workspace.package_name(folder)?);
    }
    Ok(tests)
}

/// The commit that the change is measured from: where the branch left its upstream or `main`; on
/// `main` itself the last commit, if nothing is uncommitted.
fn base(workspace: &Workspace) -> Outcome<String> {
    let head = git(workspace, &["rev-parse", "HEAD"])?.trim().to_owned();
    for line in ["@{upstream}", "origin/main", "main"] {
        let Ok(base) = git(workspace, &["merge-base", "HEAD", line]) else { continue };
        if base.trim() != head {
            return Ok(base.trim().to_owned());
        }
    }
    let clean = git(workspace, &["status", "--porcelain"])?.is_empty();
    let parent = git(workspace, &["rev-parse", "HEAD~1"]).ok().filter(|_| clean);
    Ok(parent.map_or(head, |parent| parent.trim().to_owned()))
}

fn git(workspace: &Workspace, arguments: &[&str]) -> Outcome<String> {
    process::output(process::command("git").current_dir(workspace.root()).args(arguments))
        .map_err(|failure| failure.hint("`--quick` asks git what changed"))
}

/// Changed files as the folders of packages and the paths for pytest.
#[derive(Debug, Default, PartialEq, Eq)]
struct Changed {
    folders: BTreeSet<String>,
    python: BTreeSet<String>,
    harness: bool,
}

fn sort<'a>(files: impl Iterator<Item = &'a str>, folders: &[String]) -> Changed {
    let mut changed = Changed::default();
    for file in files {
        let name = file.rsplit('/').next().unwrap_or_default();
        if ["Cargo.toml", "Cargo.lock"].contains(&file) {
            changed.folders.extend(folders.iter().cloned());
        } else if let Some(folder) = folders.iter().find(|f| file.starts_with(&format!("{f}/"))) {
            changed.folders.insert(folder.clone());
        } else if file.starts_with("python/ferrolab/") {
            changed.folders.insert(EMBEDS_WORKER.to_owned());
            changed.python.insert("python/tests".to_owned());
        } else if file.ends_with(".py") && name.starts_with("test_") {
            changed.python.insert(file.to_owned());
        } else if file.starts_with("tests/") || file.starts_with("python/tests/") {
            changed.harness = true;
        }
    }
    changed
}

fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_file_asks_for_its_tests() {
        let folders = ["crates/wire", "crates/py-worker", "xtask"].map(str::to_owned);
        let cases: &[(&str, &[&str], &[&str], bool)] = &[
            ("crates/wire/src/lib.rs", &["crates/wire"], &[], false),
            ("crates/wired/src/lib.rs", &[], &[], false),
            ("Cargo.lock", &["crates/py-worker", "crates/wire", "xtask"], &[], false),
            ("python/ferrolab/worker/calls.py", &["crates/py-worker"], &["python/tests"], false),
            ("tests/test_down.py", &[], &["tests/test_down.py"], false),
            ("tests/harness/lab.py", &[], &[], true),
            ("docs/locking.md", &[], &[], false),
        ];
        for (file, packages, python, harness) in cases {
            let expected =
                Changed { folders: set(packages), python: set(python), harness: *harness };
            assert_eq!(sort([*file].into_iter(), &folders), expected, "{file}");
        }
    }
}
