//! Check of one value against its kind: the second half of the walk.
//!
//! Owns the values that each kind accepts, at least those that PyroLab's models accept, and the
//! messages for all others. Must not know sections.

use super::data::Data;
use super::problem::{quoted, shortened};
use super::scalar::{Meaning, Scalar, lenient_number, surprise};
use super::schema::{Field, Rule, ValueKind};
use super::text;
use super::tree::{Content, Node};
use super::walk::{Walk, found};
use super::{advice, auto, bytes, date, duration};

/// The longest duration, in seconds: some thirty years.
const MAX_SECONDS: f64 = 1e9;
/// The smallest size, in bytes: what has one is useless below it.
const SMALLEST_SIZE: i64 = 1024 * 1024;

impl Walk<'_> {
    /// The value of a field, or `None` after its problem was reported.
    pub(super) fn value(&mut self, field: &Field, node: &Node) -> Option<Data> {
        let scalar = match &*node.content {
            Content::Broken => return None,
            Content::Scalar(scalar) => Some(scalar),
            Content::List(_) | Content::Map(_) => None,
        };
        let meaning = scalar.and_then(Scalar::meaning);
        // An `access:` whose lines are all commented out must not mean that everybody may do
        // everything.
        let is_empty_access = matches!(field.kind, ValueKind::Group(section) if section.key == "access")
            && scalar.is_some_and(|scalar| scalar.text.is_empty());
        if field.default == "null" && meaning == Some(Meaning::Null) && !is_empty_access {
            return match field.kind {
                ValueKind::Expose => Some("decorated".into()),
                _ => Some(Data::Null),
            };
        }
        match field.kind {
            ValueKind::Group(section) => self.group(section, node),
            ValueKind::GroupOrText { section, key } => self.group_or_text(section, key, node),
            ValueKind::OneOrMore(section) => self.one_or_more(field, section, node),
            ValueKind::Values => self.values(field, node),
            ValueKind::GroupOrFlag(section) => self.group_or_flag(section, field, node),
            ValueKind::Entries(section) => self.entries(section, node),
            ValueKind::Members(section) => self.members(section, node),
            ValueKind::Records(section) => self.records(field, section, node),
            ValueKind::Texts => self.texts(field, "a text or a list of texts", node),
            ValueKind::Groups => self.groups(field, node),
            ValueKind::Number => self.number(field, node),
            ValueKind::Choices => self.choices(field, node),
            ValueKind::Deadband => self.deadband(field, node),
            ValueKind::Text(rule) => self.text(field, rule, node),
            ValueKind::Name => self.text(field, Rule::Any, node),
            ValueKind::Version => self.version(field, node),
            ValueKind::Choice(choices) => self.choice(field, choices, node),
            ValueKind::Storage => self.storage(field, node),
            ValueKind::Int { what, min, max } => self.int(field, what, min..=max, node),
            ValueKind::Seconds { zero } => self.seconds(field, zero, node),
            ValueKind::Bytes => self.bytes(field, node),
            ValueKind::Delays => self.delays(field, node),
            ValueKind::Flag => self.flag(field, "`true` or `false`", node),
            ValueKind::TlsMode => match scalar {
                Some(scalar) if scalar.text == "offered" => Some("offered".into()),
                _ => self.flag(field, "`true`, `false` or `offered`", node),
            },
            ValueKind::Names => {
                let what = format!("a list of names of {}", field.key);
                self.list(field, &what, Rule::Any, node)
            }
            ValueKind::List(rule) => {
                self.list(field, &format!("a list, each {}", rule.what()), rule, node)
            }
            ValueKind::Environment => self.environment(field, node),
            ValueKind::Headers => self.headers(field, node),
            ValueKind::Parameters => match &*node.content {
                Content::Map(_) => self.data(node),
                _ => self.not_a_mapping(node, "a mapping from parameters to values", "{}"),
            },
            ValueKind::Arguments => self.arguments(field, node),
            ValueKind::Expose => {
                let names = self.all_or_list(field, "members", Rule::Identifier, node)?;
                Some(match names.as_str() {
                    Some(_) => names,
                    None => Data::Map(vec![("names".to_owned(), names)]),
                })
            }
            ValueKind::Parts => {
                let names = self.all_or_list(field, "parts", Rule::Member, node)?;
                Some(if names.as_str().is_some() { Data::List(vec![names]) } else { names })
            }
        }
    }

    pub(super) fn text(&mut self, field: &Field, rule: Rule, node: &Node) -> Option<Data> {
        // A method may well be called `off`, and there it can be nothing else.
        let word =
            scalar(node).filter(|scalar| rule == Rule::Identifier && !scalar.text.is_empty());
        // A file may well be called `5`; a number in its place is rather a mistake.
        let is_no_path = rule == Rule::Path && is_number(node);
        let written = written_text(node).filter(|_| !is_no_path);
        let Some(text) = written.or(word.map(|scalar| scalar.text.as_str())) else {
            return self.expected(field, node, rule.what());
        };
        match text::check(rule, text) {
            Ok(()) => Some(text.into()),
            Err(fault) => {
                let message = format!("{} is not {}: {}", quoted(text), rule.what(), fault.message);
                let help = match fault.help {
                    Some(help) => help,
                    None => format!("for example `{}: {}`", field.key, field.example),
                };
                self.error(node.place, message, help);
                None
            }
        }
    }

    fn version(&mut self, field: &Field, node: &Node) -> Option<Data> {
        let Some(text) = written_text(node) else {
            return self.expected(field, node, "the version of the format");
        };
        match text.split_once('.').unwrap_or((text, "0")) {
            ("1", minor) if minor.trim_end_matches('0').is_empty() => Some("1.0".into()),
            ("1", minor) if minor.bytes().all(|byte| byte.is_ascii_digit()) => {
                let help = "keys that are new in it are refused as unknown";
                self.warn(node.place, format!("version {text} is newer than 1.0"), help);
                Some(text.into())
            }
            _ => {
                let message = format!("version {} of the format is not known", quoted(text));
                self.error(node.place, message, "write `version: \"1.0\"`");
                None
            }
        }
    }

    fn choice(&mut self, field: &Field, choices: &[&str], node: &Node) -> Option<Data> {
        let what = choices.iter().map(|choice| quoted(choice)).collect::<Vec<_>>().join(" or ");
        // `off` is a word here, whatever YAML makes of it.
        let word = scalar(node).map(|scalar| scalar.text.as_str());
        let word = word.filter(|word| choices.contains(word));
        let Some(text) = word.or(written_text(node)) else {
            return self.expected(field, node, &what);
        };
        if choices.contains(&text) {
            return Some(text.into());
        }
        let help = match advice::did_you_mean(text, choices.iter().copied()) {
            Some(help) => help,
            None => format!("for example `{}: {}`", field.key, field.example),
        };
        self.error(node.place, format!("expected {what}, found {}", found(node)), help);
        None
    }

    fn storage(&mut self, field: &Field, node: &Node) -> Option<Data> {
        let what = "`memory`, `sql`, `sql:FILE` or `etcd`";
        let Some(text) = written_text(node) else { return self.expected(field, node, what) };
        let (kind, file) =
            text.split_once(':').map_or((text, None), |(kind, file)| (kind, Some(file)));
        let help = match (kind, file) {
            ("memory" | "sql" | "etcd", None) => return Some(text.into()),
            ("sql", Some(file)) if !file.trim().is_empty() => return Some(text.into()),
            ("sql", Some(_)) => "write the file after `sql:`, or `sql` alone".to_owned(),
            ("dbm", _) => {
                "dbm keeps no metadata and is not supported: write `storage: sql`".to_owned()
            }
            (kind, _) => match advice::did_you_mean(kind, ["memory", "sql", "etcd"]) {
                Some(help) => help,
                None => "for example `storage: sql`".to_owned(),
            },
        };
        self.error(node.place, format!("expected {what}, found {}", found(node)), help);
        None
    }

    fn int(
        &mut self,
        field: &Field,
        what: &str,
        range: std::ops::RangeInclusive<i64>,
        node: &Node,
    ) -> Option<Data> {
        let value = scalar(node).and_then(|scalar| match scalar.meaning()? {
            Meaning::Int(value) => Some(i64::try_from(&value).unwrap_or(i64::MAX)),
            Meaning::Float(value) => whole(value),
            // PyroLab reads a quoted number as the number.
            Meaning::Text => lenient_number(&scalar.text).and_then(whole),
            _ => None,
        });
        match value {
            Some(value) if range.contains(&value) => Some(Data::Int(value)),
            _ => {
                let what = format!("{what} from {} to {}", range.start(), range.end());
                self.expected(field, node, &what)
            }
        }
    }

    fn seconds(&mut self, field: &Field, zero: bool, node: &Node) -> Option<Data> {
        let value = scalar(node).and_then(|scalar| match scalar.meaning()? {
            Meaning::Int(value) => value.to_string().parse().ok(),
            Meaning::Float(value) => Some(value),
            Meaning::Text => {
                let text = &scalar.text;
                lenient_number(text).or_else(|| duration::seconds_with_unit(text))
            }
            _ => None,
        });
        let least = if zero { 0.0 } else { f64::MIN_POSITIVE };
        match value {
            Some(value) if (least..=MAX_SECONDS).contains(&value) => Some(Data::Float(value)),
            _ if zero => self.expected(
                field,
                node,
                "a number of seconds, or 0 for none; a unit may follow (`30s`, `5m`)",
            ),
            _ => self.expected(
                field,
                node,
                "a number of seconds greater than 0; a unit may follow (`30s`, `5m`)",
            ),
        }
    }

    fn bytes(&mut self, field: &Field, node: &Node) -> Option<Data> {
        let value = scalar(node).and_then(|scalar| match scalar.meaning()? {
            Meaning::Int(value) => value.to_string().parse().ok(),
            Meaning::Float(value) => Some(value),
            Meaning::Text => bytes::bytes_with_unit(&scalar.text),
            _ => None,
        });
        match value.and_then(whole) {
            Some(value) if value >= SMALLEST_SIZE => Some(Data::Int(value)),
            _ => self.expected(field, node, "a size of at least 1 MiB, such as `500MB` or `2GiB`"),
        }
    }

    fn delays(&mut self, field: &Field, node: &Node) -> Option<Data> {
        match &*node.content {
            Content::List(nodes) => {
                if nodes.is_empty() {
                    let help = "write `[0]` for a restart without a delay, or remove the key";
                    self.error(node.place, "expected at least one delay, found none", help);
                    return None;
                }
                Some(Data::List(self.items(nodes, |walk, node| walk.seconds(field, true, node))))
            }
            _ => self.expected(field, node, "a list of numbers of seconds"),
        }
    }

    pub(super) fn flag(&mut self, field: &Field, what: &str, node: &Node) -> Option<Data> {
        let value = scalar(node).and_then(|scalar| match scalar.meaning()? {
            Meaning::Bool(value) => Some(value),
            _ => match scalar.text.to_lowercase().as_str() {
                "true" | "t" | "yes" | "y" | "on" | "1" | "1.0" => Some(true),
                "false" | "f" | "no" | "n" | "off" | "0" | "0.0" => Some(false),
                _ => None,
            },
        });
        match value {
            Some(value) => Some(Data::Bool(value)),
            None => self.expected(field, node, what),
        }
    }

    fn list(&mut self, field: &Field, what: &str, rule: Rule, node: &Node) -> Option<Data> {
        let nodes = match &*node.content {
            Content::List(nodes) => nodes,
            Content::Scalar(scalar) => {
                let help = match scalar.text.as_str() {
                    "" | "null" | "~" => "write `[]`, or remove the key".to_owned(),
                    text => format!("write a list: `{}: [{}]`", field.key, shortened(text)),
                };
                self.error(node.place, format!("expected {what}, found {}", found(node)), help);
                return None;
            }
            _ => return self.expected(field, node, what),
        };
        Some(Data::List(self.items(nodes, |walk, node| walk.text(field, rule, node))))
    }

    /// The word `all`, or a list.
    fn all_or_list(&mut self, field: &Field, what: &str, rule: Rule, node: &Node) -> Option<Data> {
        let what = format!("`all` or a list of {what}");
        if let Content::List(_) = &*node.content {
            return self.list(field, &what, rule, node);
        }
        match written_text(node) {
            Some("all") => Some("all".into()),
            Some(text) if text::check(rule, text).is_ok() => {
                let message = format!("expected {what}, found {}", found(node));
                let key = field.key;
                let help = format!("write `{key}: all` or `{key}: [{text}]`");
                self.error(node.place, message, help);
                None
            }
            _ => self.expected(field, node, &what),
        }
    }

    fn arguments(&mut self, field: &Field, node: &Node) -> Option<Data> {
        let form = match &*node.content {
            Content::List(_) => "positional",
            Content::Map(_) => "keyword",
            _ => {
                return self.expected(
                    field,
                    node,
                    "a list of arguments or a mapping of keyword ones",
                );
            }
        };
        Some(Data::Map(vec![(form.to_owned(), self.data(node)?)]))
    }

    /// Plain data of any shape, without its invalid parts.
    pub(super) fn data(&mut self, node: &Node) -> Option<Data> {
        let scalar = match &*node.content {
            Content::Broken => return None,
            Content::List(nodes) => {
                let items = nodes.iter().enumerate();
                let items = items.filter_map(|(index, node)| {
                    self.under(&format!("[{index}]"), |walk| walk.data(node))
                });
                return Some(Data::List(items.collect()));
            }
            Content::Map(_) => return Some(self.mapping(node)),
            Content::Scalar(scalar) => scalar,
        };
        let meaning = scalar.meaning()?;
        if scalar.is_plain()
            && let Some(surprise) = surprise(&scalar.text, &meaning)
        {
            let help = match &meaning {
                Meaning::Text => "write a number as `1.0e+6` or `0.5`, or a text in quotes",
                _ => "write the number plainly, or put it in quotes to mean the text",
            };
            self.warn(node.place, surprise, help);
        }
        let text = &scalar.text;
        Some(match meaning {
            Meaning::Null => Data::Null,
            Meaning::Bool(value) => Data::Bool(value),
            Meaning::Int(value) => value.into(),
            Meaning::Float(value) => Data::Float(value),
            Meaning::Text => text.as_str().into(),
            Meaning::Date => {
                let Some(iso) = date::iso(text) else {
                    let message = format!("{} is a date that does not exist", quoted(text));
                    self.error(
                        node.place,
                        message,
                        "correct it, or put it in quotes to mean the text",
                    );
                    return None;
                };
                Data::Date(iso)
            }
            Meaning::TooLong => {
                let message = format!("a number of {} digits is too long", text.len());
                self.error(node.place, message, "put it in quotes to mean the text");
                return None;
            }
        })
    }

    fn mapping(&mut self, node: &Node) -> Data {
        let Content::Map(pairs) = &*node.content else { return Data::Null };
        let mut entries: Vec<(String, Data)> = Vec::new();
        let mut autos = Vec::new();
        for pair in pairs {
            let key = &pair.key.text;
            if !matches!(pair.key.meaning(), Some(Meaning::Text | Meaning::Date)) {
                let message = format!("expected a text as the key, found {}", quoted(key));
                let help = format!("write \"{}\" in quotes", shortened(key));
                self.error(pair.place, message, help);
                continue;
            }
            if auto::is_auto(key) {
                if autos.contains(&key) {
                    let message = format!("the key {} is there twice", quoted(key));
                    self.error(pair.place, message, "remove or rename one");
                    continue;
                }
                autos.push(key);
            }
            let value = self.under(key, |walk| walk.data(&pair.value));
            entries.extend(value.map(|value| (key.clone(), value)));
        }
        Data::Map(entries)
    }
}

pub(super) fn scalar(node: &Node) -> Option<&Scalar> {
    match &*node.content {
        Content::Scalar(scalar) => Some(scalar),
        _ => None,
    }
}

/// The text of a value that can be taken for one. A number counts as it is written, so that a
/// version `1.10` stays one; true, false and nothing do not count.
pub(super) fn written_text(node: &Node) -> Option<&str> {
    let scalar = scalar(node)?;
    match scalar.meaning()? {
        Meaning::Null | Meaning::Bool(_) => None,
        _ => Some(&scalar.text),
    }
}

fn is_number(node: &Node) -> bool {
    let meaning = scalar(node).and_then(Scalar::meaning);
    matches!(meaning, Some(Meaning::Int(_) | Meaning::Float(_)))
}

fn whole(value: f64) -> Option<i64> {
    // Bounds are far below this, where every whole number is exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (value.fract() == 0.0).then(|| value.clamp(-EXACT, EXACT) as i64)
}
