//! Generator of the configuration reference (Markdown) and of the JSON Schema for editors.
//!
//! Both are checked in, and a test fails when they are stale. The meaning of each key is in the
//! tables of `schema` and nowhere else.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::config_text::ConfigText;
use super::problem::Findings;
use super::scalar::Meaning;
use super::schema::{
    ACCESS, ALARM, ARGUMENT, AUTOLAUNCH, DAEMON, ETCD, Field, GRANT, HEALTH, HISTORY, LAB, MEMBER,
    NAMESERVER, NOTIFY, PACKAGES, PORTABLE, PUSH, PYTHON, Rule, SERVICE, SIMULATE, SUPERVISION,
    Section, TOP, ValueKind, WEB,
};
use super::tree::{self, Content, Node};
use super::{bytes, duration};

/// Sections that have a chapter, in the order of the reference.
const CHAPTERS: &[(&str, &Section)] = &[
    ("The whole file", &TOP),
    ("Nameservers", &NAMESERVER),
    ("etcd", &ETCD),
    ("Daemons", &DAEMON),
    ("Services", &SERVICE),
    ("Members", &MEMBER),
    ("Arguments", &ARGUMENT),
    ("Simulate", &SIMULATE),
    ("What starts with the lab", &AUTOLAUNCH),
    ("Python", &PYTHON),
    ("Supervision", &SUPERVISION),
    ("Health", &HEALTH),
    ("Notify", &NOTIFY),
    ("Access", &ACCESS),
    ("Grants", &GRANT),
    ("Alarm", &ALARM),
    ("Push", &PUSH),
    ("Web", &WEB),
    ("History", &HISTORY),
    ("Labs", &LAB),
    ("Portable", &PORTABLE),
    ("Packages", &PACKAGES),
];

const OPENING: &str = "\
# Configuration reference

<!-- Written by `cargo xtask docs` from the tables in crates/lab-config/src/schema. -->

One YAML file says what runs on a host. It is PyroLab's format, version 1.0, with some keys more:
a file of PyroLab's loads as it is.

    ferrolab config check lab.yaml     # every problem, with its line
    ferrolab config update lab.yaml    # take it over
    ferrolab reload                    # let the running lab take it up

An unknown key is an error, so that a typing mistake is never silently a default. Relative paths
are taken from the folder that the file was in when it was taken over, `~/` from the user's own.
A duration is a number of seconds, or has a unit: `200ms`, `1s`, `5m`, `3h`, `30d`. A size is a
number of bytes, or has a unit: `500MB`, `2GiB`.
Names may be `auto` or `auto N`: a name of N words is made up, always the same one on one host.
`host: public` stands for all addresses of this host, whatever they are at the time; as `nathost`,
for the one on its network.

For completion and checks in an editor, put this into the first line of a file:

    # yaml-language-server: $schema=PATH/TO/docs/config.schema.json
";

