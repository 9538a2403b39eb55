//! The tidy test: rules of the house that no compiler checks.
//!
//! Owns reading the files and printing the findings. The rules are in `rules`, exceptions with a
//! reason in `exceptions`, and those that only have to become fewer in `ratchet`.

mod docs;
mod exceptions;
mod prose;
mod ratchet;
mod rules;
mod type_names;
mod versions;

use std::fmt;
use std::fs;

use crate::failure::{Failure, Outcome};
use crate::source::Source;
use crate::workspace::Workspace;

/// A line that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    line: usize,
    rule: &'static str,
    what: String,
    reason: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { path, line, rule, what, reason } = self;
        write!(f, "{path}:{line}: {rule}: {what} [{reason}]")
    }
}

/// Reads every file of the workspace and refuses what breaks a rule.
pub(crate) fn check(workspace: &Workspace) -> Outcome<()> {
    let sources = read(workspace)?;
    for source in &sources {
        if let Some(lines) = rules::nearly_too_long(source) {
            println!("{}:{lines}: note: nears the limit, split it by meaning soon", source.path);
        }
    }
    for (name, files) in type_names::shared(&sources) {
        println!("note: {} types are called {name}: {}", files.len(), files.join(", "));
    }
    let mut findings: Vec<_> = sources.iter().flat_map(rules::findings).collect();
    let lower = ratchet::apply(workspace, &mut findings)?;
    let unused = exceptions::apply(&mut findings);
    findings.extend(versions::findings(&sources));
    findings.extend(docs::findings(&sources, &workspace.crates()?));
    for finding in &findings {
        println!("{finding}");
    }
    for exception in &unused {
        println!("xtask/src/tidy/exceptions.rs: {exception} excepts nothing any more: remove it");
    }
    for path in &lower {
        println!("{path}: fewer findings than listed: `cargo xtask tidy --update-exceptions`");
    }
    match findings.len() + unused.len() + lower.len() {
        0 => println!("{} files, no finding", sources.len()),
        found => return Err(Failure::new(format!("{found} findings"))),
    }
    Ok(())
}

/// Writes the list of comments that break a rule anew; it may only become shorter.
pub(crate) fn update_exceptions(workspace: &Workspace) -> Outcome<()> {
    let findings: Vec<_> = read(workspace)?.iter().flat_map(rules::findings).collect();
    ratchet::update(workspace, &findings)
}

fn read(workspace: &Workspace) -> Outcome<Vec<Source>> {
    let mut sources = Vec::new();
    for path in workspace.files()? {
        let file = workspace.root().join(&path);
        let bytes = fs::read(&file).map_err(|error| Failure::file("read", &file, &error))?;
        // A file that is no text (an image, recorded bytes) has no lines to check.
        if let Ok(text) = String::from_utf8(bytes) {
            sources.push(Source::new(path, text));
        }
    }
    Ok(sources)
}
