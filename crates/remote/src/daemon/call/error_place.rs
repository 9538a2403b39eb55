//! Words that name the call in errors about values and sizes: member, service, serializer, the text
//! that cannot be read, and what to do.
//!
//! They follow the error's own words in brackets, because callers know those from Pyro5.

use wire::exception::Exception;
use wire::message::FrameError;
use wire::serializer::Serializer;
use wire::value::Value;
use wire::{DecodeError, DecodeErrorKind};

/// Characters of a request that an error shows.
const EXCERPT_CHARACTERS: usize = 40;
/// Characters of a name that an error shows: it has come from the client.
const NAME_CHARACTERS: usize = 80;

/// The exception for a request that cannot be decoded: Python's own text where Python has one.
pub(super) fn undecodable(error: &DecodeError, payload: &[u8]) -> Exception {
    let place = arguments(error.serializer, payload);
    let place = place.map_or_else(|| "in the request".to_owned(), |place| format!("in {place}"));
    let mut words = format!(" ({place}, with {}", error.serializer.name());
    if let Some(excerpt) = excerpt(error, payload) {
        words += &format!(", at `{excerpt}`");
    }
    if let Some(advice) = advice(error.kind) {
        words += &format!("; {advice}");
    }
    words.push(')');
    match error.kind {
        DecodeErrorKind::Unhashable(_) => Exception::type_error(format!("{}{words}", error.kind)),
        DecodeErrorKind::MapKey(_) => Exception::value_error(format!("{}{words}", error.kind)),
        _ => Exception::serialize_error(format!("cannot read the request: {error}{words}")),
    }
}

/// An exception about a result that cannot be sent, with the call in its text.
pub(super) fn unsent(
    mut exception: Exception,
    object: &str,
    member: &str,
    serializer: Serializer,
) -> Exception {
    let (object, member) = (shown(object, NAME_CHARACTERS), shown(member, NAME_CHARACTERS));
    let mut words =
        format!(" (in the result of '{member}' of service '{object}', with {}", serializer.name());
    if serializer == Serializer::Json && exception.class != "Pyro5.errors.ProtocolError" {
        words +=
            "; json has no form for it: have the client use serpent, or return numbers and texts";
    }
    words.push(')');
    if let Some(Value::Str(text)) = exception.args.first_mut() {
        text.push_str(&words);
    }
    exception
}

/// The text about a malformed message, or one that is too large; it names the limit and its place.
pub(crate) fn unframed(error: &FrameError, daemon: &str) -> String {
    match error {
        FrameError::TooLarge { .. } => format!(
            "{error}: `max_message_size` of daemon '{daemon}' in the configuration sets the limit, \
             in bytes"
        ),
        error => error.to_string(),
    }
}

/// The name of a call's arguments, as far as the beginning of its payload tells it.
pub(crate) fn arguments(serializer: Serializer, payload: &[u8]) -> Option<String> {
    let (object, method) = serializer.call_head(payload)?;
    let (object, method) = (shown(&object, NAME_CHARACTERS), shown(&method, NAME_CHARACTERS));
    Some(format!("the arguments of '{method}' of service '{object}'"))
}

/// The text at an error's position, in the serializers that are text.
fn excerpt(error: &DecodeError, payload: &[u8]) -> Option<String> {
    if !matches!(error.serializer, Serializer::Serpent | Serializer::Json) {
        return None;
    }
    // Characters have up to 4 bytes.
    let rest = payload.get(error.at..)?;
    let rest = rest.get(..4 * EXCERPT_CHARACTERS).unwrap_or(rest);
    let excerpt = shown(&String::from_utf8_lossy(rest), EXCERPT_CHARACTERS);
    (!excerpt.is_empty()).then_some(excerpt)
}

/// The beginning of a text, without control characters.
fn shown(text: &str, characters: usize) -> String {
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().take(characters).map(plain).collect()
}

fn advice(kind: DecodeErrorKind) -> Option<&'static str> {
    match kind {
        DecodeErrorKind::NotData(_) => {
            Some("send plain data: float(x) or int(x) for another library's number")
        }
        DecodeErrorKind::LoneSurrogate => Some("it is no Unicode text: send it as bytes"),
        DecodeErrorKind::MapKey(_) => Some("use text as keys, or serpent"),
        DecodeErrorKind::Ext(_) => Some("send plain data instead of msgpack's own types"),
        DecodeErrorKind::Memory(_) => Some("send it in several calls"),
        _ => None,
    }
}
