//! Object and method of a call whose arguments cannot be decoded, so that the error can name them.
//!
//! Reads the two texts at the beginning of a call, as Pyro5's clients write them; every other
//! beginning has no names.

use crate::limits::Limits;
use crate::serializer::Serializer;
use crate::value::Value;

/// Bytes at the beginning of a call in which the two names are looked for.
const LONGEST_HEAD: usize = 4096;

impl Serializer {
    /// The object's id and the method's name at the beginning of an encoded call; `None` where they
    /// cannot be found. The rest of the call is not looked at.
    pub fn call_head(self, data: &[u8]) -> Option<(String, String)> {
        let data = data.get(..LONGEST_HEAD).unwrap_or(data);
        match self {
            Serializer::Serpent => {
                let text = text(data)?;
                let text = text.trim_start();
                let start = text.strip_prefix('#').and_then(|rest| rest.split_once('\n'));
                let text = start.map_or(text, |(_, rest)| rest).trim_start().strip_prefix('(')?;
                let (object, rest) = literal(text)?;
                let (method, _) = literal(rest.trim_start().strip_prefix(',')?.trim_start())?;
                Some((self.read_text(object)?, self.read_text(method)?))
            }
            Serializer::Json => {
                // The names come before the arguments, whatever those are.
                let (head, _) = text(data)?.split_once("\"params\"")?;
                let head = head.trim_end().strip_suffix(',')?;
                let value = self.decode(format!("{head}}}").as_bytes(), &Limits::default()).ok()?;
                let name = |key| value.as_dict()?.get(key)?.as_str().map(str::to_owned);
                Some((name("object")?, name("method")?))
            }
            Serializer::Marshal => {
                let rest = match data {
                    [b')' | 0xa9, 4, rest @ ..] | [b'(' | 0xa8, 4, 0, 0, 0, rest @ ..] => rest,
                    _ => return None,
                };
                let (object, rest) = marshal_text(rest)?;
                Some((object, marshal_text(rest)?.0))
            }
            Serializer::Msgpack => {
                let (object, rest) = msgpack_text(data.strip_prefix(&[0x94])?)?;
                Some((object, msgpack_text(rest)?.0))
            }
        }
    }

    fn read_text(self, literal: &str) -> Option<String> {
        match self.decode(literal.as_bytes(), &Limits::default()) {
            Ok(Value::Str(text)) => Some(text),
            _ => None,
        }
    }
}

/// As much of the data as is text.
fn text(data: &[u8]) -> Option<&str> {
    let valid = match std::str::from_utf8(data) {
        Ok(text) => return Some(text),
        Err(error) => error.valid_up_to(),
    };
    data.get(..valid).and_then(|data| std::str::from_utf8(data).ok())
}

/// The string literal at the beginning of a text, and the rest.
fn literal(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == quote && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    end.and_then(|(at, _)| text.split_at_checked(at + 1))
}

/// A `str` of marshal, and the rest.
fn marshal_text(data: &[u8]) -> Option<(String, &[u8])> {
    let (code, rest) = data.split_first()?;
    let (len, rest) = match code & 0x7f {
        b'z' | b'Z' => rest.split_first().map(|(len, rest)| (usize::from(*len), rest))?,
        b'a' | b'A' | b'u' | b't' => {
            let (len, rest) = rest.split_first_chunk::<4>()?;
            (u32::from_le_bytes(*len) as usize, rest)
        }
        _ => return None,
    };
    split_text(rest, len)
}

/// A `str` of msgpack, and the rest.
fn msgpack_text(data: &[u8]) -> Option<(String, &[u8])> {
    let (len, rest) = match data {
        [code @ 0xa0..=0xbf, rest @ ..] => (usize::from(code & 0x1f), rest),
        [0xd9, len, rest @ ..] => (usize::from(*len), rest),
        [0xda, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        _ => return None,
    };
    split_text(rest, len)
}

fn split_text(data: &[u8], len: usize) -> Option<(String, &[u8])> {
    let (text, rest) = data.split_at_checked(len)?;
    Some((std::str::from_utf8(text).ok()?.to_owned(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serializer::CallRef;

    #[test]
    fn the_names_of_a_call_are_found_whatever_follows() {
        for (object, method) in
            [("lab.dac", "set_voltage"), ("it's \"x\" \\", "m\n\u{e9}"), ("", "")]
        {
            let call = CallRef { object, method, args: &[Value::from(1.5)], kwargs: &[] };
            for serializer in Serializer::ALL {
                let mut data = Vec::new();
                serializer.encode_call(call, &mut data).unwrap();
                data.truncate(data.len() - 2);
                data.extend_from_slice(b"\xff\xff np.thing(1.5)");
                let found = serializer.call_head(&data);
                assert_eq!(found, Some((object.to_owned(), method.to_owned())), "{serializer:?}");
            }
        }
    }

    #[test]
    fn no_other_beginning_has_names() {
        let beginnings: [&[u8]; 8] = [
            b"",
            b"(",
            b"('a",
            b"('a',",
            b"\x94\xa1",
            b")\x04z\xff",
            b"{\"object\": 5, \"method\": \"m\", \"params\"",
            b"(\x04\0\0\0u\xff\xff\xff\xff",
        ];
        for data in beginnings {
            for serializer in Serializer::ALL {
                assert_eq!(serializer.call_head(data), None, "{data:?} in {serializer:?}");
            }
        }
    }
}