/// The reference, as Markdown.
pub fn markdown() -> String {
    let mut text = OPENING.to_owned();
    for (title, section) in CHAPTERS {
        text.push_str(&format!("\n## {title}\n\n{}\n", section.doc));
        match section.key {
            "" => {}
            "members" => text.push_str("Under `members` of a service, by name.\n"),
            "arguments" => {
                text.push_str("Under `arguments` of a method in `members`, by name.\n");
            }
            "autolaunch" => text.push_str("Under `autolaunch`.\n"),
            "health" => text.push_str("Under `health` of a service.\n"),
            "access" => text.push_str("Under `access` of the file.\n"),
            "grants" => text.push_str("Under `grants` of `access`, a list.\n"),
            "alarm" => text.push_str("Under `alarm` of a member, one or a list of them.\n"),
            "push" => text.push_str("Under `push` of the file, one or a list of them.\n"),
            "packages" => text.push_str("Under `packages` of `portable`, a list.\n"),
            "history" | "notify" | "portable" | "web" => {
                text.push_str(&format!("Under `{}` of the file.\n", section.key));
            }
            "python" => text.push_str("Under `python` of the file, of a daemon or of a service.\n"),
            "supervision" => {
                text.push_str(
                    "Under `supervision` of a nameserver, a daemon, `web` or `history`.\n",
                );
            }
            key => text.push_str(&format!("Under `{key}`, by name.\n")),
        }
        text.push_str("\n| key | value | default | what it means |\n|---|---|---|---|\n");
        for field in section.fields {
            let default = match field.default {
                "null" => "none".to_owned(),
                default => format!("`{default}`"),
            };
            let doc = cell(field.doc);
            let (key, what) = (field.key, words(field.kind));
            text.push_str(&format!("| `{key}` | {what} | {default} | {doc} |\n"));
        }
        text.push_str("\nFor example:\n\n");
        let deep = match section.key {
            "nameservers" | "daemons" | "services" | "members" | "arguments" | "labs" => {
                text.push_str(&format!("    {}:\n      NAME:\n", section.key));
                8
            }
            "" => 4,
            "grants" => {
                text.push_str("    access:\n      grants:\n      -\n");
                8
            }
            "packages" => {
                text.push_str("    portable:\n      packages:\n      -\n");
                8
            }
            key => {
                text.push_str(&format!("    {key}:\n"));
                6
            }
        };
        for field in section.fields {
            // A service is either a Python class or a built-in.
            if field.key != "native" {
                text.push_str(&format!("{:deep$}{}: {}\n", "", field.key, field.example));
            }
        }
    }
    text
}

/// The JSON Schema of a file (draft 7, which editors know best).
pub fn json_schema() -> Value {
    let mut definitions = Map::new();
    for (_, section) in CHAPTERS.iter().filter(|(_, section)| !section.key.is_empty()) {
        definitions.insert(section.key.to_owned(), object(section));
    }
    let mut schema = object(&TOP);
    if let Value::Object(fields) = &mut schema {
        fields.insert("$schema".into(), "http://json-schema.org/draft-07/schema#".into());
        fields.insert("title".into(), "Ferrolab configuration".into());
        fields.insert("definitions".into(), Value::Object(definitions));
    }
    schema
}

fn object(section: &Section) -> Value {
    let properties: Map<String, Value> =
        section.fields.iter().map(|field| (field.key.to_owned(), property(field))).collect();
    json!({
        "type": "object", "description": section.doc, "additionalProperties": false,
        "properties": properties,
    })
}

fn property(field: &Field) -> Value {
    let mut schema = value_schema(field.kind);
    if let Value::Object(fields) = &mut schema {
        // In draft 7 nothing counts beside a `$ref`.
        if let Some(reference) = fields.remove("$ref") {
            fields.insert("allOf".into(), json!([{ "$ref": reference }]));
        }
    }
    if field.default == "null" {
        schema = json!({ "anyOf": [schema, { "type": "null" }] });
    }
    if let Value::Object(fields) = &mut schema {
        fields.insert("description".into(), field.doc.into());
        fields.insert("default".into(), plain(field.default));
        fields.insert("examples".into(), json!([plain(field.example)]));
    }
    schema
}

