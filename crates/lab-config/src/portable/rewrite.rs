//! Rewrite of a file's tree for another host: paths, secrets, and what belongs to this host.
//!
//! Walks by the schema, so that a key with a path or a secret needs no line here.

use std::path::{Component, Path};

use super::secrets::{is_secret_name, shortened};
use super::text::{PortableText, below};
use super::yaml;
use crate::address::Host;
use crate::auto;
use crate::scalar::{Form, Meaning, Scalar};
use crate::schema::{Field, Rule, Section, ValueKind};
use crate::surroundings::Folder;
use crate::tree::{Content, Node, Pair};

/// Entries of the file whose hosts and ports are this host's.
const OF_THIS_HOST: [&str; 4] = ["nameservers", "daemons", "web", "history"];

/// A rewrite of a file's tree for another host.
pub(super) struct Rewrite<'r> {
    folder: &'r Folder,
    trail: Vec<String>,
    pub(super) found: PortableText,
}

impl<'r> Rewrite<'r> {
    pub(super) fn new(folder: &'r Folder) -> Self {
        Rewrite { folder, trail: Vec::new(), found: PortableText::default() }
    }

    pub(super) fn section(&mut self, section: &'static Section, node: &Node) -> Node {
        let Content::Map(pairs) = &*node.content else { return node.clone() };
        let pairs = pairs.iter().filter_map(|pair| {
            let field = section.fields.iter().find(|field| field.key == pair.key.text)?;
            // The next export says it anew.
            if section.key.is_empty() && field.key == "portable" {
                return None;
            }
            let value = self.under(field.key, |it| it.value(section, field, &pair.value));
            Some(Pair { value, ..pair.clone() })
        });
        node.with_content(Content::Map(pairs.collect()))
    }

    fn value(&mut self, section: &'static Section, field: &'static Field, node: &Node) -> Node {
        match field.kind {
            ValueKind::Group(below)
            | ValueKind::GroupOrFlag(below)
            | ValueKind::GroupOrText { section: below, .. } => self.section(below, node),
            ValueKind::OneOrMore(below) | ValueKind::Records(below) => match &*node.content {
                Content::List(_) => self.each(node, |it, item| it.section(below, item)),
                _ => self.section(below, node),
            },
            ValueKind::Entries(below) | ValueKind::Members(below) => self.entries(below, node),
            ValueKind::Text(Rule::Secret) => match node.is_null() {
                true => node.clone(),
                false => self.leave_out(node),
            },
            ValueKind::Headers => self.leave_out_all(node),
            ValueKind::Environment => self.without_secrets(node, true),
            ValueKind::Parameters | ValueKind::Arguments => self.without_secrets(node, false),
            ValueKind::Text(Rule::Path | Rule::Socket) => {
                self.note_setting(section, field, node);
                let is_program = field.key == "executable";
                self.text(node, |it, text| it.path(text, is_program))
            }
            ValueKind::List(Rule::Path) => {
                self.each(node, |it, item| it.text(item, |it, text| it.path(text, false)))
            }
            ValueKind::Storage => self.text(node, |it, text| {
                let file = text.strip_prefix("sql:")?;
                Some(format!("sql:{}", it.path(file, false)?))
            }),
            ValueKind::List(Rule::Any) if (section.key, field.key) == ("notify", "command") => {
                let mut is_first = true;
                self.each(node, |it, item| match std::mem::take(&mut is_first) {
                    true => {
                        it.note_value(item);
                        it.text(item, |it, text| it.path(text, true))
                    }
                    false => it.shorten(item),
                })
            }
            _ => {
                self.note_setting(section, field, node);
                self.shorten(node)
            }
        }
    }

    fn entries(&mut self, section: &'static Section, node: &Node) -> Node {
        let Content::Map(pairs) = &*node.content else { return node.clone() };
        let pairs = pairs.iter().map(|pair| {
            let name = pair.key.text.as_str();
            let value = self.under(name, |it| {
                if auto::is_auto(name) {
                    let what = "a generated name, another one on another host";
                    it.found.of_host.push((it.path_of_key(), what.to_owned()));
                }
                // A nameserver that runs elsewhere stays there.
                let of_host = it.found.of_host.len();
                let value = it.section(section, &pair.value);
                if section.key == "nameservers" && !is_of_this_host(&pair.value) {
                    it.found.of_host.truncate(of_host);
                }
                value
            });
            Pair { value, ..pair.clone() }
        });
        node.with_content(Content::Map(pairs.collect()))
    }

    fn each(&mut self, node: &Node, mut change: impl FnMut(&mut Self, &Node) -> Node) -> Node {
        let Content::List(items) = &*node.content else { return node.clone() };
        let items = items.iter().enumerate();
        let items =
            items.map(|(index, item)| self.under(&format!("[{index}]"), |it| change(it, item)));
        node.with_content(Content::List(items.collect()))
    }

    /// A text as `change` has it; the same where that gives none.
    fn text(
        &mut self,
        node: &Node,
        change: impl FnOnce(&mut Self, &str) -> Option<String>,
    ) -> Node {
        let Content::Scalar(scalar) = &*node.content else { return node.clone() };
        match scalar.meaning() {
            Some(Meaning::Text) => match change(self, &scalar.text) {
                Some(text) => node.with_content(Content::Scalar(Scalar { text, form: Form::Text })),
                None => node.clone(),
            },
            _ => node.clone(),
        }
    }

