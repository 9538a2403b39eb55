//! YAML text of a tree: block style, lists of single values in brackets.
//!
//! Numbers, dates and words stay as they were written; texts get quotes where they would mean
//! something else without. Aliases are written out.

use std::fmt::Write as _;

use crate::scalar::{Form, Meaning, Scalar, Tag, is_plain_text};
use crate::tree::{Content, Node, Pair};

/// The text of a tree.
pub(super) fn text(node: &Node) -> String {
    let mut text = String::new();
    match &*node.content {
        Content::Map(pairs) if !pairs.is_empty() => write_map(&mut text, pairs, 0),
        _ => {
            write_inline(&mut text, node);
            text.push('\n');
        }
    }
    text
}

fn write_map(text: &mut String, pairs: &[Pair], indent: usize) {
    for pair in pairs {
        let _ = write!(text, "{:indent$}{}:", "", scalar(&pair.key));
        write_value(text, &pair.value, indent);
    }
}

/// The value of a key, after its colon.
fn write_value(text: &mut String, node: &Node, indent: usize) {
    match &*node.content {
        Content::Map(pairs) if !pairs.is_empty() => {
            text.push('\n');
            write_map(text, pairs, indent + 2);
        }
        Content::List(items) if !items.iter().all(is_single) => {
            text.push('\n');
            write_list(text, items, indent + 2);
        }
        _ => {
            text.push(' ');
            write_inline(text, node);
            text.push('\n');
        }
    }
}

fn write_list(text: &mut String, items: &[Node], indent: usize) {
    for item in items {
        let mut below = String::new();
        match &*item.content {
            Content::Map(pairs) if !pairs.is_empty() => write_map(&mut below, pairs, indent + 2),
            Content::List(items) if !items.iter().all(is_single) => {
                write_list(&mut below, items, indent + 2);
            }
            _ => {
                write_inline(&mut below, item);
                below.push('\n');
            }
        }
        // The first line of what is below begins after the dash.
        let _ = write!(text, "{:indent$}- {}", "", below.trim_start_matches(' '));
    }
}

fn write_inline(text: &mut String, node: &Node) {
    match &*node.content {
        Content::Scalar(written) => text.push_str(&scalar(written)),
        Content::List(items) => {
            let items = items.iter().map(|item| {
                let mut text = String::new();
                write_inline(&mut text, item);
                text
            });
            let _ = write!(text, "[{}]", items.collect::<Vec<_>>().join(", "));
        }
        Content::Map(_) => text.push_str("{}"),
        Content::Broken => text.push_str("null"),
    }
}

fn is_single(node: &Node) -> bool {
    matches!(&*node.content, Content::Scalar(_))
}

fn scalar(scalar: &Scalar) -> String {
    let tag = match (scalar.form, scalar.meaning()) {
        (Form::Text, _) | (_, Some(Meaning::Text) | None) => return quoted(&scalar.text),
        (Form::Plain, Some(Meaning::Null)) => return "null".to_owned(),
        (Form::Plain, _) => return scalar.text.clone(),
        (Form::Tagged(Tag::Null), _) => return "null".to_owned(),
        (Form::Tagged(Tag::Bool), _) => "bool",
        (Form::Tagged(Tag::Int), _) => "int",
        (Form::Tagged(Tag::Float), _) => "float",
    };
    format!("!!{tag} {}", quoted(&scalar.text))
}

/// A text as YAML: in quotes where it would mean something else without.
pub(super) fn quoted(text: &str) -> String {
    let is_simple = text.starts_with(|c: char| c.is_ascii_alphabetic() || "/~._".contains(c))
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "/~._+=-".contains(c));
    if is_simple && is_plain_text(text) && !text.ends_with("...") {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(letter);
            }
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            // Line breaks of YAML, and what its readers refuse.
            _ if letter.is_control()
                || "\u{2028}\u{2029}\u{feff}\u{fffe}\u{ffff}".contains(letter) =>
            {
                let _ = write!(quoted, "\\u{:04x}", u32::from(letter));
            }
            _ => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}
