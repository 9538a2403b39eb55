//! W3C Web of Things: a Thing Description 1.1 of a service.
//!
//! Properties are properties, methods and streams are actions. A form's address is the URI of the
//! object: a client speaks Pyro5's protocol with it.

use remote::card::{Member, MemberKind};
use serde_json::{Map, Value as Json, json};

use super::described::DescribedService;
use super::schema::{arguments_schema, value_schema};

/// The description.
pub(crate) fn thing(service: &DescribedService) -> Json {
    let card = &service.card;
    let uri = service.uri.to_string();
    let of = |is_property: bool, json: fn(&Member, &str) -> Json| -> Map<String, Json> {
        let members = card.members.iter();
        let members = members.filter(|one| (one.kind == MemberKind::Property) == is_property);
        members.map(|member| (member.name.clone(), json(member, &uri))).collect()
    };
    let mut thing = json!({
        "@context": "https://www.w3.org/2022/wot/td/v1.1",
        "id": format!("urn:ferrolab:{}", service.name),
        "title": service.name,
        "version": { "instance": card.version },
        "securityDefinitions": { "nosec_sc": { "scheme": "nosec" } },
        "security": "nosec_sc",
        "properties": of(true, property),
        "actions": of(false, action),
    });
    if !card.doc.is_empty() {
        thing["description"] = card.doc.clone().into();
    }
    thing
}

fn property(member: &Member, uri: &str) -> Json {
    let mut json = value_schema(&member.value);
    describe(&mut json, member);
    json["readOnly"] = (!member.writable).into();
    json["writeOnly"] = (!member.readable).into();
    let operations = [(member.readable, "readproperty"), (member.writable, "writeproperty")];
    let operations = operations.iter().filter(|(is, _)| *is).map(|(_, operation)| *operation);
    let operations: Vec<&str> = operations.collect();
    json["forms"] = json!([{ "href": uri, "op": operations }]);
    json
}

fn action(member: &Member, uri: &str) -> Json {
    let mut json = json!({});
    describe(&mut json, member);
    json["input"] = arguments_schema(member);
    if !member.oneway {
        let output = value_schema(&member.value);
        json["output"] = match member.kind {
            MemberKind::Stream => json!({ "type": "array", "items": output }),
            _ => output,
        };
    }
    json["forms"] = json!([{ "href": uri, "op": "invokeaction" }]);
    json
}

fn describe(json: &mut Json, member: &Member) {
    if !member.doc.is_empty() {
        json["description"] = member.doc.clone().into();
    }
}
