//! Imports between the files of one crate, read from their text.
//!
//! Owns the meaning of `use` and of paths: a name that a file only passes on (`pub use`) is
//! followed to the file that defines it. Blind to methods and to the output of macros.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::Source;

/// The imports of each file: the file that defines the names, and the names.
pub(crate) type Imports<'a> = BTreeMap<&'a str, BTreeMap<&'a str, BTreeSet<String>>>;

/// A chain of re-exports longer than this is a circle of them.
const MAX_REEXPORTS: usize = 16;

/// The imports between the Rust files below `folder` (`crates/wire/src/`), without tests.
pub(crate) fn of_crate<'a>(folder: &str, sources: &'a [Source]) -> Imports<'a> {
    let modules = Modules::read(folder, sources);
    let mut imports = Imports::new();
    for (module, file) in &modules.files {
        let found = imports.entry(file.path).or_default();
        for (path, name) in &file.uses {
            match modules.definition(module, path, 0) {
                Some(target) if target != file.path => {
                    found.entry(target).or_default().insert(name.clone());
                }
                _ => {}
            }
        }
    }
    imports
}

/// The modules of a crate by their paths (`daemon::call`; empty for the root).
struct Modules<'a> {
    files: BTreeMap<String, File<'a>>,
}

/// A file of a crate, as far as its imports go.
struct File<'a> {
    path: &'a str,
    /// Names of items that it defines.
    defined: BTreeSet<String>,
    /// Names that its `use` items bind, with their paths; `*` for each glob.
    bound: Vec<(String, Vec<String>)>,
    /// Paths that it uses itself, relative or absolute, with the name that stands for each.
    uses: Vec<(Vec<String>, String)>,
}

impl<'a> Modules<'a> {
    fn read(folder: &str, sources: &'a [Source]) -> Self {
        let mut texts = BTreeMap::new();
        for source in sources.iter().filter(|source| source.extension() == "rs") {
            let Some(path) = source.path.strip_prefix(folder) else { continue };
            texts.insert(module_path(path), source);
        }
        let mut tests = Vec::new();
        let mut files = BTreeMap::new();
        for (module, source) in texts {
            let (tokens, test_modules) = tokens(source);
            tests.extend(test_modules.into_iter().map(|name| join(&module, &name)));
            files.insert(module, File::read(&source.path, &tokens));
        }
        files.retain(|module, file| {
            let inside = |test: &String| module == test || module.starts_with(&format!("{test}::"));
            !tests.iter().any(inside) && !file.path.ends_with("/tests.rs")
        });
        Modules { files }
    }

    /// The file that defines the item at `path` as module `from` writes it; `None` for modules and
    /// for another crate's items.
    fn definition(&self, from: &str, path: &[String], depth: usize) -> Option<&'a str> {
        let absolute = self.absolute(from, path, depth)?;
        let (module, rest) = self.descend(&absolute);
        let file = self.files.get(&module)?;
        let (name, _) = rest.split_first()?;
        if file.defined.contains(name) || depth > MAX_REEXPORTS {
            return Some(file.path);
        }
        for (bound, target) in &file.bound {
            let mut target = target.clone();
            if bound == name {
                target.extend_from_slice(&rest[1..]);
                return self.definition(&module, &target, depth + 1);
            }
            if bound == "*" && target.first() != Some(name) {
                target.extend_from_slice(rest);
                let found = self.definition(&module, &target, depth + 1);
                let defines = |path: &&str| {
                    self.files
                        .values()
                        .any(|file| file.path == *path && file.defined.contains(name))
                };
                if found.as_ref().is_some_and(defines) {
                    return found;
                }
            }
        }
        Some(file.path)
    }

    /// The path from the crate's root; `None` if it leads into another crate.
    fn absolute(&self, from: &str, path: &[String], depth: usize) -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        let mut base: Vec<String> = split(from);
        match first.as_str() {
            "crate" => base.clear(),
            "self" => {}
            "super" => {
                base.pop();
            }
            name if self.files.contains_key(&join(from, name)) => base.push(name.to_owned()),
            name => {
                let file = self.files.get(from)?;
                if file.defined.contains(name) {
                    base.push(name.to_owned());
                } else {
                    let (_, target) = file.bound.iter().find(|(bound, _)| bound == name)?;
                    if depth > MAX_REEXPORTS || target.first() == Some(first) {
                        return None;
                    }
                    base = self.absolute(from, target, depth + 1)?;
                }
            }
        }
        let mut rest = rest;
        while rest.first().is_some_and(|segment| segment == "super") {
            base.pop();
            rest = &rest[1..];
        }
        base.extend_from_slice(rest);
        Some(base)
    }

    /// The deepest module on the way of `path`, and the rest of the path inside it.
    fn descend<'p>(&self, path: &'p [String]) -> (String, &'p [String]) {
        let mut module = String::new();
        for (index, segment) in path.iter().enumerate() {
            let next = join(&module, segment);
            if !self.files.contains_key(&next) {
                return (module, &path[index..]);
            }
            module = next;
        }
        (module, &[])
    }
}

