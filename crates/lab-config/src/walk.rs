//! Walk over a file's tree that checks keys and values against the schema.
//!
//! Owns the order of the walk and the marks that say where each value was written. The walk
//! continues after a problem with the default in place of the wrong value, so that all problems are
//! found. Must not know rules between several values; those are in `rules`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::config_text::{ConfigText, Place};
use super::data::Data;
use super::problem::{Findings, quoted, shortened};
use super::scalar::{Form, Meaning, Scalar};
use super::schema::{Field, Section, TOP, ValueKind};
use super::tree::{self, Content, Node, Pair};
use super::{advice, auto};

/// Names of objects that every daemon or nameserver has.
pub(crate) const RESERVED_NAMES: [&str; 2] = ["Pyro.Daemon", "Pyro.NameServer"];

/// Where a value was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    /// Its key; the value itself in a list.
    pub key: Place,
    /// The value.
    pub value: Place,
    /// Whether the value is the one that was written, and not a default in place of a wrong one.
    pub sound: bool,
}

/// The marks of all values that were written, by the keys that lead there; an item of a list has
/// its number as its key.
#[derive(Debug, Default)]
pub(crate) struct Marks(HashMap<Vec<String>, Mark>);

impl Marks {
    /// The mark of a value, if it was written.
    pub(crate) fn get(&self, keys: &[&str]) -> Option<Mark> {
        self.0.get(&keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>()).copied()
    }
}

/// Walks a whole file. The data deserializes into a `Configuration`, whatever was found.
pub(crate) fn walk(findings: &mut Findings, host: &str, root: &Node) -> (Data, Marks) {
    let mut walk = Walk {
        findings,
        host,
        trail: Vec::new(),
        marks: Marks::default(),
        defaults: HashMap::new(),
    };
    let data = match walk.group(&TOP, root) {
        Some(data) => data,
        None => walk.all_defaults(&TOP),
    };
    (data, walk.marks)
}

/// The state of a walk.
pub(crate) struct Walk<'w> {
    pub(super) findings: &'w mut Findings,
    host: &'w str,
    trail: Vec<String>,
    marks: Marks,
    /// Defaults by section and key, so that each is read once.
    defaults: HashMap<(&'static str, &'static str), Data>,
}