fn value_schema(kind: ValueKind) -> Value {
    let texts = || json!({ "type": "array", "items": { "type": ["string", "number"] } });
    match kind {
        ValueKind::Version => json!({ "type": ["string", "number"] }),
        ValueKind::Text(Rule::Any | Rule::Secret) | ValueKind::Name => {
            json!({ "type": ["string", "number"] })
        }
        ValueKind::Text(_) => json!({ "type": "string" }),
        ValueKind::Int { min, max, .. } => {
            json!({ "type": "integer", "minimum": min, "maximum": max })
        }
        ValueKind::Seconds { zero } => duration(zero),
        ValueKind::Bytes => json!({ "anyOf": [
            { "type": "number", "minimum": 0 }, { "type": "string", "pattern": bytes::PATTERN },
        ] }),
        ValueKind::Delays => json!({ "type": "array", "items": duration(true) }),
        ValueKind::Flag => json!({ "type": "boolean" }),
        ValueKind::TlsMode => json!({ "enum": [true, false, "offered"] }),
        ValueKind::Choice(choices) => json!({ "enum": choices }),
        ValueKind::Storage => json!({ "type": "string", "pattern": "^(memory|sql|sql:.+|etcd)$" }),
        ValueKind::Names => texts(),
        ValueKind::List(_) => json!({ "type": "array", "items": { "type": "string" } }),
        ValueKind::Environment | ValueKind::Headers => {
            json!({ "type": "object", "additionalProperties": { "type": ["string", "number"] } })
        }
        ValueKind::Parameters => json!({ "type": "object" }),
        ValueKind::Arguments => json!({ "type": ["array", "object"] }),
        ValueKind::Expose | ValueKind::Parts => {
            json!({ "anyOf": [{ "const": "all" }, texts()] })
        }
        ValueKind::Group(section) => json!({ "$ref": format!("#/definitions/{}", section.key) }),
        ValueKind::GroupOrText { section, .. } => json!({ "anyOf": [
            { "type": "string" }, { "$ref": format!("#/definitions/{}", section.key) },
        ] }),
        ValueKind::GroupOrFlag(section) => json!({ "anyOf": [
            { "type": "boolean" }, { "$ref": format!("#/definitions/{}", section.key) },
        ] }),
        ValueKind::Number => json!({ "type": "number" }),
        ValueKind::Deadband => json!({ "anyOf": [
            { "type": "number", "minimum": 0 },
            { "type": "string", "pattern": r"^[0-9]*\.?[0-9]+ ?%$" },
        ] }),
        ValueKind::Choices => json!({
            "type": "array", "minItems": 1,
            "items": { "type": ["string", "number", "boolean"] },
        }),
        ValueKind::Records(section) => json!({
            "type": "array", "items": { "$ref": format!("#/definitions/{}", section.key) },
        }),
        ValueKind::Texts => json!({ "anyOf": [{ "type": "string" }, texts()] }),
        ValueKind::Groups => {
            let people = json!({ "anyOf": [{ "type": "string" }, texts()] });
            json!({ "type": "object", "additionalProperties": people })
        }
        ValueKind::Values => json!({ "anyOf": [
            { "type": ["string", "number", "boolean"] },
            { "type": "array", "items": { "type": ["string", "number", "boolean"] } },
        ] }),
        ValueKind::OneOrMore(section) => {
            let one = json!({ "$ref": format!("#/definitions/{}", section.key) });
            json!({ "anyOf": [one, { "type": "array", "items": one }] })
        }
        ValueKind::Entries(section) | ValueKind::Members(section) => {
            let entry = json!({ "$ref": format!("#/definitions/{}", section.key) });
            json!({ "type": "object", "additionalProperties": entry })
        }
    }
}

/// A number of seconds, or a text with a unit.
fn duration(zero: bool) -> Value {
    let least = if zero { "minimum" } else { "exclusiveMinimum" };
    json!({ "anyOf": [
        { "type": "number", least: 0 }, { "type": "string", "pattern": duration::PATTERN },
    ] })
}

