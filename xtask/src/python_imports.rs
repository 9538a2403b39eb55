//! Imports between the files of one Python package, read from their text.
//!
//! Owns the meaning of `from .x import y`. Absolute imports lead outside the package.

use std::collections::BTreeMap;

use crate::imports::Imports;
use crate::source::Source;

/// The imports between the Python files below `folder` (`python/ferrolab/`).
pub(crate) fn of_package<'a>(folder: &str, sources: &'a [Source]) -> Imports<'a> {
    let inside = |source: &&Source| source.path.starts_with(folder) && source.extension() == "py";
    let files: BTreeMap<&str, &Source> =
        sources.iter().filter(inside).map(|source| (source.path.as_str(), source)).collect();
    let mut imports = Imports::new();
    for (path, source) in &files {
        let found = imports.entry(*path).or_default();
        for (base, name) in python_imports(source) {
            let module = |path: String| {
                let candidates = [format!("{path}.py"), format!("{path}/__init__.py")];
                candidates.iter().find_map(|path| files.get_key_value(path.as_str()))
            };
            let target = module(format!("{base}/{name}")).or_else(|| module(base.clone()));
            if let Some((target, _)) = target.filter(|(target, _)| *target != path) {
                found.entry(*target).or_default().insert(name);
            }
        }
    }
    imports
}

/// The relative imports of a Python file: the path of the module they name, and a name from it.
fn python_imports(source: &Source) -> Vec<(String, String)> {
    let code: String = source.code_lines().map(|(_, line)| format!("{line}\n")).collect();
    let mut found = Vec::new();
    for part in code.split("from .").skip(1) {
        let Some((module, names)) = part.split_once(" import ") else { continue };
        let dots = module.chars().take_while(|c| *c == '.').count();
        let folder = source.path.split('/').rev().skip(1 + dots).collect::<Vec<_>>();
        let mut base = folder.into_iter().rev().collect::<Vec<_>>().join("/");
        for segment in module[dots..].split('.').filter(|segment| !segment.is_empty()) {
            base = format!("{base}/{segment}");
        }
        let end = if names.starts_with('(') { ')' } else { '\n' };
        let names = names.trim_start_matches('(').split(end).next().unwrap_or_default();
        for name in names.split(',').filter_map(|name| name.split_whitespace().next()) {
            found.push((base.clone(), name.to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_packages() {
        let files = [
            ("p/a.py", "from . import b, c\nfrom .b import (f,\n  g)\nimport os\n"),
            ("p/b.py", "def f():\n    from .w.x import y\n"),
            ("p/c.py", ""),
            ("p/w/x.py", "from .. import c\n"),
        ];
        let expected = [
            "p/a.py -> p/b.py: b f g",
            "p/a.py -> p/c.py: c",
            "p/b.py -> p/w/x.py: y",
            "p/w/x.py -> p/c.py: c",
        ];
        let sources: Vec<_> = files.iter().map(|(path, text)| Source::new(*path, *text)).collect();
        let mut found = Vec::new();
        for (from, targets) in &of_package("p/", &sources) {
            for (to, names) in targets {
                let names: Vec<_> = names.iter().map(String::as_str).collect();
                found.push(format!("{from} -> {to}: {}", names.join(" ")));
            }
        }
        assert_eq!(found, expected);
    }
}
