//! The URLs of Pyro5's `httpgateway`, for labs that use it: `GET /pyro/{name}/{member}?argument=…`.
//!
//! Arguments are texts by name, as there; where the card says a type, they become that. Results and
//! exceptions are Pyro5's JSON. Unlike there, all services of the lab are served, and no page of
//! another site may ask (no CORS).

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use remote::card::{Card, Type};
use remote::{Dict, Error, Exception, Serializer, Value};
use uuid::Uuid;

use super::calls::take_place;
use super::guard::is_from_foreign_page;
use super::problem::Problem;
use super::proxies::plain_proxy;
use super::services::{find, known, local_uri};
use super::shared::Shared;
use super::visibility::Visibility;
use crate::card;

/// The member that stands for the names of all others.
const META: &str = "$meta";

/// `GET /pyro`
pub(super) async fn redirect() -> Redirect {
    Redirect::permanent("/pyro/")
}

/// `GET /pyro/`: the services, for people.
pub(super) async fn index(
    State(shared): State<Arc<Shared>>,
    visibility: Visibility,
) -> Result<Html<String>, Problem> {
    known(&shared).await?;
    let listing = visibility.listing(&shared.lab.listing());
    let mut rows = String::new();
    for row in &listing.services {
        let (name, about) = (escaped(&row.name), escaped(&row.description));
        rows.push_str(&format!(
            "<tr><td><a href=\"/pyro/{name}/{META}\">{name}</a></td><td>{about}</td></tr>\n"
        ));
    }
    Ok(Html(format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Ferrolab</title></head>\n\
         <body><h1>Services</h1>\n<p>GET /pyro/NAME/MEMBER?argument=value</p>\n<table>\n{rows}</table>\n\
         </body></html>\n"
    )))
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            letter => safe.push(letter),
        }
    }
    safe
}

/// `GET` and `POST /pyro/{name}/{member}`
pub(super) async fn call(
    State(shared): State<Arc<Shared>>,
    visibility: Visibility,
    Path((name, member)): Path<(String, String)>,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Response {
    if is_from_foreign_page(&headers) {
        let detail =
            "a page of another site asks; programs send no Origin, Referer or browser's name";
        return Problem::forbidden("foreign-origin", detail).into_response();
    }
    if member != META
        && let Some(why) = shared.guard.readonly()
    {
        return Problem::forbidden("read-only", why).into_response();
    }
    let id = Uuid::new_v4();
    let options = headers.get("x-pyro-options").and_then(|value| value.to_str().ok());
    let oneway = options.is_some_and(|text| text.split(',').any(|word| word.trim() == "oneway"));
    let asked = Asked { name, member, query, oneway, id };
    let mut response = match asked.answer(&shared, &visibility).await {
        Ok(text) => (StatusCode::OK, text).into_response(),
        Err(GatewayFailure::Raised(exception)) => {
            let text = encoded(&exception.to_value()).unwrap_or_default();
            (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
        }
        Err(GatewayFailure::Problem(problem)) => return problem.into_response(),
    };
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert("x-pyro-correlation-id", id);
    }
    response
}

/// A request.
struct Asked {
    name: String,
    member: String,
    query: Vec<(String, String)>,
    oneway: bool,
    id: Uuid,
}

enum GatewayFailure {
    /// An exception, which is Pyro5's answer, too.
    Raised(Exception),
    Problem(Problem),
}

impl From<Problem> for GatewayFailure {
    fn from(problem: Problem) -> Self {
        GatewayFailure::Problem(problem)
    }
}

impl From<Error> for GatewayFailure {
    fn from(error: Error) -> Self {
        match error {
            Error::Remote(exception) => GatewayFailure::Raised(exception),
            Error::Unexposed { .. } => {
                GatewayFailure::Raised(Exception::new("builtins.AttributeError", error.to_string()))
            }
            error => GatewayFailure::Problem(Problem::of_call(&error)),
        }
    }
}

impl Asked {
    async fn answer(
        self,
        shared: &Arc<Shared>,
        visibility: &Visibility,
    ) -> Result<String, GatewayFailure> {
        let Asked { name, member, query, oneway, id } = self;
        known(shared).await?;
        let Ok(row) = find(shared, visibility, &name) else {
            let text = format!("unknown name: {name}");
            return Err(GatewayFailure::Raised(Exception::new("Pyro5.errors.NamingError", text)));
        };
        let _place = take_place(shared)?;
        let uri = local_uri(shared, &row).await?;
        let mut proxy = plain_proxy(&shared.keys, &row.daemon, uri)
            .with_serializer(Serializer::Json)
            .with_correlation_id(id.into_bytes());
        let metadata = proxy.metadata().await?;
        if member == META {
            let names = |names: &[String]| {
                Value::List(names.iter().map(|name| name.as_str().into()).collect())
            };
            let mut meta = Dict::new();
            meta.insert("methods", names(&metadata.methods));
            meta.insert("attributes", names(&metadata.attrs));
            return encoded(&Value::Dict(meta));
        }
        let value = if metadata.attrs.contains(&member) {
            if !query.is_empty() {
                let text = "attribute lookup can't have query parameters";
                return Err(GatewayFailure::Raised(Exception::new(
                    "builtins.AssertionError",
                    text,
                )));
            }
            proxy.get(&member).await?
        } else {
            let card = card::fetch_from(&mut proxy, &row.name).await?;
            let kwargs = arguments(query, &card, &member);
            if oneway || metadata.oneway.contains(&member) {
                proxy.call_oneway(&member, Vec::new(), kwargs).await?;
                return Ok(String::new());
            }
            proxy.call(&member, Vec::new(), kwargs).await?
        };
        encoded(&value)
    }
}

fn encoded(value: &Value) -> Result<String, GatewayFailure> {
    let mut text = Vec::new();
    let written = Serializer::Json.encode(value, &mut text).map_err(|error| error.to_string());
    let text = written.and_then(|()| String::from_utf8(text).map_err(|error| error.to_string()));
    text.map_err(|error| {
        GatewayFailure::Raised(Exception::new("Pyro5.errors.SerializeError", error))
    })
}

/// Arguments by name: a text, or a list of texts where a name is given several times.
fn arguments(query: Vec<(String, String)>, card: &Card, member: &str) -> Vec<(String, Value)> {
    let parameters = card.member(member).and_then(|member| member.parameters.as_deref());
    let type_of = |name: &str| {
        let parameter = parameters?.iter().find(|parameter| parameter.name == name)?;
        Some(&parameter.value.kind)
    };
    let mut arguments: Vec<(String, Vec<Value>)> = Vec::new();
    for (name, text) in query {
        let value = of_type(text, type_of(&name));
        match arguments.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => arguments.push((name, vec![value])),
        }
    }
    let one = |(name, mut values): (String, Vec<Value>)| match values.pop() {
        Some(value) if values.is_empty() => (name, value),
        last => {
            values.extend(last);
            (name, Value::List(values))
        }
    };
    arguments.into_iter().map(one).collect()
}

