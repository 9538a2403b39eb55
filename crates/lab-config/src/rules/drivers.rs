//! Python sources of services, read and not imported: members that nobody can call, `parameters`
//! that nothing reads.
//!
//! A warning needs a text that leaves no doubt. A class with a base from another file is left to
//! the worker, which imports it.

use std::collections::HashSet;
use std::io::Read;
use std::path::Path;

use super::{Rules, shown};
use crate::Folder;
use crate::data::Data;
use crate::model::{Expose, Service, Target};
use crate::problem::quoted;

/// Bytes of a source that is looked at, at most.
const MAX_SOURCE: u64 = 1024 * 1024;
/// Bases without members of interest, as classes name them.
const EMPTY_BASES: [&str; 4] = ["object", "ABC", "abc.ABC", ""];

impl Rules<'_> {
    pub(super) fn drivers(&mut self, folder: Option<&Folder>) {
        let Some(folder) = folder.filter(|_| !self.findings.has_problems()) else { return };
        let configuration = self.configuration;
        for service in &configuration.services {
            let Target::Python { module, classname: Some(classname) } = &service.target else {
                continue;
            };
            let python = configuration.python_for(service);
            let places = python.path.iter().map(|path| folder.place(path));
            let mut places = places.chain([folder.base.clone()]);
            let Some(text) = places.find_map(|place| source(&place, module)) else { continue };
            let Some(classes) = class_and_bases(&text, classname) else { continue };
            self.unexposed(service, classname, &text, &classes);
            self.unread_parameters(service, classname, &text);
        }
    }

    fn unexposed(&mut self, service: &Service, classname: &str, text: &str, classes: &[Class<'_>]) {
        let (fault, help) = match &service.expose {
            Expose::Decorated if !may_expose(text, classes) => {
                ("has no member marked with @expose", "mark its methods, or write `expose: all`")
            }
            Expose::All if classes.iter().all(|class| is_empty(class.body)) => {
                ("has no members", "name another class")
            }
            _ => return,
        };
        let message = format!("it exposes nothing: {} {fault}", quoted(classname));
        self.warn_of_service(service, "classname", message, help);
    }

    fn unread_parameters(&mut self, service: &Service, classname: &str, text: &str) {
        let has_parameters =
            matches!(&service.parameters, Data::Map(entries) if !entries.is_empty());
        if !has_parameters || text.contains("autoconnect") {
            return;
        }
        let message = format!(
            "nothing reads the `parameters`: {} has no autoconnect(), as PyroLab's instruments have",
            quoted(classname)
        );
        let help = "write `arguments`, which its constructor is called with";
        self.warn_of_service(service, "parameters", message, help);
    }

    fn warn_of_service(&mut self, service: &Service, key: &str, message: String, help: &str) {
        let path = ["services", service.name.as_str(), key];
        if let Some(mark) = self.sound(&path) {
            self.findings.warn(mark.key, &shown(&path), message, help);
        }
    }
}

/// The text of a module in a folder.
fn source(place: &Path, module: &str) -> Option<String> {
    let path = place.join(module.replace('.', "/"));
    let file = [path.with_extension("py"), path.join("__init__.py")];
    let file = file.into_iter().find(|file| file.is_file())?;
    let mut text = String::new();
    std::fs::File::open(file).ok()?.take(MAX_SOURCE).read_to_string(&mut text).ok()?;
    Some(text)
}

/// A class of a module.
struct Class<'a> {
    name: &'a str,
    body: &'a str,
}

/// A class and its bases; none where one of them is not in this text.
fn class_and_bases<'a>(text: &'a str, classname: &'a str) -> Option<Vec<Class<'a>>> {
    let (mut wanted, mut seen) = (vec![classname], HashSet::new());
    let mut classes = Vec::new();
    while let Some(name) = wanted.pop() {
        if !seen.insert(name) {
            continue;
        }
        let (bases, body) = class_block(text, name)?;
        classes.push(Class { name, body });
        wanted.extend(bases);
    }
    Some(classes)
}

