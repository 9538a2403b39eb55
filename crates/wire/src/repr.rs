//! Python's `repr` of plain data: `Display` for [`Value`], and the strings that serpent writes.

use std::fmt;

use crate::number::{write_any_float, write_big_int, write_float, write_float_bare, write_int};
use crate::printable::is_printable;
use crate::value::{SurrogateText, Value};

/// The `repr` of nan, inf and -inf.
const NON_FINITE: [&str; 3] = ["nan", "inf", "-inf"];

impl fmt::Display for Value {
    /// The `repr()` of CPython 3.11.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::new();
        write_value(self, &mut text);
        f.pad(&String::from_utf8_lossy(&text))
    }
}

/// Appends the `repr` of a `str`.
pub(crate) fn write_str(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    if bytes.iter().all(|&byte| is_plain(byte)) {
        out.reserve(bytes.len() + 2);
        out.push(b'\'');
        out.extend_from_slice(bytes);
        out.push(b'\'');
        return;
    }
    let quote = choose_quote(bytes);
    out.push(quote);
    let mut rest = text;
    while !rest.is_empty() {
        let plain = rest.bytes().position(|byte| !is_plain(byte)).unwrap_or(rest.len());
        let (head, tail) = rest.split_at_checked(plain).unwrap_or((rest, ""));
        out.extend_from_slice(head.as_bytes());
        let mut chars = tail.chars();
        if let Some(c) = chars.next() {
            write_char(c, quote, out);
        }
        rest = chars.as_str();
    }
    out.push(quote);
}

/// Appends the `repr` of a `str` with lone surrogates, which are escaped.
fn write_surrogate_text(text: &SurrogateText, out: &mut Vec<u8>) {
    write_escaped_surrogates(text, false, out);
}

/// Appends the same for serpent: two surrogates in a row that are not to be read as one character
/// have escapes of different lengths.
pub(crate) fn write_surrogates_apart(text: &SurrogateText, out: &mut Vec<u8>) {
    write_escaped_surrogates(text, true, out);
}

fn write_escaped_surrogates(text: &SurrogateText, apart: bool, out: &mut Vec<u8>) {
    let quote = choose_quote(text.as_bytes());
    out.push(quote);
    let mut is_after_high = false;
    for (head, surrogate) in text.pieces() {
        head.chars().for_each(|c| write_char(c, quote, out));
        let Some(surrogate) = surrogate else { break };
        match apart && is_after_high && head.is_empty() && surrogate >= 0xdc00 {
            true => write_hex(b'U', 8, surrogate.into(), out),
            false => write_hex(b'u', 4, surrogate.into(), out),
        }
        is_after_high = surrogate < 0xdc00;
    }
    out.push(quote);
}

/// Appends the `repr` of a `bytes`.
pub(crate) fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    let quote = choose_quote(bytes);
    out.extend_from_slice(&[b'b', quote]);
    for &byte in bytes {
        if byte.is_ascii() {
            write_char(char::from(byte), quote, out);
        } else {
            write_hex(b'x', 2, u32::from(byte), out);
        }
    }
    out.push(quote);
}

fn write_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::None => out.extend_from_slice(b"None"),
        Value::Bool(true) => out.extend_from_slice(b"True"),
        Value::Bool(false) => out.extend_from_slice(b"False"),
        Value::Int(int) => write_int(*int, out),
        Value::BigInt(int) => {
            // Python refuses to print an int this long in decimal, which takes quadratic time.
            if !write_big_int(int, out) {
                out.extend_from_slice(format!("{:#x}", **int).as_bytes());
            }
        }
        Value::Float(float) => write_any_float(*float, &NON_FINITE, write_float, out),
        Value::Complex { re, im } => write_complex(*re, *im, out),
        Value::Str(text) => write_str(text, out),
        Value::SurrogateStr(text) => write_surrogate_text(text, out),
        Value::Bytes(bytes) => write_bytes(bytes, out),
        Value::List(items) => write_items("[", items.iter(), "]", out),
        Value::Tuple(items) => match items.as_slice() {
            [item] => write_items("(", [item].into_iter(), ",)", out),
            items => write_items("(", items.iter(), ")", out),
        },
        Value::Set(set) if set.is_empty() => out.extend_from_slice(b"set()"),
        Value::Set(set) => write_items("{", set.iter(), "}", out),
        Value::FrozenSet(set) if set.is_empty() => out.extend_from_slice(b"frozenset()"),
        Value::FrozenSet(set) => write_items("frozenset({", set.iter(), "})", out),
        Value::Array(array) => out.extend_from_slice(array.to_string().as_bytes()),
        Value::Dict(dict) => {
            out.push(b'{');
            for (number, (key, value)) in dict.iter().enumerate() {
                if number > 0 {
                    out.extend_from_slice(b", ");
                }
                write_value(key, out);
                out.extend_from_slice(b": ");
                write_value(value, out);
            }
            out.push(b'}');
        }
    }
}