impl Walk<'_> {
    /// A mapping with known keys, complete with defaults; `None` if it is no mapping.
    pub(super) fn group(&mut self, section: &'static Section, node: &Node) -> Option<Data> {
        let what = match section.key {
            "" => "a mapping with keys such as `daemons` and `services`".to_owned(),
            _ => format!("a mapping with keys of {}", section.one),
        };
        let Content::Map(pairs) = &*node.content else {
            let help = match section.fields {
                [field, ..] if section.key.is_empty() => {
                    format!("{}: {}", field.key, field.example)
                }
                _ => "{}".to_owned(),
            };
            return self.not_a_mapping(node, &what, &help);
        };
        let mut values: HashMap<&str, Data> = HashMap::new();
        for pair in pairs {
            let known = section.fields.iter().find(|field| field.key == pair.key.text);
            let Some(field) = known else {
                self.unknown_key(section, pair);
                continue;
            };
            self.trail.push(field.key.to_owned());
            let value = self.value(field, &pair.value);
            self.mark(pair.place, pair.value.place, value.is_some());
            self.trail.pop();
            values.extend(value.map(|value| (field.key, value)));
        }
        let mut complete = Vec::new();
        for field in section.fields {
            let value = match values.remove(field.key) {
                Some(value) => value,
                None => self.default(section, field),
            };
            complete.push((field.key.to_owned(), value));
        }
        Some(Data::Map(complete))
    }

    /// A mapping from names to mappings with known keys, as a list in which each has its name.
    pub(super) fn entries(&mut self, section: &'static Section, node: &Node) -> Option<Data> {
        let Content::Map(pairs) = &*node.content else {
            let what = format!("a mapping from names to {}", section.key);
            return self.not_a_mapping(node, &what, "{}");
        };
        let mut taken: HashSet<String> = pairs.iter().map(|pair| pair.key.text.clone()).collect();
        let mut ordinal = 0;
        let mut entries = Vec::new();
        for pair in pairs {
            let name = if auto::is_auto(&pair.key.text) {
                let words = self.auto_words(pair);
                let name =
                    auto::name(self.host, section.key, ordinal, words, |name| taken.contains(name));
                ordinal += 1;
                taken.insert(name.clone());
                name
            } else {
                pair.key.text.clone()
            };
            self.trail.push(name.clone());
            if !auto::is_auto(&pair.key.text) {
                self.check_name(section, pair);
            }
            let entry = self.group(section, &pair.value);
            self.mark(pair.place, pair.value.place, entry.is_some());
            self.trail.pop();
            let entry = match entry {
                Some(entry) => entry,
                None => self.all_defaults(section),
            };
            let Data::Map(mut fields) = entry else { continue };
            self.under(&name, |walk| walk.finish(section, pair, &mut fields));
            fields.insert(0, ("name".to_owned(), Data::Text(name)));
            entries.push(Data::Map(fields));
        }
        Some(Data::List(entries))
    }

    /// Items of a list that are right, each with its mark under its number among those.
    pub(super) fn items(
        &mut self,
        nodes: &[Node],
        mut item: impl FnMut(&mut Self, &Node) -> Option<Data>,
    ) -> Vec<Data> {
        let mut items = Vec::new();
        for (index, node) in nodes.iter().enumerate() {
            self.trail.push(format!("[{index}]"));
            let value = item(self, node);
            self.trail.pop();
            if let Some(value) = value {
                self.trail.push(items.len().to_string());
                self.mark(node.place, node.place, true);
                self.trail.pop();
                items.push(value);
            }
        }
        items
    }

    /// Runs a step with one more key in the paths of its problems.
    pub(super) fn under<T>(&mut self, key: &str, step: impl FnOnce(&mut Self) -> T) -> T {
        self.trail.push(key.to_owned());
        let result = step(self);
        self.trail.pop();
        result
    }

    /// Reports a problem at a place in the value that is being walked.
    pub(super) fn error(
        &mut self,
        place: Place,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let path = self.path();
        self.findings.error(place, &path, message, help);
    }

    /// The same as [`Walk::error`] for something that does no harm.
    pub(super) fn warn(
        &mut self,
        place: Place,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let path = self.path();
        self.findings.warn(place, &path, message, help);
    }

    /// Reports that a value should be a mapping; nothing if it was reported already.
    pub(super) fn not_a_mapping<T>(&mut self, node: &Node, what: &str, empty: &str) -> Option<T> {
        let help = match &*node.content {
            Content::Broken => return None,
            Content::Scalar(Scalar { text, form: Form::Plain }) if colon_inside(text) => {
                "write a space after the colon".to_owned()
            }
            Content::Scalar(scalar) if scalar.meaning() == Some(Meaning::Null) => {
                format!("write `{empty}`, or remove the key")
            }
            Content::List(items) => match one_key_each(items) {
                Some(keys) => format!("write the keys without dashes: `{{{keys}}}`"),
                None => format!("write `{{key: value}}`, or `{empty}` for none"),
            },
            _ => format!("write `{{key: value}}`, or `{empty}` for none"),
        };
        self.error(node.place, format!("expected {what}, found {}", found(node)), help);
        None
    }

    pub(super) fn path(&self) -> String {
        let mut path = String::new();
        for key in &self.trail {
            if !path.is_empty() && !key.starts_with('[') {
                path.push('.');
            }
            path.push_str(&shortened(key));
        }
        path
    }

    pub(super) fn mark(&mut self, key: Place, value: Place, sound: bool) {
        self.marks.0.insert(self.trail.clone(), Mark { key, value, sound });
    }

    fn default(&mut self, section: &'static Section, field: &'static Field) -> Data {
        if let Some(data) = self.defaults.get(&(section.key, field.key)) {
            return data.clone();
        }
        let mut nothing = Findings::new(Arc::new(ConfigText::new("default", field.default)));
        let data = tree::parse(&mut nothing, field.default).and_then(|node| {
            let defaults = std::mem::take(&mut self.defaults);
            let (trail, marks) = (Vec::new(), Marks::default());
            let mut walk = Walk { findings: &mut nothing, host: "", trail, marks, defaults };
            let data = walk.value(field, &node);
            self.defaults = walk.defaults;
            data
        });
        let data = data.unwrap_or(Data::Null);
        self.defaults.insert((section.key, field.key), data.clone());
        data
    }

    pub(super) fn all_defaults(&mut self, section: &'static Section) -> Data {
        let field = |field: &'static Field| (field.key.to_owned(), self.default(section, field));
        Data::Map(section.fields.iter().map(field).collect())
    }

    fn unknown_key(&mut self, section: &Section, pair: &Pair) {
        let key = &pair.key.text;
        let help = match self.findings.is_full() {
            true => String::new(),
            false => advice::for_key(section, key),
        };
        let message = match section.key {
            "" => format!("unknown key {}", quoted(key)),
            _ => format!("{} has no key {}", section.one, quoted(key)),
        };
        self.under(key, |walk| walk.error(pair.place, message, help));
    }

    fn auto_words(&mut self, pair: &Pair) -> usize {
        auto::words(&pair.key.text).unwrap_or_else(|| {
            let message = format!("{} does not say how many words", quoted(&pair.key.text));
            let help =
                format!("write `auto`, or `auto N` with a number from 1 to {}", auto::MAX_WORDS);
            self.error(pair.place, message, help);
            1
        })
    }

    /// A name is part of URIs, of file names and of commands.
    fn check_name(&mut self, section: &Section, pair: &Pair) {
        const MAX_NAME_BYTES: usize = 200;
        let name = &pair.key.text;
        let usable = |c: char| !c.is_whitespace() && !c.is_control() && c != '@';
        let meaning = pair.key.meaning();
        let (fault, help) = if matches!(meaning, Some(Meaning::Null | Meaning::Bool(_))) {
            (format!("{} is not text", quoted(name)), format!("write \"{name}\" in quotes"))
        } else if name.is_empty() {
            ("it is empty".to_owned(), "give it a name".to_owned())
        } else if name.len() > MAX_NAME_BYTES {
            (format!("it is longer than {MAX_NAME_BYTES} bytes"), "shorten it".to_owned())
        } else if !name.chars().all(usable) {
            let instead: String = name.chars().map(|c| if usable(c) { c } else { '_' }).collect();
            let fault = "a name in a URI has no spaces, no control characters and no `@`";
            (fault.to_owned(), format!("write {}", quoted(&instead)))
        } else if section.key != "nameservers" && RESERVED_NAMES.contains(&name.as_str()) {
            ("Pyro needs that name for itself".to_owned(), "take another name".to_owned())
        } else {
            return;
        };
        let message = format!("{} cannot be the name of {}: {fault}", quoted(name), section.one);
        self.error(pair.place, message, help);
    }
}