/// A text as the type on the card, where it can be one.
fn of_type(text: String, kind: Option<&Type>) -> Value {
    let known = match kind {
        Some(Type::Int) => text.parse().ok().map(Value::Int),
        Some(Type::Float) => text.parse().ok().map(Value::Float),
        Some(Type::Bool) => match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(Value::Bool(true)),
            "false" | "0" | "no" | "off" => Some(Value::Bool(false)),
            _ => None,
        },
        Some(Type::List(item)) => return of_type(text, Some(item)),
        Some(Type::Union(kinds)) => kinds.iter().find_map(|kind| {
            let value = of_type(text.clone(), Some(kind));
            (!matches!(value, Value::Str(_))).then_some(value)
        }),
        _ => None,
    };
    known.unwrap_or(Value::Str(text))
}

#[cfg(test)]
mod tests {
    use remote::card::{Member, Parameter};

    use super::*;

    #[test]
    fn texts_become_the_types_of_the_card() {
        let parameter = |name: &str, kind: Type| Parameter {
            name: name.to_owned(),
            value: kind.into(),
            ..Parameter::default()
        };
        let parameters = vec![
            parameter("volts", Type::Float),
            parameter("count", Type::Int.or_none()),
            parameter("on", Type::Bool),
            parameter("word", Type::Str),
        ];
        let member =
            Member { name: "set".to_owned(), parameters: Some(parameters), ..Member::default() };
        let card = Card { members: vec![member], ..Card::default() };
        let query = [
            ("volts", "5"),
            ("count", "3"),
            ("on", "true"),
            ("word", "5"),
            ("other", "5"),
            ("other", "x"),
        ];
        let query = query.map(|(name, text)| (name.to_owned(), text.to_owned())).to_vec();
        let list = Value::List(vec!["5".into(), "x".into()]);
        let expected = [
            ("volts", Value::Float(5.0)),
            ("count", Value::Int(3)),
            ("on", Value::Bool(true)),
            ("word", Value::from("5")),
            ("other", list),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value)).to_vec();
        assert_eq!(arguments(query, &card, "set"), expected);
    }

    #[test]
    fn names_are_inert_in_html() {
        assert_eq!(escaped("<a href='x'>&\""), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;");
    }
}