    /// A path for another host.
    fn path(&mut self, text: &str, is_program: bool) -> Option<String> {
        let written = Path::new(text);
        if is_program && written.components().count() <= 1 {
            return None;
        }
        let has_parent = |path: &Path| path.components().any(|it| it == Component::ParentDir);
        let folder = self.folder;
        let place = folder.place(written);
        let inside = place.strip_prefix(&folder.base).ok().filter(|rest| !has_parent(rest));
        if let Some(rest) = inside {
            let rest = rest.to_str()?;
            return Some(match rest {
                "" => ".".to_owned(),
                // A name alone would be looked up in PATH.
                _ if is_program && !rest.contains('/') => format!("./{rest}"),
                _ if rest.starts_with('~') => format!("./{rest}"),
                _ => rest.to_owned(),
            });
        }
        let home = folder.home.as_ref().and_then(|home| place.strip_prefix(home).ok());
        let portable = match home.filter(|rest| !has_parent(rest) && written.is_absolute()) {
            Some(rest) => format!("~/{}", rest.to_str()?),
            None => text.to_owned(),
        };
        let key = self.path_of_key();
        self.found.outside.push((key, portable.clone()));
        Some(portable)
    }

    /// Plain data of a driver or variables, without what is secret by its name.
    fn without_secrets(&mut self, node: &Node, removes: bool) -> Node {
        match &*node.content {
            Content::Map(pairs) => {
                let pairs = pairs.iter().filter_map(|pair| {
                    let value = self.under(&pair.key.text, |it| {
                        if !is_secret_name(&pair.key.text) || pair.value.is_null() {
                            return Some(it.without_secrets(&pair.value, removes));
                        }
                        let value = it.leave_out(&pair.value);
                        (!removes).then_some(value)
                    })?;
                    Some(Pair { value, ..pair.clone() })
                });
                node.with_content(Content::Map(pairs.collect()))
            }
            Content::List(_) => self.each(node, |it, item| it.without_secrets(item, removes)),
            Content::Scalar(_) | Content::Broken => self.shorten(node),
        }
    }

    /// A value without the users, passwords and queries of addresses in its texts.
    fn shorten(&mut self, node: &Node) -> Node {
        match &*node.content {
            Content::List(_) => self.each(node, Self::shorten),
            _ => self.text(node, |it, text| {
                let short = shortened(text)?;
                it.note_shortened();
                Some(short)
            }),
        }
    }

    fn note_shortened(&mut self) {
        let key = self.path_of_key();
        if self.found.shortened.last() != Some(&key) {
            self.found.shortened.push(key);
        }
    }

    fn leave_out(&mut self, node: &Node) -> Node {
        let key = self.path_of_key();
        self.found.left_out.push(key);
        let null = Scalar { text: "null".to_owned(), form: Form::Plain };
        node.with_content(Content::Scalar(null))
    }

    fn leave_out_all(&mut self, node: &Node) -> Node {
        let Content::Map(pairs) = &*node.content else { return node.clone() };
        for pair in pairs {
            let key = self.under(&pair.key.text, |it| it.path_of_key());
            self.found.left_out.push(key);
        }
        node.with_content(Content::Map(Vec::new()))
    }

    /// Notes a setting that belongs to this host: a host, a port, a socket, an interpreter.
    fn note_setting(&mut self, section: &Section, field: &Field, node: &Node) {
        let of_entry = self.trail.first().is_some_and(|key| OF_THIS_HOST.contains(&key.as_str()));
        let is_of_host = match field.kind {
            ValueKind::Text(Rule::Host) => of_entry && !is_everywhere(node),
            ValueKind::List(Rule::Host) => section.key == "web",
            ValueKind::Int { .. } => of_entry && field.key.ends_with("port") && !is_zero(node),
            ValueKind::Text(Rule::Socket) => true,
            ValueKind::Text(Rule::Path) => field.key == "executable",
            _ => false,
        };
        if is_of_host && !node.is_null() {
            self.note_value(node);
        }
    }

    fn note_value(&mut self, node: &Node) {
        let text = match &*node.content {
            Content::List(_) => yaml::text(node).trim_end().to_owned(),
            Content::Scalar(scalar) => scalar.text.clone(),
            Content::Map(_) | Content::Broken => return,
        };
        let key = self.path_of_key();
        self.found.of_host.push((key, text));
    }

    fn path_of_key(&self) -> String {
        self.trail.iter().fold(String::new(), |path, key| below(&path, key))
    }

    fn under<T>(&mut self, key: &str, step: impl FnOnce(&mut Self) -> T) -> T {
        self.trail.push(key.to_owned());
        let result = step(self);
        self.trail.pop();
        result
    }
}

/// Whether a nameserver's entry is one that runs on this host.
fn is_of_this_host(entry: &Node) -> bool {
    let Content::Map(pairs) = &*entry.content else { return true };
    let host = pairs.iter().find(|pair| pair.key.text == "host");
    let Some(Content::Scalar(host)) = host.map(|pair| &*pair.value.content) else { return true };
    Host::from(host.text.clone()).is_this_host()
}

/// Whether a host is written in a way that means the same on every host.
fn is_everywhere(node: &Node) -> bool {
    let Content::Scalar(scalar) = &*node.content else { return false };
    let host = Host::from(scalar.text.clone());
    let is_any = host.literal().is_some_and(|address| address.is_unspecified());
    host == Host::Public || host.is_loopback() || is_any
}

fn is_zero(node: &Node) -> bool {
    matches!(&*node.content, Content::Scalar(scalar) if scalar.text == "0")
}