impl Walk<'_> {
    /// Reports the expected kind and the kind found for a field's value; always `None`.
    pub(super) fn expected<T>(&mut self, field: &Field, node: &Node, what: &str) -> Option<T> {
        let help = match &*node.content {
            Content::Broken => return None,
            Content::Scalar(scalar) if scalar.is_plain() && wants_text(field.kind) => {
                match scalar.text.as_str() {
                    "" => format!("write one, as in `{}: {}`", field.key, field.example),
                    text => format!("write \"{}\" in quotes to mean the text", shortened(text)),
                }
            }
            _ => format!("for example `{}: {}`", field.key, field.example),
        };
        self.error(node.place, format!("expected {what}, found {}", found(node)), help);
        None
    }
}

/// Whether texts are accepted, in a list or alone.
fn wants_text(kind: ValueKind) -> bool {
    matches!(
        kind,
        ValueKind::Text(_)
            | ValueKind::Name
            | ValueKind::Names
            | ValueKind::List(_)
            | ValueKind::Texts
            | ValueKind::Version
    )
}

/// A node as a message names it.
pub(super) fn found(node: &Node) -> String {
    match &*node.content {
        Content::List(_) => "a list".to_owned(),
        Content::Map(_) => "a mapping".to_owned(),
        Content::Broken => "something else".to_owned(),
        Content::Scalar(scalar) => match scalar.meaning() {
            Some(Meaning::Null) => "nothing".to_owned(),
            Some(Meaning::Bool(value)) if scalar.text.eq_ignore_ascii_case(&value.to_string()) => {
                quoted(&scalar.text)
            }
            Some(Meaning::Bool(value)) => format!("{} (that is, {value})", quoted(&scalar.text)),
            Some(Meaning::Int(_) | Meaning::Float(_) | Meaning::TooLong) => {
                format!("the number {}", shortened(&scalar.text))
            }
            Some(Meaning::Date) => format!("the date {}", quoted(&scalar.text)),
            Some(Meaning::Text) | None => format!("the text {}", quoted(&scalar.text)),
        },
    }
}

/// Whether a text looks like a key and a value that lack the space between them.
fn colon_inside(text: &str) -> bool {
    text.split_once(':').is_some_and(|(key, value)| {
        !value.is_empty() && key.chars().all(|c| c.is_alphanumeric() || "_.-".contains(c))
    })
}

/// The keys of a list of mappings with one key each, the form that PyroLab's documentation shows
/// for parameters but PyroLab 0.5 refuses.
fn one_key_each(items: &[Node]) -> Option<String> {
    let mut keys = Vec::new();
    for item in items.iter().take(8) {
        match &*item.content {
            Content::Map(pairs) => match pairs.as_slice() {
                [pair] => keys.push(match &*pair.value.content {
                    Content::Scalar(value) => {
                        format!("{}: {}", shortened(&pair.key.text), shortened(&value.text))
                    }
                    _ => format!("{}: …", shortened(&pair.key.text)),
                }),
                _ => return None,
            },
            _ => return None,
        }
    }
    Some(keys.join(", ")).filter(|keys| !keys.is_empty())
}
