//! Tree of plain data from YAML text, in which each node has its position.
//!
//! Owns the errors that need no schema: syntax, tags that construct objects, merge and duplicate
//! keys, aliases that multiply, depth. Must not know the keys. (A serde deserializer stops at the
//! first wrong type; with this tree the walk reports every problem.)

use std::collections::HashMap;
use std::rc::Rc;

use granit_parser::{ErrorKind, Event, Parser, ScanError, Span};

use super::auto;
use super::config_text::{MAX_BYTES, Place};
use super::problem::{Findings, quoted, shortened};
use super::scalar::{Form, Meaning, Scalar, Tag};

/// Deepest nesting of mappings and lists, aliases followed.
pub(crate) const MAX_DEPTH: usize = 64;
/// Largest number of nodes; an alias counts as the nodes that it stands for.
pub(crate) const MAX_NODES: usize = 100_000;
/// Bytes of text in all keys and values; an alias counts as the text that it stands for. A file
/// without aliases has fewer.
const MAX_TEXT: usize = 4 * MAX_BYTES;

/// A value and where it is written; an alias is at its own place, what is in it where it was
/// written first.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Where it is written.
    pub place: Place,
    /// Its value.
    pub content: Rc<Content>,
    size: Size,
    height: usize,
}

/// How much there is of something, each alias counted as all that it stands for.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    nodes: usize,
    /// Bytes of keys and values.
    text: usize,
}

impl Size {
    fn plus(self, other: Size) -> Size {
        let nodes = self.nodes.saturating_add(other.nodes);
        Size { nodes, text: self.text.saturating_add(other.text) }
    }
}

impl Node {
    /// A node at the same place with other content, which must not be larger.
    pub(crate) fn with_content(&self, content: Content) -> Node {
        Node { content: Rc::new(content), ..self.clone() }
    }

    /// Whether it says that there is no value.
    pub(crate) fn is_null(&self) -> bool {
        match &*self.content {
            Content::Scalar(scalar) => scalar.meaning() == Some(Meaning::Null),
            _ => false,
        }
    }
}

/// The value of a node.
#[derive(Debug)]
pub(crate) enum Content {
    /// A single value.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A mapping, without keys that were refused.
    Map(Vec<Pair>),
    /// Something for which a problem was reported already.
    Broken,
}

/// A key and its value in a mapping.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    /// The key as written.
    pub key: Scalar,
    /// Where the key is written.
    pub place: Place,
    /// The value.
    pub value: Node,
}

/// The tree of a text, or `None` when a syntax error (now among the findings) keeps it from
/// having one.
pub(crate) fn parse(findings: &mut Findings, text: &str) -> Option<Node> {
    let mut options = granit_parser::options! {
        emit_unresolved_aliases: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
        block_scalar_eof_without_line_feed: true,
    };
    options.set_emit_comments(false);
    let (stack, anchors) = (Vec::new(), HashMap::new());
    let mut builder =
        Builder { findings, stack, anchors, root: None, documents: 0, size: Size::default() };
    for event in Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((event, span)) => builder.event(event, span)?,
            Err(error) => {
                builder.syntax(&error, text);
                return None;
            }
        }
    }
    if builder.root.is_none() {
        let help = "write at least `version: \"1.0\"`; or was the file torn?";
        builder.findings.error(Place::default(), "", "the file holds nothing", help);
    }
    builder.root
}

struct Builder<'f> {
    findings: &'f mut Findings,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    root: Option<Node>,
    documents: usize,
    size: Size,
}

/// A collection that is still open.
struct Frame {
    place: Place,
    anchor: usize,
    refused: bool,
    open: Open,
}

enum Open {
    List(Vec<Node>),
    Map { pairs: Vec<Pair>, keys: HashMap<String, Place>, waiting: Option<Waiting> },
}