impl<'a> File<'a> {
    fn read(path: &'a str, tokens: &[String]) -> Self {
        let mut file = File { path, defined: BTreeSet::new(), bound: Vec::new(), uses: Vec::new() };
        let mut reexported = Vec::new();
        let mut words = BTreeSet::new();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            let next = tokens.get(at + 1).map(String::as_str).unwrap_or_default();
            if token == "use" && next != "<" {
                let end = at + tokens[at..].iter().take_while(|token| *token != ";").count();
                let mut bindings = Vec::new();
                read_tree(&tokens[at + 1..end], &mut 0, &[], &mut bindings);
                let public = at > 0 && ["pub", ")"].contains(&tokens[at - 1].as_str());
                for (name, path) in bindings {
                    if public {
                        reexported.push((path.clone(), name.clone()));
                    } else {
                        file.uses.push((path.clone(), name.clone()));
                    }
                    file.bound.push((name, path));
                }
                at = end;
                continue;
            }
            const ITEMS: [&str; 9] =
                ["struct", "enum", "trait", "fn", "type", "const", "static", "union", "macro"];
            if ITEMS.contains(&token.as_str()) && is_name(next) {
                file.defined.insert(next.to_owned());
            }
            if is_name(token) {
                words.insert(token.as_str());
                let path = read_path(&tokens[at..]);
                at += 2 * path.len() - 1;
                if path.len() > 1 {
                    let name = path[path.len() - 1].clone();
                    file.uses.push((path, name));
                }
                continue;
            }
            at += 1;
        }
        // A re-exported name is an import only if the file itself uses it.
        reexported.retain(|(_, name)| words.contains(name.as_str()));
        file.uses.extend(reexported);
        file
    }
}

/// A path at the beginning of `tokens`: names with `::` between them.
fn read_path(tokens: &[String]) -> Vec<String> {
    let mut path = vec![tokens[0].clone()];
    let mut rest = &tokens[1..];
    while let [colons, name, behind @ ..] = rest {
        if colons != "::" || !is_name(name) {
            break;
        }
        path.push(name.clone());
        rest = behind;
    }
    path
}

/// The names that a tree of `use` binds, with their paths.
fn read_tree(
    tokens: &[String],
    at: &mut usize,
    prefix: &[String],
    bindings: &mut Vec<(String, Vec<String>)>,
) {
    let mut path = prefix.to_vec();
    while let Some(token) = tokens.get(*at) {
        *at += 1;
        match token.as_str() {
            "{" => loop {
                read_tree(tokens, at, &path, bindings);
                *at += 1;
                if tokens.get(*at - 1).is_none_or(|token| token != ",") {
                    return;
                }
            },
            "}" | "," => {
                *at -= 1;
                break;
            }
            "::" => {}
            "as" => {
                let name = tokens.get(*at).cloned().unwrap_or_default();
                *at += 1;
                bindings.push((name, path));
                return;
            }
            "*" => {
                bindings.push(("*".to_owned(), path));
                return;
            }
            "self" if path.len() == prefix.len() && !prefix.is_empty() => {}
            name => path.push(name.to_owned()),
        }
    }
    if let Some(name) = path.last().filter(|_| path.len() >= prefix.len().max(1)) {
        bindings.push((name.clone(), path));
    }
}

