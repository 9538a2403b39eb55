//! Problem details (RFC 9457): the body of every answer that is a refusal or a failure.
//!
//! A remote exception keeps its class, its text and the driver's own traceback.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use remote::{Error, Exception};
use serde_json::{Value as Json, json};

/// The beginning of the type of each problem.
const TYPE: &str = "urn:ferrolab:";

/// A refusal or a failure.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Problem {
    status: StatusCode,
    /// The end of its type, for programs: `locked`, `unknown-service`.
    code: &'static str,
    title: &'static str,
    detail: String,
    /// The exception of the driver.
    python: Option<Json>,
}

impl Problem {
    pub(super) fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Problem { status, code, title, detail: detail.into(), python: None }
    }

    /// A request that makes no sense.
    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        let title = "The request cannot be understood.";
        Problem::new(StatusCode::BAD_REQUEST, "bad-request", title, detail)
    }

    /// Something that does not exist.
    pub(super) fn not_found(code: &'static str, detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::NOT_FOUND, code, "It does not exist.", detail)
    }

    /// A request that is not allowed.
    pub(super) fn forbidden(code: &'static str, detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::FORBIDDEN, code, "It is not allowed.", detail)
    }

    /// Something that is away, or too busy, for now.
    pub(super) fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        let title = "It is not available now.";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, title, detail)
    }

    /// A path that takes no requests of this method.
    pub(super) fn wrong_method(detail: impl Into<String>) -> Self {
        let title = "The method is another.";
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong-method", title, detail)
    }

    /// The text for a person.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// A failed call of a service.
    pub(super) fn of_call(error: &Error) -> Self {
        match error {
            Error::Remote(exception) => Problem::raised(exception),
            Error::Unexposed { .. } => Problem::not_found("unknown-member", error.to_string()),
            Error::Arguments { .. } | Error::Uri(_) => Problem::bad_request(error.to_string()),
            Error::Timeout { .. } => Problem::new(
                StatusCode::GATEWAY_TIMEOUT,
                "timeout",
                "There is no answer.",
                error.to_string(),
            ),
            _ => Problem::unavailable("unreachable", error.to_string()),
        }
    }

    fn raised(exception: &Exception) -> Self {
        let class = exception.class.as_str();
        let text = exception.message();
        let has_driver = exception.traceback().is_some_and(|lines| is_of_driver(&lines));
        let (status, code, title) = match exception.short_class() {
            "ConnectionRefusedError" if !has_driver => {
                (StatusCode::LOCKED, "locked", "Somebody else has the lock.")
            }
            "PermissionError" if !has_driver => {
                (StatusCode::FORBIDDEN, "forbidden", "It is not allowed.")
            }
            "ValueError" | "TypeError" if !has_driver => {
                (StatusCode::UNPROCESSABLE_ENTITY, "refused-value", "The value is refused.")
            }
            "TimeoutError" => (StatusCode::GATEWAY_TIMEOUT, "timeout", "It took too long."),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "raised", "The service raised an exception."),
        };
        let traceback = exception.traceback().filter(|lines| is_of_driver(lines));
        let traceback = traceback.map(|lines| lines.concat());
        let python = json!({ "class": class, "text": text, "traceback": traceback });
        let detail = if text.is_empty() { exception.short_class().to_owned() } else { text };
        Problem { python: Some(python), ..Problem::new(status, code, title, detail) }
    }

    /// The problem as a JSON object.
    fn to_json(&self) -> Json {
        let mut json = json!({
            "type": format!("{TYPE}{}", self.code),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(python) = &self.python {
            json["python"] = python.clone();
        }
        json
    }
}

/// Whether a traceback leads through code that is not Ferrolab's: its own says nothing to a user.
fn is_of_driver(traceback: &[String]) -> bool {
    let lines = traceback.iter().flat_map(|part| part.lines()).map(str::trim_start);
    let mut frames = lines.filter(|line| line.starts_with("File \""));
    frames.any(|frame| !frame.starts_with("File \"<ferrolab>/"))
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let kind = HeaderValue::from_static("application/problem+json");
        let body = self.to_json().to_string();
        (self.status, [(header::CONTENT_TYPE, kind)], body).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_keep_their_class_and_text() {
        let locked = "Pyro object is locked (by 'ada')";
        for (class, text, status, code) in [
            ("builtins.ValueError", "must be 0 to 30 V", 422, "refused-value"),
            ("lab.TooHot", "too hot", 500, "raised"),
            ("builtins.ConnectionRefusedError", locked, 423, "locked"),
            ("builtins.PermissionError", "ada may not", 403, "forbidden"),
            ("builtins.TimeoutError", "slow", 504, "timeout"),
        ] {
            let exception = Exception::new(class, text);
            let json = Problem::of_call(&Error::Remote(exception)).to_json();
            assert_eq!(json["status"], status, "{class}");
            assert_eq!(json["type"], format!("{TYPE}{code}"));
            assert_eq!(json["python"]["class"], class);
            assert_eq!(json["detail"], text);
        }
    }
}