/// The key of the value to come; without a scalar if it was refused.
struct Waiting {
    key: Option<Scalar>,
    place: Place,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        let place = place(&span);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let help = "keep one document, without a second `---`";
                    self.findings.error(place, "", "a second document starts here", help);
                    return None;
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == granit_parser::ScalarStyle::Plain;
                // The parser writes a value that is absent as `~`.
                let text = if span.is_empty() && plain { String::new() } else { text.into_owned() };
                let form = if plain { Form::Plain } else { Form::Text };
                let content = self.tagged(tag.as_deref(), &span, text, form);
                self.complete(place, content, anchor)?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                let refused = !self.allows(tag.as_deref(), &span, "seq");
                self.stack.push(Frame { place, anchor, refused, open: Open::List(Vec::new()) });
            }
            Event::MappingStart(_, anchor, tag) => {
                let refused = !self.allows(tag.as_deref(), &span, "map");
                let open = Open::Map { pairs: Vec::new(), keys: HashMap::new(), waiting: None };
                self.stack.push(Frame { place, anchor, refused, open });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let frame = self.stack.pop()?;
                let content = match frame.open {
                    _ if frame.refused => Content::Broken,
                    Open::List(items) => Content::List(items),
                    Open::Map { pairs, .. } => Content::Map(pairs),
                };
                self.complete(frame.place, content, frame.anchor)?;
            }
            Event::Alias(anchor) => self.alias(anchor, place)?,
            Event::UnresolvedAlias(name) => {
                let message =
                    format!("no anchor before it has the name of the alias {}", quoted(&name));
                let help = "put it in quotes to mean the text";
                self.findings.error(place, &self.trail(), message, help);
                self.complete(place, Content::Broken, 0)?;
            }
            _ => {}
        }
        Some(())
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Option<()> {
        let Some(target) = self.anchors.get(&anchor).cloned() else {
            let help = "write out what is meant";
            self.findings.error(
                place,
                &self.trail(),
                "the alias stands inside what it stands for",
                help,
            );
            return self.complete(place, Content::Broken, 0);
        };
        self.add(target.size, place)?;
        if self.stack.len() + target.height > MAX_DEPTH {
            self.too_deep(place);
            return None;
        }
        self.attach(Node { place, ..target })
    }

    /// A node that is all there.
    fn complete(&mut self, place: Place, content: Content, anchor: usize) -> Option<()> {
        if self.stack.len() >= MAX_DEPTH {
            self.too_deep(place);
            return None;
        }
        // The node without its children: those were counted when they were complete.
        let text = match &content {
            Content::Scalar(scalar) => scalar.text.len(),
            Content::Map(pairs) => pairs.iter().map(|pair| pair.key.text.len()).sum(),
            Content::List(_) | Content::Broken => 0,
        };
        let own = Size { nodes: 1, text };
        self.add(own, place)?;
        let (mut size, mut height) = (own, 1);
        let mut count = |child: &Node| {
            size = size.plus(child.size);
            height = height.max(child.height + 1);
        };
        match &content {
            Content::List(items) => items.iter().for_each(&mut count),
            Content::Map(pairs) => pairs.iter().for_each(|pair| count(&pair.value)),
            Content::Scalar(_) | Content::Broken => {}
        }
        let node = Node { place, content: Rc::new(content), size, height };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.attach(node)
    }

    fn attach(&mut self, node: Node) -> Option<()> {
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(node);
            return Some(());
        };
        let (pairs, keys, waiting) = match &mut frame.open {
            Open::List(items) => {
                items.push(node);
                return Some(());
            }
            Open::Map { pairs, keys, waiting } => (pairs, keys, waiting),
        };
        if let Some(Waiting { key, place }) = waiting.take() {
            // Nothing is nowhere: what lacks a value is the key.
            let at = if node.place.len == 0 { place } else { node.place };
            let value = Node { place: at, ..node };
            pairs.extend(key.map(|key| Pair { key, place, value }));
            return Some(());
        }
        let (key, refusal) = match accept_key(keys, &node) {
            Ok(key) => (Some(key), None),
            Err(refusal) => (None, refusal),
        };
        *waiting = Some(Waiting { key, place: node.place });
        if let Some(KeyRefusal { message, help, first }) = refusal {
            let trail = self.trail();
            match first {
                Some(first) => {
                    let other = ("first", first);
                    self.findings.error_between(node.place, other, &trail, &message, help);
                }
                None => self.findings.error(node.place, &trail, message, help),
            }
        }
        Some(())
    }

    /// The scalar, if its tag only says which plain type it is.
    fn tagged(
        &mut self,
        tag: Option<&granit_parser::Tag>,
        span: &Span,
        text: String,
        form: Form,
    ) -> Content {
        let form = match tag.map(|tag| (tag, tag.core_suffix())) {
            None => form,
            Some((_, Some("str"))) => Form::Text,
            Some((_, Some("null"))) => Form::Tagged(Tag::Null),
            Some((_, Some("bool"))) => Form::Tagged(Tag::Bool),
            Some((_, Some("int"))) => Form::Tagged(Tag::Int),
            Some((_, Some("float"))) => Form::Tagged(Tag::Float),
            Some((tag, _)) => {
                self.refuse_tag(tag, span);
                return Content::Broken;
            }
        };
        let scalar = Scalar { text, form };
        if scalar.meaning().is_none() {
            let message = format!("{} is not what its tag says", quoted(&scalar.text));
            self.findings.error(place(span), &self.trail(), message, "remove the tag");
            return Content::Broken;
        }
        Content::Scalar(scalar)
    }

    fn allows(&mut self, tag: Option<&granit_parser::Tag>, span: &Span, plain: &str) -> bool {
        match tag {
            Some(tag) if tag.core_suffix() != Some(plain) => {
                self.refuse_tag(tag, span);
                false
            }
            _ => true,
        }
    }

    fn refuse_tag(&mut self, tag: &granit_parser::Tag, span: &Span) {
        let place = span.tag_span().map_or_else(|| place(span), |tag| self::place(&tag));
        let message = format!("the tag {} is not allowed", quoted(&tag.original()));
        let help = "remove the tag: a configuration is plain data and constructs nothing";
        self.findings.error(place, &self.trail(), message, help);
    }

    fn add(&mut self, size: Size, place: Place) -> Option<()> {
        self.size = self.size.plus(size);
        let message = if self.size.nodes > MAX_NODES {
            format!("more than {MAX_NODES} values, counting what aliases repeat")
        } else if self.size.text > MAX_TEXT {
            format!("more than {} KiB of text, counting what aliases repeat", MAX_TEXT / 1024)
        } else {
            return Some(());
        };
        self.findings.error(place, &self.trail(), message, "use fewer values or aliases");
        None
    }

    fn too_deep(&mut self, place: Place) {
        let message = format!("more than {MAX_DEPTH} levels of nesting");
        self.findings.error(place, "", message, "nest less deeply");
    }

    /// The keys that lead to where the next node goes.
    fn trail(&self) -> String {
        let mut trail = String::new();
        for frame in &self.stack {
            match &frame.open {
                Open::List(items) => trail.push_str(&format!("[{}]", items.len())),
                Open::Map { waiting: Some(Waiting { key: Some(key), .. }), .. } => {
                    if !trail.is_empty() {
                        trail.push('.');
                    }
                    trail.push_str(&shortened(&key.text));
                }
                Open::Map { .. } => {}
            }
        }
        trail
    }

    fn syntax(&mut self, error: &ScanError, text: &str) {
        let mut offset = error.marker().byte_offset().unwrap_or(0).min(text.len());
        if *error.kind() == ErrorKind::TabInPlainScalar {
            // The parser's place is the value before the line that the tab indents.
            offset += text.get(offset..).and_then(|rest| rest.find('\t')).unwrap_or(0);
        }
        let place = Place { offset, len: usize::from(offset < text.len()) };
        if *error.kind() == ErrorKind::RecursionLimitExceeded {
            return self.too_deep(place);
        }
        let rest_is_blank = text.get(offset..).is_none_or(|rest| rest.trim().is_empty());
        let help = match error.kind() {
            ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation
            | ErrorKind::TabInPlainScalar
            | ErrorKind::UnexpectedCharacter { character: '\t' } => "indent with spaces, not tabs",
            ErrorKind::UnexpectedCharacter { .. } => "put the value in quotes",
            ErrorKind::UnknownQuotedScalarEscape => {
                "write `\\\\` for a backslash, or use single quotes"
            }
            ErrorKind::InvalidTrailingDoubleQuotedScalar
            | ErrorKind::InvalidTrailingSingleQuotedScalar => {
                "is a quote missing, here or in a line before it?"
            }
            ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => {
                "indent it as its neighbours, and put a value that contains `: ` in quotes"
            }
            ErrorKind::SimpleKeyExpected | ErrorKind::ExpectedBlockMappingKey => {
                "write `key: value`, indented as its neighbours"
            }
            _ if rest_is_blank => "the text ends too early: was the file torn?",
            ErrorKind::UnclosedFlowCollection { .. } | ErrorKind::UnclosedQuotedScalar => {
                "where does it end? Or was the file torn?"
            }
            ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::ExpectedFlowSequenceSeparator => {
                "is a comma, a bracket or a quote missing before it?"
            }
            _ => "",
        };
        let trail = self.trail();
        self.findings.error(place, &trail, format!("not YAML: {}", error.kind()), help);
    }
}