/// The tokens of a file that imports depend on, without tests; and the names of its test modules.
fn tokens(source: &Source) -> (Vec<String>, Vec<String>) {
    let (mut shipped, mut tests) = (Vec::new(), Vec::new());
    for (number, line) in source.code_lines() {
        if source.is_test(number) {
            let words: Vec<_> = line.split_whitespace().collect();
            if let ["mod", name] | [_, "mod", name] = words[..] {
                tests.push(name.trim_end_matches(';').to_owned());
            }
            continue;
        }
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let name = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_');
            let length = name.map(char::len_utf8).sum::<usize>();
            let length = match length {
                0 if rest.starts_with("::") => 2,
                0 => first.len_utf8(),
                length => length,
            };
            if !first.is_whitespace() {
                shipped.push(rest[..length].to_owned());
            }
            rest = &rest[length..];
        }
    }
    (shipped, tests)
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The module of a file below `src`: `daemon/call/mod.rs` is `daemon::call`.
fn module_path(file: &str) -> String {
    let path = file.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    if ["lib", "main"].contains(&path) { String::new() } else { path.replace('/', "::") }
}

fn split(module: &str) -> Vec<String> {
    module.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn join(module: &str, name: &str) -> String {
    if module.is_empty() { name.to_owned() } else { format!("{module}::{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<_> = files.iter().map(|(path, text)| Source::new(*path, *text)).collect();
        let imports = of_crate("c/src/", &sources);
        let mut lines = Vec::new();
        for (from, targets) in &imports {
            for (to, names) in targets {
                let names: Vec<_> = names.iter().map(String::as_str).collect();
                let file = |path: &str| path.trim_start_matches("c/src/").to_owned();
                lines.push(format!("{} -> {}: {}", file(from), file(to), names.join(" ")));
            }
        }
        lines
    }

    #[test]
    fn names_are_followed_to_their_files() {
        let lib = ("c/src/lib.rs", "mod a;\nmod b;\npub use a::inner::{A, make};\n");
        let a = ("c/src/a/mod.rs", "mod inner;\npub(crate) use inner::*;\nstruct Own;\n");
        let inner = ("c/src/a/inner.rs", "pub struct A;\npub fn make() -> super::Own {}\n");
        let cases: &[(&str, &[&str])] = &[
            ("use crate::A;", &["b.rs -> a/inner.rs: A"]),
            ("use crate::a::A as X;", &["b.rs -> a/inner.rs: X"]),
            (
                "use super::a::{Own, inner::{self, make}};",
                &["b.rs -> a/inner.rs: make", "b.rs -> a/mod.rs: Own"],
            ),
            ("use crate::a;\nfn f(x: a::Own) {}", &["b.rs -> a/mod.rs: Own"]),
            ("fn f() { crate::a::inner::A::new() }", &["b.rs -> a/inner.rs: new"]),
            ("pub use crate::a::Own;", &[]),
            ("pub use crate::a::Own;\nfn f() -> Own {}", &["b.rs -> a/mod.rs: Own"]),
            ("use std::fmt;\nuse tokio::a::Own;\nimpl fmt::Display for X {}", &[]),
            ("#[cfg(test)]\nmod tests {\n use crate::a::Own;\n}", &[]),
        ];
        for (text, expected) in cases {
            let mut found = imports(&[lib, a, inner, ("c/src/b.rs", text)]);
            let own = "a/inner.rs -> a/mod.rs: Own".to_owned();
            assert_eq!(found.remove(0), own);
            assert_eq!(found, *expected, "{text}");
        }
    }

    #[test]
    fn test_modules_are_left_out() {
        let files = [
            ("c/src/lib.rs", "mod a;\n#[cfg(test)]\nmod check;\n"),
            ("c/src/a.rs", "struct A;\n"),
            ("c/src/check.rs", "use crate::a::A;\n"),
            ("c/src/a/tests.rs", "use crate::a::A;\n"),
        ];
        assert_eq!(imports(&files), Vec::<String>::new());
    }
}