fn write_items<'a>(
    open: &str,
    items: impl Iterator<Item = &'a Value>,
    close: &str,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(open.as_bytes());
    for (number, item) in items.enumerate() {
        if number > 0 {
            out.extend_from_slice(b", ");
        }
        write_value(item, out);
    }
    out.extend_from_slice(close.as_bytes());
}

fn write_complex(re: f64, im: f64, out: &mut Vec<u8>) {
    if re == 0.0 && re.is_sign_positive() {
        write_part(im, out);
        out.push(b'j');
        return;
    }
    out.push(b'(');
    write_part(re, out);
    if im.is_nan() || im.is_sign_positive() {
        out.push(b'+');
    }
    write_part(im, out);
    out.extend_from_slice(b"j)");
}

/// Appends a part of a complex.
fn write_part(float: f64, out: &mut Vec<u8>) {
    write_any_float(float, &NON_FINITE, write_float_bare, out);
}

/// Whether `repr` prints a byte of a text unchanged, with either quote.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'\'' && byte != b'\\'
}

fn choose_quote(bytes: &[u8]) -> u8 {
    if bytes.contains(&b'\'') && !bytes.contains(&b'"') { b'"' } else { b'\'' }
}

fn write_char(c: char, quote: u8, out: &mut Vec<u8>) {
    match c {
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        c if c == char::from(quote) => out.extend_from_slice(&[b'\\', quote]),
        ' '..='~' => out.push(c as u8),
        c if is_printable(c) => {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        '\0'..='\u{ff}' => write_hex(b'x', 2, c.into(), out),
        '\u{100}'..='\u{ffff}' => write_hex(b'u', 4, c.into(), out),
        _ => write_hex(b'U', 8, c.into(), out),
    }
}

fn write_hex(letter: u8, digits: u32, code: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'\\', letter]);
    for place in (0..digits).rev() {
        out.push(hex_digit(code >> (4 * place) & 0xf));
    }
}

/// The hexadecimal digit, in lower case, of a number below 16.
pub(crate) fn hex_digit(number: u32) -> u8 {
    char::from_digit(number, 16).map_or(b'0', |digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{Dict, Set};
    use num_bigint::BigInt;

    /// Right sides as CPython 3.11 prints them.
    #[test]
    fn values_print_as_in_python() {
        let complex = |re, im| Value::Complex { re, im };
        let one: Set = [1].into_iter().collect();
        let cases: Vec<(Value, &str)> = vec![
            (Value::None, "None"),
            (true.into(), "True"),
            ((-7).into(), "-7"),
            (Value::int(BigInt::from(1u128 << 70)), "1180591620717411303424"),
            (1e16.into(), "1e+16"),
            (f64::NAN.into(), "nan"),
            (f64::NEG_INFINITY.into(), "-inf"),
            (complex(0.0, 1.0), "1j"),
            (complex(-0.0, 1.0), "(-0+1j)"),
            (complex(0.0, -0.0), "-0j"),
            (complex(1.5, -2.0), "(1.5-2j)"),
            (complex(1e16, 1e-5), "(1e+16+1e-05j)"),
            (complex(f64::NAN, f64::NAN), "(nan+nanj)"),
            (complex(0.0, f64::INFINITY), "infj"),
            (complex(f64::NEG_INFINITY, f64::NEG_INFINITY), "(-inf-infj)"),
            ("a'b".into(), "\"a'b\""),
            ("a\"b".into(), "'a\"b'"),
            ("a'b\"c".into(), "'a\\'b\"c'"),
            ("\\\n\r\t\0\x1f\x7f".into(), "'\\\\\\n\\r\\t\\x00\\x1f\\x7f'"),
            ("é€😀\u{85}\u{ad}".into(), "'é€😀\\x85\\xad'"),
            ("\u{200b}\u{e000}\u{10ffff}".into(), "'\\u200b\\ue000\\U0010ffff'"),
            (Value::bytes(*b"a'\"\\\n\0\xff~"), "b'a\\'\"\\\\\\n\\x00\\xff~'"),
            (Value::bytes(*b"a'b"), "b\"a'b\""),
            (Value::Tuple(vec![]), "()"),
            (Value::Tuple(vec![1.into()]), "(1,)"),
            (vec![1.into(), "a".into()].into(), "[1, 'a']"),
            (Value::Set(Set::new()), "set()"),
            (Value::Set(one.clone()), "{1}"),
            (Value::FrozenSet(one), "frozenset({1})"),
            (Value::FrozenSet(Set::new()), "frozenset()"),
            (Dict::new().into(), "{}"),
            ([("a", 1), ("b", 2)].into_iter().collect::<Dict>().into(), "{'a': 1, 'b': 2}"),
        ];
        for (value, text) in cases {
            assert_eq!(value.to_string(), text);
        }
    }
}
