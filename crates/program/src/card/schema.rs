//! JSON Schema (2020-12) of the values on a card, and the card as one JSON document.
//!
//! Units are under `unit`, as in a Thing Description; a validator ignores it.

use remote::card::{Member, MemberKind, Parameter, ParameterKind, SeriesFacts, Type, ValueInfo};
use remote::{Serializer, Value};
use serde_json::{Map, Value as Json, json};

use super::described::DescribedService;

/// The card of a service, with a schema for each value.
pub(crate) fn description(service: &DescribedService) -> Json {
    let card = &service.card;
    let members = card.members.iter().map(|member| (member.name.clone(), member_json(member)));
    json!({
        "name": service.name,
        "uri": service.uri.to_string(),
        "class": card.class,
        "doc": card.doc,
        "version": card.version,
        "members": members.collect::<Map<String, Json>>(),
    })
}

fn member_json(member: &Member) -> Json {
    let mut json = json!({ "doc": member.doc });
    match member.kind {
        MemberKind::Property => {
            json["kind"] = "property".into();
            json["readable"] = member.readable.into();
            json["writable"] = member.writable.into();
            json["value"] = value_schema(&member.value);
        }
        MemberKind::Method | MemberKind::Stream => {
            let is_stream = member.kind == MemberKind::Stream;
            json["kind"] = if is_stream { "stream" } else { "method" }.into();
            json["oneway"] = member.oneway.into();
            json["arguments"] = arguments_schema(member);
            json["order"] = by_place(member).map(|one| one.name.as_str()).collect();
            json[if is_stream { "item" } else { "result" }] = value_schema(&member.value);
        }
    }
    if let Some(series) = &member.series {
        let SeriesFacts { poll, keep, deadband } = series;
        json["series"] = json!({ "poll": poll, "keep": keep, "deadband": deadband });
    }
    json
}

/// Parameters that can be given by their places, in order.
fn by_place(member: &Member) -> impl Iterator<Item = &Parameter> {
    let has_place =
        |one: &&Parameter| matches!(one.kind, ParameterKind::Either | ParameterKind::Positional);
    member.parameters.iter().flatten().filter(has_place)
}

/// The arguments of a method as an object with their names.
pub(super) fn arguments_schema(member: &Member) -> Json {
    let Some(parameters) = &member.parameters else { return json!({ "type": "object" }) };
    let mut properties = Map::new();
    let mut required = Vec::new();
    let mut takes_others = false;
    for parameter in parameters {
        if !parameter.is_single() {
            takes_others = true;
            continue;
        }
        let mut schema = value_schema(&parameter.value);
        if let Some(default) = &parameter.default {
            schema["default"] = json_of(default);
        }
        if !parameter.doc.is_empty() {
            schema["description"] = parameter.doc.clone().into();
        }
        if parameter.required {
            required.push(parameter.name.clone());
        }
        properties.insert(parameter.name.clone(), schema);
    }
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": takes_others,
    })
}

/// The schema of a value.
pub(super) fn value_schema(info: &ValueInfo) -> Json {
    let mut schema = type_schema(&info.kind);
    if let Some(unit) = &info.unit {
        schema["unit"] = unit.clone().into();
    }
    let limits = limits_schema(info);
    match (&info.kind, schema.get_mut("items")) {
        // Each number of a list is within the limits.
        (Type::List(_) | Type::Set(_) | Type::TupleOf(_), Some(Json::Object(items))) => {
            items.extend(limits);
        }
        _ => {
            if let Json::Object(fields) = &mut schema {
                fields.extend(limits);
            }
        }
    }
    schema
}

fn limits_schema(info: &ValueInfo) -> Map<String, Json> {
    let mut limits = Map::new();
    for (key, limit) in [("minimum", info.minimum), ("maximum", info.maximum)] {
        if let Some(limit) = limit {
            limits.insert(key.to_owned(), limit.into());
        }
    }
    if let Some(choices) = &info.choices {
        limits.insert("enum".to_owned(), choices.iter().map(json_of).collect());
    }
    limits
}

fn type_schema(kind: &Type) -> Json {
    match kind {
        Type::Any => json!({}),
        Type::None => json!({ "type": "null" }),
        Type::Bool => json!({ "type": "boolean" }),
        Type::Int => json!({ "type": "integer" }),
        Type::Float => json!({ "type": "number" }),
        Type::Complex => json!({ "description": "a complex number" }),
        Type::Str => json!({ "type": "string" }),
        Type::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
        Type::Array => json!({ "type": "array" }),
        Type::List(item) | Type::TupleOf(item) => {
            json!({ "type": "array", "items": type_schema(item) })
        }
        Type::Set(item) => {
            json!({ "type": "array", "items": type_schema(item), "uniqueItems": true })
        }
        Type::Tuple(items) => json!({
            "type": "array",
            "prefixItems": items.iter().map(type_schema).collect::<Vec<_>>(),
            "minItems": items.len(),
            "maxItems": items.len(),
        }),
        Type::Dict(pair) => {
            json!({ "type": "object", "additionalProperties": type_schema(&pair.1) })
        }
        Type::Enum(values) => json!({ "enum": values.iter().map(json_of).collect::<Vec<_>>() }),
        Type::Union(types) => {
            json!({ "anyOf": types.iter().map(type_schema).collect::<Vec<_>>() })
        }
    }
}

/// A value as our `json` serializer writes it; null where it has no such form.
fn json_of(value: &Value) -> Json {
    let mut text = Vec::new();
    match Serializer::Json.encode(value, &mut text) {
        Ok(()) => serde_json::from_slice(&text).unwrap_or_default(),
        Err(_) => Json::Null,
    }
}
