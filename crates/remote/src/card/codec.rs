//! The card as plain data, in which it travels: from a worker, and to clients.
//!
//! ```text
//! card       {class, doc, version, members: {name: member}}
//! member     {kind, doc, oneway, readable, writable, parameters: [parameter], series, ...value}
//! series     {poll, keep, deadband}
//! parameter  {name, kind, doc, required, default, ...value}
//! value      {type, unit, minimum, maximum, choices}
//! ```
//!
//! A key that would say nothing is left out. A reader ignores what it does not know.

use wire::serializer::Serializer;
use wire::value::{Dict, Value};

use super::{Card, Member, MemberKind, Parameter, ParameterKind, SeriesFacts, Type, ValueInfo};

impl Card {
    /// Computes the version, once the rest is complete.
    #[must_use]
    pub fn seal(mut self) -> Self {
        self.version = hash(&self);
        self
    }

    /// The card as plain data.
    pub fn to_value(&self) -> Value {
        let members = self.members.iter();
        let members: Dict =
            members.map(|member| (member.name.as_str(), member_value(member))).collect();
        let mut dict = Dict::with_capacity(4);
        dict.insert("class", self.class.as_str());
        put_text(&mut dict, "doc", &self.doc);
        put_text(&mut dict, "version", &self.version);
        dict.insert("members", members);
        Value::Dict(dict)
    }

    /// Reads a card; `None` for other data.
    pub fn from_value(value: &Value) -> Option<Card> {
        let dict = value.as_dict()?;
        let members = dict.get("members")?.as_dict()?.iter();
        let members = members.filter_map(|(name, member)| read_member(name.as_str()?, member));
        Some(Card {
            class: text(dict, "class"),
            doc: text(dict, "doc"),
            version: text(dict, "version"),
            members: members.collect(),
        })
    }
}

