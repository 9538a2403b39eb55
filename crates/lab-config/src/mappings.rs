//! Mappings as values: environment variables, header fields of HTTP, groups of people, lists of
//! mappings, and a group of keys that a text may stand for.

use super::data::Data;
use super::problem::quoted;
use super::schema::{Field, Rule, Section, ValueKind};
use super::tree::{Content, Node};
use super::value::written_text;
use super::walk::Walk;

impl Walk<'_> {
    /// A mapping with known keys, or a text for the one named `key`.
    pub(super) fn group_or_text(
        &mut self,
        section: &'static Section,
        key: &str,
        node: &Node,
    ) -> Option<Data> {
        let field = section.fields.iter().find(|field| field.key == key)?;
        let ValueKind::Text(rule) = field.kind else { return None };
        if !matches!(&*node.content, Content::Scalar(_)) {
            return self.group(section, node);
        }
        let text = self.text(field, rule, node)?;
        let Data::Map(mut fields) = self.all_defaults(section) else { return None };
        fields.retain(|(name, _)| name != key);
        fields.push((key.to_owned(), text));
        Some(Data::Map(fields))
    }

    /// A list of mappings with known keys. One that is no mapping keeps its place in the list.
    pub(super) fn records(
        &mut self,
        field: &Field,
        section: &'static Section,
        node: &Node,
    ) -> Option<Data> {
        let Content::List(nodes) = &*node.content else {
            return self.expected(field, node, &format!("a list, each {}", section.one));
        };
        let mut records = Vec::new();
        for (index, node) in nodes.iter().enumerate() {
            let record = self.under(&format!("[{index}]"), |walk| {
                let record = walk.group(section, node);
                walk.mark(node.place, node.place, record.is_some());
                record
            });
            records.push(record.unwrap_or_else(|| self.all_defaults(section)));
        }
        Some(Data::List(records))
    }

    /// A text, which stands for a list of one, or a list of texts.
    pub(super) fn texts(&mut self, field: &Field, what: &str, node: &Node) -> Option<Data> {
        let alone = std::slice::from_ref(node);
        let nodes = match &*node.content {
            Content::List(nodes) => nodes,
            Content::Scalar(_) if written_text(node).is_some() => alone,
            _ => return self.expected(field, node, what),
        };
        Some(Data::List(self.items(nodes, |walk, node| walk.text(field, Rule::Any, node))))
    }

    /// A mapping from names to lists of people, as a list of both.
    pub(super) fn groups(&mut self, field: &Field, node: &Node) -> Option<Data> {
        let Content::Map(pairs) = &*node.content else {
            return self.not_a_mapping(node, "a mapping from groups to lists of people", "{}");
        };
        let mut groups = Vec::new();
        for pair in pairs {
            let name = &pair.key.text;
            let people = self.under(name, |walk| {
                let people = walk.texts(field, "a list of people", &pair.value);
                walk.mark(pair.place, pair.value.place, people.is_some());
                people
            });
            let name = ("name".to_owned(), Data::from(name.as_str()));
            let people = people.unwrap_or_else(|| Data::List(Vec::new()));
            groups.push(Data::Map(vec![name, ("people".to_owned(), people)]));
        }
        Some(Data::List(groups))
    }

    /// A mapping with known keys or a list of them, as a list.
    pub(super) fn one_or_more(
        &mut self,
        field: &Field,
        section: &'static Section,
        node: &Node,
    ) -> Option<Data> {
        match &*node.content {
            Content::List(_) => self.records(field, section, node),
            _ => self.group(section, node).map(|group| Data::List(vec![group])),
        }
    }

    pub(super) fn group_or_flag(
        &mut self,
        section: &'static Section,
        field: &Field,
        node: &Node,
    ) -> Option<Data> {
        if !matches!(&*node.content, Content::Scalar(_)) {
            return self.group(section, node);
        }
        match self.flag(field, "`true` or `false`", node)? {
            Data::Bool(true) => Some(self.all_defaults(section)),
            _ => Some(Data::Null),
        }
    }

    pub(super) fn environment(&mut self, field: &Field, node: &Node) -> Option<Data> {
        let Content::Map(pairs) = &*node.content else {
            return self.not_a_mapping(node, "a mapping from variables to texts", "{}");
        };
        let mut variables = Vec::new();
        for pair in pairs {
            let name = &pair.key.text;
            let usable = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty()
                || name.starts_with(|c: char| c.is_ascii_digit())
                || !name.chars().all(usable)
            {
                let message = format!("{} cannot be the name of a variable", quoted(name));
                self.error(pair.place, message, "use letters, digits and `_`");
            }
            let value = self.under(name, |walk| match written_text(&pair.value) {
                Some(text) if text.contains('\0') => {
                    walk.error(pair.value.place, "a variable cannot hold a zero byte", "remove it");
                    None
                }
                Some(text) => Some(text.into()),
                None => {
                    let what = "the text of a variable";
                    let field = Field {
                        kind: ValueKind::Text(Rule::Any),
                        key: "NAME",
                        example: "\"1\"",
                        ..*field
                    };
                    walk.expected(&field, &pair.value, what)
                }
            });
            variables.extend(value.map(|value| (name.clone(), value)));
        }
        Some(Data::Map(variables))
    }

    /// Values may be secrets: no problem shows one.
    pub(super) fn headers(&mut self, field: &Field, node: &Node) -> Option<Data> {
        let Content::Map(pairs) = &*node.content else {
            return self.not_a_mapping(node, "a mapping from header fields to texts", "{}");
        };
        let mut headers = Vec::new();
        for pair in pairs {
            let name = &pair.key.text;
            let usable = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if name.is_empty() || !name.chars().all(usable) {
                let message = format!("{} cannot be the name of a header field", quoted(name));
                self.error(pair.place, message, "use letters, digits and `-`");
                continue;
            }
            let value = self.under(name, |walk| match written_text(&pair.value) {
                Some(text) if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) => {
                    Some(text.into())
                }
                Some(_) => {
                    let message = "a header field has printable ASCII characters only";
                    walk.error(pair.value.place, message, "remove the others");
                    None
                }
                None => {
                    let message = "expected the text of a header field";
                    let help = format!("for example `{}: {}`", field.key, field.example);
                    walk.error(pair.value.place, message, help);
                    None
                }
            });
            headers.extend(value.map(|value| (name.clone(), value)));
        }
        Some(Data::Map(headers))
    }
}
