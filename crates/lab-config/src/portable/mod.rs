//! Portable form of a configuration: the same lab for another host.
//!
//! The text is written anew from the tree, without comments: a comment may hold a secret, too.
//! Paths below the lab's folder become relative, those below the user's home begin with `~/`.
//! Secrets are left out. Must not know packages or interpreters.

mod rewrite;
mod secrets;
mod text;
mod yaml;

use std::collections::HashSet;
use std::sync::Arc;

use super::config_text::{ConfigText, Place};
use super::model::Configuration;
use super::problem::{ConfigError, Findings};
use super::scalar::{Meaning, Scalar};
use super::schema::TOP;
use super::surroundings::{Folder, Surroundings};
use super::tree::{self, Content, Node, Pair};
use rewrite::Rewrite;
use text::below;

pub use text::PortableText;

/// The portable form of a text whose relative paths begin in `folder`.
///
/// # Errors
/// The text has problems.
pub fn portable(
    name: &str,
    bytes: &[u8],
    surroundings: &Surroundings,
    folder: &Folder,
) -> Result<PortableText, ConfigError> {
    Configuration::parse(name, bytes, surroundings)?;
    let (mut findings, root) = tree_of(name, bytes);
    let Some(root) = root else { return Err(findings.fail()) };
    let mut rewrite = Rewrite::new(folder);
    let root = rewrite.section(&TOP, &root);
    let mut found = rewrite.found;
    found.body = yaml::text(&root);
    // The text must mean what the tree means.
    let (_, written) = tree_of(name, found.body.as_bytes());
    if written.is_some_and(|written| is_same(&written, &root)) {
        return Ok(found);
    }
    let help = "write the file in plain YAML: short keys, no odd characters";
    findings.error(Place::default(), "", "it cannot be written anew for another host", help);
    Err(findings.fail())
}

/// Those of the keys `left_out` that have no value in a text. A secret may be a list or a map.
pub fn unfilled(bytes: &[u8], left_out: &[String]) -> Vec<String> {
    let mut written = HashSet::new();
    if let (_, Some(root)) = tree_of("", bytes) {
        collect_written(&root, String::new(), &mut written);
    }
    left_out.iter().filter(|key| !written.contains(*key)).cloned().collect()
}

fn collect_written(node: &Node, path: String, written: &mut HashSet<String>) {
    match &*node.content {
        Content::Map(pairs) => {
            if !pairs.is_empty() {
                written.insert(path.clone());
            }
            for pair in pairs {
                collect_written(&pair.value, below(&path, &pair.key.text), written);
            }
        }
        Content::List(items) => {
            if !items.is_empty() {
                written.insert(path.clone());
            }
            for (index, item) in items.iter().enumerate() {
                collect_written(item, below(&path, &format!("[{index}]")), written);
            }
        }
        Content::Scalar(_) if !node.is_null() => drop(written.insert(path)),
        Content::Scalar(_) | Content::Broken => {}
    }
}

fn tree_of(name: &str, bytes: &[u8]) -> (Findings, Option<Node>) {
    let source = match ConfigText::from_bytes(name, bytes) {
        Ok(source) => Arc::new(source),
        Err(refused) => Arc::new(refused.source),
    };
    let mut findings = Findings::new(Arc::clone(&source));
    let root = tree::parse(&mut findings, source.text());
    (findings, root)
}

/// Whether two trees mean the same.
fn is_same(one: &Node, other: &Node) -> bool {
    match (&*one.content, &*other.content) {
        (Content::Scalar(one), Content::Scalar(other)) => is_same_scalar(one, other),
        (Content::List(one), Content::List(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Content::Map(one), Content::Map(other)) => {
            let is_same_pair = |(one, other): (&Pair, &Pair)| {
                is_same_scalar(&one.key, &other.key) && is_same(&one.value, &other.value)
            };
            one.len() == other.len() && one.iter().zip(other).all(is_same_pair)
        }
        _ => false,
    }
}

fn is_same_scalar(one: &Scalar, other: &Scalar) -> bool {
    match (one.meaning(), other.meaning()) {
        (Some(Meaning::Null), Some(Meaning::Null)) => true,
        (Some(Meaning::Text), Some(Meaning::Text)) => one.text == other.text,
        (Some(Meaning::Float(one)), Some(Meaning::Float(other))) => {
            one.to_bits() == other.to_bits()
        }
        (one_means, other_means) => one_means == other_means && one.text == other.text,
    }
}
