//! Names that several types share.
//!
//! A name that means many things cannot be searched for, so it is noted (`docs/style.md`).

use std::collections::BTreeMap;

use crate::source::Source;

const KINDS: [&str; 3] = ["struct ", "enum ", "trait "];
/// So many types may share a name; those of [`SHARED_BY_CUSTOM`] mean the same everywhere.
const MAX_SHARED: usize = 3;
const SHARED_BY_CUSTOM: [&str; 3] = ["Error", "Arguments", "Command"];

/// The names that more than [`MAX_SHARED`] types have outside tests, with their files.
pub(super) fn shared(sources: &[Source]) -> Vec<(&str, Vec<&str>)> {
    let mut names: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for source in sources.iter().filter(|source| source.extension() == "rs") {
        for (number, line) in source.code_lines() {
            if let Some(name) = defined(line).filter(|_| !source.is_test(number)) {
                names.entry(name).or_default().push(&source.path);
            }
        }
    }
    names.retain(|name, files| files.len() > MAX_SHARED && !SHARED_BY_CUSTOM.contains(name));
    names.into_iter().collect()
}

/// The name of the type that the line begins to define.
fn defined(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = match line.strip_prefix("pub") {
        Some(rest) => rest.trim_start_matches(|c: char| c != ' ').trim_start(),
        None => line,
    };
    let rest = KINDS.iter().find_map(|kind| line.strip_prefix(kind))?;
    rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions() {
        assert_eq!(defined("pub(super) struct State<'a> {"), Some("State"));
        assert_eq!(defined("    enum Kind {"), Some("Kind"));
        assert_eq!(defined("pub trait Object: Send {"), Some("Object"));
        assert_eq!(defined("let structure = 1;"), None);
        let file = |path| Source::new(path, "struct Place;\n");
        let sources = ["a.rs", "b.rs", "c.rs", "d.rs", "x/tests/e.rs"].map(file);
        assert_eq!(shared(&sources[..3]), []);
        assert_eq!(shared(&sources), [("Place", vec!["a.rs", "b.rs", "c.rs", "d.rs"])]);
    }
}