/// Hash of a card without its version, the same in each run and on each machine.
fn hash(card: &Card) -> String {
    let bare = Card { version: String::new(), ..card.clone() };
    let mut bytes = Vec::new();
    // Fails for nesting only, and a card is not deep.
    let _ = Serializer::Serpent.encode(&bare.to_value(), &mut bytes);
    // FNV-1a, 64 bits: nobody gains by a collision.
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

fn member_value(member: &Member) -> Value {
    let mut dict = Dict::with_capacity(4);
    dict.insert(
        "kind",
        match member.kind {
            MemberKind::Method => "method",
            MemberKind::Property => "property",
            MemberKind::Stream => "stream",
        },
    );
    put_text(&mut dict, "doc", &member.doc);
    put_value(&mut dict, &member.value);
    if member.kind == MemberKind::Property {
        dict.insert("readable", member.readable);
        dict.insert("writable", member.writable);
    }
    if member.oneway {
        dict.insert("oneway", true);
    }
    if let Some(SeriesFacts { poll, keep, deadband }) = &member.series {
        let facts = [
            ("poll", poll.map(Value::from)),
            ("keep", keep.map(Value::from)),
            ("deadband", deadband.as_deref().map(Value::from)),
        ];
        let facts = facts.into_iter().filter_map(|(key, fact)| Some((key, fact?)));
        dict.insert("series", facts.collect::<Dict>());
    }
    if let Some(parameters) = &member.parameters {
        dict.insert("parameters", Value::List(parameters.iter().map(parameter_value).collect()));
    }
    Value::Dict(dict)
}

fn parameter_value(parameter: &Parameter) -> Value {
    let mut dict = Dict::with_capacity(4);
    dict.insert("name", parameter.name.as_str());
    let kind = match parameter.kind {
        ParameterKind::Either => None,
        ParameterKind::Positional => Some("positional"),
        ParameterKind::Keyword => Some("keyword"),
        ParameterKind::Variadic => Some("variadic"),
        ParameterKind::Keywords => Some("keywords"),
    };
    if let Some(kind) = kind {
        dict.insert("kind", kind);
    }
    put_text(&mut dict, "doc", &parameter.doc);
    put_value(&mut dict, &parameter.value);
    dict.insert("required", parameter.required);
    if let Some(default) = &parameter.default {
        dict.insert("default", default.clone());
    }
    Value::Dict(dict)
}

fn put_text(dict: &mut Dict, key: &str, text: &str) {
    if !text.is_empty() {
        dict.insert(key, text);
    }
}

fn put_value(dict: &mut Dict, info: &ValueInfo) {
    if info.kind != Type::Any {
        dict.insert("type", info.kind.to_value());
    }
    if let Some(unit) = &info.unit {
        dict.insert("unit", unit.as_str());
    }
    if let Some(minimum) = info.minimum {
        dict.insert("minimum", minimum);
    }
    if let Some(maximum) = info.maximum {
        dict.insert("maximum", maximum);
    }
    if let Some(choices) = &info.choices {
        dict.insert("choices", Value::List(choices.clone()));
    }
}

fn read_member(name: &str, value: &Value) -> Option<Member> {
    let dict = value.as_dict()?;
    let flag = |key| dict.get(key).and_then(Value::as_bool);
    let kind = match text(dict, "kind").as_str() {
        "property" => MemberKind::Property,
        "stream" => MemberKind::Stream,
        _ => MemberKind::Method,
    };
    let parameters = dict.get("parameters").and_then(Value::as_list);
    Some(Member {
        name: name.to_owned(),
        kind,
        doc: text(dict, "doc"),
        value: read_value(dict),
        readable: flag("readable").unwrap_or(kind == MemberKind::Property),
        writable: flag("writable").unwrap_or(false),
        oneway: flag("oneway").unwrap_or(false),
        parameters: parameters.map(|list| list.iter().filter_map(read_parameter).collect()),
        series: dict.get("series").and_then(Value::as_dict).map(read_series),
    })
}

fn read_series(dict: &Dict) -> SeriesFacts {
    let number = |key| dict.get(key).and_then(Value::as_f64).filter(|number| number.is_finite());
    let deadband = Some(text(dict, "deadband")).filter(|deadband| !deadband.is_empty());
    SeriesFacts { poll: number("poll"), keep: number("keep"), deadband }
}

fn read_parameter(value: &Value) -> Option<Parameter> {
    let dict = value.as_dict()?;
    Some(Parameter {
        name: dict.get("name")?.as_str()?.to_owned(),
        kind: match text(dict, "kind").as_str() {
            "positional" => ParameterKind::Positional,
            "keyword" => ParameterKind::Keyword,
            "variadic" => ParameterKind::Variadic,
            "keywords" => ParameterKind::Keywords,
            _ => ParameterKind::Either,
        },
        value: read_value(dict),
        doc: text(dict, "doc"),
        required: dict.get("required").and_then(Value::as_bool).unwrap_or(false),
        default: dict.get("default").cloned(),
    })
}

fn read_value(dict: &Dict) -> ValueInfo {
    let number = |key| dict.get(key).and_then(Value::as_f64).filter(|number| number.is_finite());
    ValueInfo {
        kind: dict.get("type").map_or(Type::Any, Type::from_value),
        unit: Some(text(dict, "unit")).filter(|unit| !unit.is_empty()),
        minimum: number("minimum"),
        maximum: number("maximum"),
        choices: dict.get("choices").and_then(Value::as_list).map(<[Value]>::to_vec),
    }
}

fn text(dict: &Dict, key: &str) -> String {
    dict.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_survives_the_wire_and_its_version_follows_its_content() {
        let voltage = ValueInfo {
            kind: Type::Float,
            unit: Some("V".into()),
            minimum: Some(0.0),
            maximum: Some(30.0),
            choices: Some(vec![Value::from(1)]),
        };
        let go = Parameter {
            name: "x".into(),
            kind: ParameterKind::Keyword,
            value: voltage.clone(),
            doc: "Where to".into(),
            required: false,
            default: Some(Value::None),
        };
        let card = Card {
            class: "Supply".into(),
            members: vec![
                Member {
                    name: "voltage".into(),
                    kind: MemberKind::Property,
                    value: voltage,
                    readable: true,
                    writable: true,
                    series: Some(SeriesFacts {
                        poll: Some(0.5),
                        keep: None,
                        deadband: Some("1%".into()),
                    }),
                    ..Member::default()
                },
                Member {
                    name: "go".into(),
                    doc: "Goes".into(),
                    oneway: true,
                    parameters: Some(vec![go]),
                    ..Member::default()
                },
            ],
            ..Card::default()
        }
        .seal();
        let read = Card::from_value(&card.to_value()).unwrap();
        assert_eq!(read.members, card.members);
        assert_eq!(read.version, card.version);
        assert_eq!(read.clone().seal().version, card.version);
        let mut other = read;
        other.members[0].value.maximum = Some(31.0);
        assert_ne!(other.seal(), card);
        assert!(Card::from_value(&Value::from(1)).is_none());
    }
}