/// Why a node cannot be a key.
struct KeyRefusal {
    message: String,
    help: &'static str,
    first: Option<Place>,
}

/// Takes a node as a key; an error without a refusal was reported already.
fn accept_key(
    keys: &mut HashMap<String, Place>,
    node: &Node,
) -> Result<Scalar, Option<KeyRefusal>> {
    let refused = |message: &str, help, first| {
        Err(Some(KeyRefusal { message: message.to_owned(), help, first }))
    };
    let key = match &*node.content {
        Content::Scalar(key) => key,
        Content::Broken => return Err(None),
        Content::List(_) | Content::Map(_) => {
            let message = "a list or a mapping cannot be a key";
            return refused(message, "write a name, then a colon", None);
        }
    };
    if key.text == "<<" && key.form == Form::Plain {
        let help = "write the keys out, or give the whole mapping by its alias";
        return refused("merge keys (`<<`) are not supported", help, None);
    }
    // Each `auto` becomes a different name, so it may be repeated. The walk refuses it elsewhere.
    if auto::is_auto(&key.text) {
        return Ok(key.clone());
    }
    if let Some(first) = keys.get(&key.text) {
        let message = format!("the key {} is there twice", quoted(&key.text));
        return refused(&message, "remove or rename one", Some(*first));
    }
    keys.insert(key.text.clone(), node.place);
    Ok(key.clone())
}

fn place(span: &Span) -> Place {
    let start = span.start.byte_offset().unwrap_or(0);
    let end = span.end.byte_offset().unwrap_or(start);
    Place { offset: start, len: end.saturating_sub(start) }
}