/// Description of a kind of value in a few words.
fn words(kind: ValueKind) -> String {
    let word = match kind {
        ValueKind::Version => "version",
        ValueKind::Text(Rule::Any | Rule::Secret | Rule::Tag | Rule::Package) => "text",
        ValueKind::Text(Rule::Host) => "host or address",
        ValueKind::Text(Rule::Module) => "Python module",
        ValueKind::Text(Rule::Identifier | Rule::Member) => "Python name",
        ValueKind::Text(Rule::Path | Rule::Socket) => "path",
        ValueKind::Int { min, max, .. } => return format!("whole number, {min} to {max}"),
        ValueKind::Seconds { .. } => "duration",
        ValueKind::Bytes => "size",
        ValueKind::Delays => "list of durations",
        ValueKind::Flag => "true or false",
        ValueKind::TlsMode => "true, false or `offered`",
        ValueKind::Choice(choices) => {
            let quoted: Vec<String> = choices.iter().map(|choice| format!("`{choice}`")).collect();
            return quoted.join(" or ");
        }
        ValueKind::Storage => "`memory`, `sql`, `sql:FILE`, `etcd`",
        ValueKind::Name => "name",
        ValueKind::Names => "list of names",
        ValueKind::List(_) => "list of texts",
        ValueKind::Environment => "variables",
        ValueKind::Headers => "header fields",
        ValueKind::Parameters => "mapping",
        ValueKind::Arguments => "list or mapping",
        ValueKind::Expose => "`all` or list of members",
        ValueKind::Parts => "`all` or list of parts",
        ValueKind::Group(section) => return format!("see [{}](#{})", section.key, anchor(section)),
        ValueKind::GroupOrText { section, key } => {
            return format!("{key}, or see [{0}](#{0})", section.key);
        }
        ValueKind::GroupOrFlag(section) => {
            return format!("true or false, or see [{0}](#{0})", section.key);
        }
        ValueKind::Number => "number",
        ValueKind::Deadband => "number or percentage",
        ValueKind::Choices => "list of texts or numbers",
        ValueKind::Records(section) => {
            return format!("list, see [{0}](#{0})", section.key);
        }
        ValueKind::Texts => "text or list of texts",
        ValueKind::Groups => "lists of people by name",
        ValueKind::Values => "text, number or boolean, or a list",
        ValueKind::OneOrMore(section) => {
            return format!("one or a list, see [{}](#{})", section.key, anchor(section));
        }
        ValueKind::Entries(section) | ValueKind::Members(section) => {
            return format!("by name, see [{0}](#{0})", section.key);
        }
    };
    word.to_owned()
}

fn anchor(section: &Section) -> &'static str {
    match section.key {
        "autolaunch" => "what-starts-with-the-lab",
        key => key,
    }
}

/// As text in a table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// A YAML text of the tables as JSON.
fn plain(yaml: &str) -> Value {
    let mut nothing = Findings::new(Arc::new(ConfigText::new("table", yaml)));
    tree::parse(&mut nothing, yaml).map_or(Value::Null, |node| data(&node))
}

fn data(node: &Node) -> Value {
    match &*node.content {
        Content::Broken => Value::Null,
        Content::List(items) => Value::Array(items.iter().map(data).collect()),
        Content::Map(pairs) => Value::Object(
            pairs.iter().map(|pair| (pair.key.text.clone(), data(&pair.value))).collect(),
        ),
        Content::Scalar(scalar) => match scalar.meaning() {
            Some(Meaning::Null) | None => Value::Null,
            Some(Meaning::Bool(value)) => value.into(),
            Some(Meaning::Int(value)) => i64::try_from(&value).map_or(Value::Null, Value::from),
            Some(Meaning::Float(value)) => value.into(),
            Some(Meaning::Text | Meaning::Date | Meaning::TooLong) => scalar.text.clone().into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALE: &str = "is stale: run `cargo xtask docs`";

    #[test]
    fn the_pages_that_are_checked_in_are_fresh() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/");
        let read = |name: &str| std::fs::read_to_string(format!("{folder}{name}")).unwrap();
        assert!(read("configuration.md") == markdown(), "docs/configuration.md {STALE}");
        let schema: Value = serde_json::from_str(&read("config.schema.json")).unwrap();
        assert!(schema == json_schema(), "docs/config.schema.json {STALE}");
    }

    #[test]
    fn every_key_is_in_both() {
        let (page, schema) = (markdown(), json_schema().to_string());
        for (_, section) in CHAPTERS {
            for field in section.fields {
                assert!(page.contains(&format!("| `{}` |", field.key)), "{}", field.key);
                assert!(schema.contains(&format!("\"{}\":", field.key)), "{}", field.key);
            }
        }
    }
}
