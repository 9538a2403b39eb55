//! Walk over the `members` of a service and the `arguments` of a method.
//!
//! Must not know rules between several keys; those are in `rules`.

use super::data::Data;
use super::problem::quoted;
use super::scalar::{Meaning, Scalar};
use super::schema::{Field, Rule, Section, VALUE_KEYS};
use super::text;
use super::tree::{Content, Node};
use super::value::{scalar, written_text};
use super::walk::Walk;

impl Walk<'_> {
    /// A mapping from names to mappings with known keys, as a list in which each has its name and
    /// the keys about its value under `value`.
    pub(super) fn members(&mut self, section: &'static Section, node: &Node) -> Option<Data> {
        let Content::Map(pairs) = &*node.content else {
            let what = format!("a mapping from names to {}", section.key);
            return self.not_a_mapping(node, &what, "{}");
        };
        // Only members hang on parts; an argument's name has no dots.
        let rule = if section.key == "members" { Rule::Member } else { Rule::Identifier };
        let mut members = Vec::new();
        for pair in pairs {
            let name = &pair.key.text;
            if let Err(fault) = text::check(rule, name) {
                let message = format!(
                    "{} cannot be the name of {}: {}",
                    quoted(name),
                    section.one,
                    fault.message
                );
                self.error(pair.place, message, "write the name that clients use");
                continue;
            }
            let fields = self.under(name, |walk| {
                let fields = walk.group(section, &pair.value);
                walk.mark(pair.place, pair.value.place, fields.is_some());
                fields
            });
            let Some(Data::Map(fields)) = fields else { continue };
            let (value, others): (Vec<_>, Vec<_>) =
                fields.into_iter().partition(|(key, _)| VALUE_KEYS.contains(&key.as_str()));
            let name = ("name".to_owned(), Data::from(name.as_str()));
            let value = ("value".to_owned(), Data::Map(value));
            members.push(Data::Map([name, value].into_iter().chain(others).collect()));
        }
        Some(Data::List(members))
    }

    pub(super) fn number(&mut self, field: &Field, node: &Node) -> Option<Data> {
        match finite(node) {
            Some(number) => Some(Data::Float(number)),
            // YAML 1.1 reads `1e6` as text, which nobody expects.
            None if looks_like_number(node) => self.expected(field, node, "a number with a dot"),
            None => self.expected(field, node, "a number"),
        }
    }

    /// A number, or a percentage; the result has its kind as the key.
    pub(super) fn deadband(&mut self, field: &Field, node: &Node) -> Option<Data> {
        let percent = written_text(node).and_then(|text| text.trim().strip_suffix('%'));
        let (kind, number) = match percent {
            Some(number) => ("percent", number.trim_end().parse().ok()),
            None => ("absolute", finite(node)),
        };
        match number.filter(|number: &f64| number.is_finite() && *number >= 0.0) {
            Some(number) => Some(Data::Map(vec![(kind.to_owned(), Data::Float(number))])),
            None => self.expected(field, node, "a number from 0, or a percentage (`1%`)"),
        }
    }

    pub(super) fn choices(&mut self, field: &Field, node: &Node) -> Option<Data> {
        let what = "a list of texts, numbers or booleans, at least one";
        let nodes = match &*node.content {
            Content::List(nodes) if !nodes.is_empty() => nodes,
            _ => return self.expected(field, node, what),
        };
        Some(Data::List(self.items(nodes, |walk, node| walk.plain_value(field, node))))
    }

    /// A text, a number or a boolean, or a list of them, as a list.
    pub(super) fn values(&mut self, field: &Field, node: &Node) -> Option<Data> {
        match &*node.content {
            Content::List(nodes) => {
                Some(Data::List(self.items(nodes, |walk, node| walk.plain_value(field, node))))
            }
            _ => self.plain_value(field, node).map(|value| Data::List(vec![value])),
        }
    }

    fn plain_value(&mut self, field: &Field, node: &Node) -> Option<Data> {
        match scalar(node).map(Scalar::meaning) {
            None | Some(None | Some(Meaning::Null)) => {
                self.expected(field, node, "a text, a number or a boolean")
            }
            Some(Some(_)) => self.data(node),
        }
    }
}

/// The number of a node, if it is a finite one.
fn finite(node: &Node) -> Option<f64> {
    let number = scalar(node).and_then(|scalar| match scalar.meaning()? {
        Meaning::Int(value) => value.to_string().parse().ok(),
        Meaning::Float(value) => Some(value),
        _ => None,
    });
    number.filter(|number: &f64| number.is_finite())
}

/// Whether a text is a number to everybody but YAML: `1e6`.
fn looks_like_number(node: &Node) -> bool {
    let text = scalar(node).filter(|scalar| scalar.is_plain()).map(|scalar| scalar.text.as_str());
    text.is_some_and(|text| text.parse::<f64>().is_ok_and(f64::is_finite))
}
