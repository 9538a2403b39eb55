//! OpenAPI 3.1: a document of a service with a path for each member, and paths of the page's API.
//!
//! The document describes the values. A property is read by GET and set by PUT, a method is called
//! by POST with its arguments as an object.

use remote::card::{Member, MemberKind};
use serde_json::{Map, Value as Json, json};

use super::described::{DescribedService, first_line};
use super::schema::{arguments_schema, value_schema};

/// The document.
pub(crate) fn openapi(service: &DescribedService) -> Json {
    let card = &service.card;
    let path = |member: &Member| (format!("/{}/{}", service.name, member.name), path_json(member));
    let mut info = json!({ "title": service.name, "version": card.version });
    if !card.doc.is_empty() {
        info["description"] = card.doc.clone().into();
    }
    json!({
        "openapi": "3.1.0",
        "info": info,
        "paths": card.members.iter().map(path).collect::<Map<String, Json>>(),
    })
}

fn path_json(member: &Member) -> Json {
    let value = || json!({ "application/json": { "schema": value_schema(&member.value) } });
    let done = || json!({ "204": { "description": "done" } });
    if member.kind != MemberKind::Property {
        let arguments = json!({ "application/json": { "schema": arguments_schema(member) } });
        let is_required = member.parameters.iter().flatten().any(|parameter| parameter.required);
        let responses = match (member.kind, member.oneway) {
            (MemberKind::Stream, _) => {
                let items = json!({ "type": "array", "items": value_schema(&member.value) });
                let content = json!({ "application/json": { "schema": items } });
                json!({ "200": { "description": "the items", "content": content } })
            }
            (_, true) => done(),
            (_, false) => json!({ "200": { "description": "the result", "content": value() } }),
        };
        let mut post = operation(member, "");
        post["requestBody"] = json!({ "required": is_required, "content": arguments });
        post["responses"] = responses;
        return json!({ "post": post });
    }
    let mut path = json!({});
    if member.readable {
        let mut get = operation(member, "get_");
        get["responses"] = json!({ "200": { "description": "the value", "content": value() } });
        path["get"] = get;
    }
    if member.writable {
        let mut put = operation(member, "set_");
        put["requestBody"] = json!({ "required": true, "content": value() });
        put["responses"] = done();
        path["put"] = put;
    }
    path
}

/// The paths of a service in the page's API, where values and arguments are under keys.
pub(crate) fn api_paths(service: &DescribedService) -> Map<String, Json> {
    let base = format!("/api/services/{}", service.name);
    let path = |member: &Member| match member.kind {
        MemberKind::Property => {
            (format!("{base}/members/{}", member.name), property_json(&service.name, member))
        }
        MemberKind::Method | MemberKind::Stream => {
            (format!("{base}/call/{}", member.name), call_json(&service.name, member))
        }
    };
    service.card.members.iter().map(path).collect()
}

/// An object with one key as the JSON content of a request or an answer.
fn under(key: &str, schema: &Json) -> Json {
    json!({ "application/json": {
        "schema": { "type": "object", "properties": { key: schema }, "required": [key] },
    }})
}

/// The answers of an operation of the page's API.
fn api_responses(status: &str, content: Option<Json>) -> Json {
    let mut done = json!({ "description": "done" });
    if let Some(content) = content {
        done["content"] = content;
    }
    json!({ status: done, "default": { "$ref": "#/components/responses/Problem" } })
}

fn property_json(service: &str, member: &Member) -> Json {
    let schema = value_schema(&member.value);
    let mut path = json!({});
    if member.readable {
        let mut get = operation(member, &format!("get_{service}_"));
        get["responses"] = api_responses("200", Some(under("value", &schema)));
        path["get"] = get;
    }
    if member.writable {
        let mut put = operation(member, &format!("set_{service}_"));
        put["requestBody"] = json!({ "required": true, "content": under("value", &schema) });
        put["responses"] = api_responses("204", None);
        path["put"] = put;
    }
    path
}

fn call_json(service: &str, member: &Member) -> Json {
    let schema = value_schema(&member.value);
    let result = match member.kind {
        MemberKind::Stream => json!({ "type": "array", "items": schema }),
        MemberKind::Method | MemberKind::Property => schema,
    };
    let mut post = operation(member, &format!("{service}_"));
    post["requestBody"] = json!({ "content": { "application/json": { "schema": {
        "type": "object",
        "properties": {
            "args": { "type": "array", "description": "arguments by place" },
            "kwargs": arguments_schema(member),
        },
    }}}});
    post["responses"] = api_responses("200", Some(under("result", &result)));
    json!({ "post": post })
}

fn operation(member: &Member, prefix: &str) -> Json {
    let mut operation = json!({ "operationId": format!("{prefix}{}", member.name) });
    if !member.doc.is_empty() {
        operation["summary"] = first_line(&member.doc).into();
        operation["description"] = member.doc.clone().into();
    }
    operation
}
