//! The files of the page: embedded into the program, read from the source tree in a debug build.
//!
//! A browser asks with the ETag of what it has. Text is compressed once.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Mutex, OnceLock, PoisonError};

use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use rust_embed::{Embed, EmbeddedFile};

use super::problem::Problem;

#[derive(Embed)]
#[folder = "src/web/page"]
struct Files;

/// The page.
const INDEX: &str = "index.html";
/// A shorter file is sent as it is.
const COMPRESSED_BYTES: usize = 1024;
/// Content types by the endings of names. The second value: whether compression pays.
const TYPES: [(&str, &str, bool); 9] = [
    ("html", "text/html; charset=utf-8", true),
    ("js", "text/javascript; charset=utf-8", true),
    ("css", "text/css; charset=utf-8", true),
    ("json", "application/json", true),
    ("svg", "image/svg+xml", true),
    ("md", "text/plain; charset=utf-8", true),
    ("txt", "text/plain; charset=utf-8", true),
    ("png", "image/png", false),
    ("woff2", "font/woff2", false),
];
/// The type of a file with another ending.
const OTHER_TYPE: (&str, bool) = ("text/plain; charset=utf-8", true);

/// `GET /`
pub(super) async fn index(headers: HeaderMap) -> Response {
    answer(INDEX, &headers)
}

/// `GET /page/{path}`
pub(super) async fn file(Path(path): Path<String>, headers: HeaderMap) -> Response {
    answer(&path, &headers)
}

/// `GET /favicon.ico`: the page names its icon, and browsers ask for this one all the same.
pub(super) async fn favicon() -> StatusCode {
    StatusCode::NO_CONTENT
}

fn answer(path: &str, headers: &HeaderMap) -> Response {
    let Some(file) = Files::get(path) else {
        return Problem::not_found("unknown-page", "there is no such page").into_response();
    };
    let tag = tag_of(&file);
    let (kind, pays) = type_of(path);
    let zipped = pays && file.data.len() >= COMPRESSED_BYTES && accepts_gzip(headers);
    let mut response = Response::new(Body::empty());
    let answer_headers = response.headers_mut();
    answer_headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer_headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer_headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        answer_headers.insert(header::ETAG, tag);
    }
    let has = |value: &HeaderValue| value.to_str().is_ok_and(|known| known.contains(&tag));
    if headers.get_all(header::IF_NONE_MATCH).iter().any(has) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    let body = match zipped.then(|| compressed(&tag, &file.data)).flatten() {
        Some(bytes) => {
            answer_headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            bytes
        }
        None => Bytes::from(file.data.into_owned()),
    };
    *response.body_mut() = Body::from(body);
    response
}

fn type_of(path: &str) -> (&'static str, bool) {
    let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
    let known = TYPES.iter().find(|(known, ..)| *known == ending);
    known.map_or(OTHER_TYPE, |(_, kind, pays)| (*kind, *pays))
}

/// The hash of the content, in quotes.
fn tag_of(file: &EmbeddedFile) -> String {
    let hash = file.metadata.sha256_hash();
    let digits: String = hash.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digits}\"")
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter();
    let mut words = values.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
    words.any(|word| {
        let (name, quality) = word.split_once(';').unwrap_or((word, ""));
        name.trim().eq_ignore_ascii_case("gzip") && quality.trim() != "q=0"
    })
}

/// The content compressed, from the second time on from memory; the key is its tag.
fn compressed(tag: &str, content: &[u8]) -> Option<Bytes> {
    static KNOWN: OnceLock<Mutex<HashMap<String, Bytes>>> = OnceLock::new();
    let known = KNOWN.get_or_init(Mutex::default);
    if let Some(bytes) = known.lock().unwrap_or_else(PoisonError::into_inner).get(tag) {
        return Some(bytes.clone());
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).ok()?;
    let bytes = Bytes::from(encoder.finish().ok()?);
    known.lock().unwrap_or_else(PoisonError::into_inner).insert(tag.to_owned(), bytes.clone());
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_where_it_is_accepted() {
        for (value, expected) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, GZIP;q=0.8", true),
            ("gzip;q=0", false),
            ("identity", false),
        ] {
            let headers =
                HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(value))]);
            assert_eq!(accepts_gzip(&headers), expected, "{value}");
        }
    }
}