/// Whether one of these classes may have a member that is exposed: anything that is said of
/// `expose`, but for its import, and for decorators of others.
fn may_expose(text: &str, classes: &[Class<'_>]) -> bool {
    let place_of = |part: &str| (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    text.match_indices("expose").any(|(offset, _)| {
        let is_within = |class: &Class<'_>| {
            let begin = place_of(class.body);
            (begin..begin + class.body.len()).contains(&offset)
        };
        if classes.iter().any(is_within) {
            return true;
        }
        let (before, after) = text.split_at(offset);
        let begin = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = text.get(begin..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let word = line.trim();
        if word.starts_with("from ") || word.starts_with("import ") {
            return word.contains("expose as ");
        }
        if word.starts_with('@') {
            let decorated = decorated_class(after);
            let is_one = |class: &Class<'_>| decorated == Some(class.name);
            return !line.starts_with(' ') && classes.iter().any(is_one);
        }
        // A line of a long import.
        !(word.starts_with('#') || matches!(word, "expose" | "expose,"))
    })
}

/// The class that a decorator at the margin belongs to, from the decorator on.
fn decorated_class(text: &str) -> Option<&str> {
    let mut lines = text.lines().skip(1);
    let next = lines.find(|line| !line.is_empty() && !line.starts_with(['@', '#', ' ', '\t', ')']));
    next?.strip_prefix("class ")?.split(['(', ':']).next()
}

/// The bases of a class of the module, and its body. None for a class that is defined twice, or in
/// a way that is not plain.
fn class_block<'a>(text: &'a str, name: &str) -> Option<(Vec<&'a str>, &'a str)> {
    let begin = format!("class {name}");
    let mut found = None;
    for (offset, _) in text.match_indices(&begin) {
        let is_whole = text.get(offset + begin.len()..)?.starts_with(['(', ':']);
        let is_at_margin = offset == 0 || text.get(..offset)?.ends_with('\n');
        if is_whole && is_at_margin && found.replace(offset).is_some() {
            return None;
        }
    }
    let rest = text.get(found? + begin.len()..)?;
    let (head, body) = rest.split_once(':')?;
    let bases = head.trim().trim_start_matches('(').trim_end_matches(')');
    let mut known = Vec::new();
    for base in bases.split(',').map(str::trim) {
        if base.starts_with("metaclass=") || EMPTY_BASES.contains(&base) {
            continue;
        }
        if !base.chars().all(|letter| letter.is_alphanumeric() || letter == '_') {
            return None;
        }
        known.push(base);
    }
    // Up to the next line that begins at the margin.
    let mut end = body.len();
    for (offset, _) in body.match_indices('\n') {
        let next = body.get(offset + 1..)?;
        if !next.starts_with([' ', '\t', '\n', '\r', '#', ')']) {
            end = offset;
            break;
        }
    }
    Some((known, body.get(..end)?))
}

/// Whether a body defines nothing: `pass`, or a docstring.
fn is_empty(block: &str) -> bool {
    !block.contains("def ") && !block.contains('=') && !block.contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_exposes_what_is_said_to_be_exposed() {
        let plain = "class Meter:\n    def read(self): pass\n";
        let imports = "from Pyro5.api import (\n    Proxy,\n    expose,\n)\nimport Pyro5.api\n";
        let other =
            "@expose\n@behavior(x=1)\nclass Supply(object):\n    @expose\n    def on(self): pass\n";
        let cases = [
            (String::new(), "", false),
            (format!("{imports}# expose nothing\n{other}"), "", false),
            (String::new(), "    @Pyro5.api.expose\n    def on(self): pass\n", true),
            ("@Pyro5.api.expose\n# why\n@behavior()\n".to_owned(), "", true),
            (String::new(), "\n\nMeter = expose(Meter)\n", true),
            (String::new(), "\n\nfor one in (Meter, Supply): Pyro5.api.expose(one)\n", true),
            ("from Pyro5.api import expose as remote\n".to_owned(), "", true),
            (String::new(), "\ndef add():\n    setattr(Meter, 'on', expose(on))\n", true),
        ];
        for (before, after, exposes) in cases {
            let text = format!("{before}{plain}{after}");
            let classes = class_and_bases(&text, "Meter").unwrap();
            assert_eq!(may_expose(&text, &classes), exposes, "{text}");
        }
        let base = "@expose\nclass Base:\n    def on(self): pass\n\nclass Meter(Base):\n    pass\n";
        let classes = class_and_bases(base, "Meter").unwrap();
        assert!(may_expose(base, &classes));
    }
}
