//! The tidy test: rules of the house that no compiler checks.
//!
//! Owns reading the files and printing the findings. The rules are in `rules`; no file is excepted
//! from them.

mod docs;
mod prose;
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
    findings.extend(versions::findings(&sources));
    findings.extend(docs::findings(&sources, &workspace.crates()?));
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => println!("{} files, no finding", sources.len()),
        found => return Err(Failure::new(format!("{found} findings"))),
    }
    Ok(())
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
