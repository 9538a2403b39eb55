//! Notation of values between Rust and Python, which peer.py describes.

use num_bigint::BigInt;
use num_traits::Num;
use wire::value::{Dict, SurrogateText, Value};

/// A value in the notation.
pub fn write(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write_into(value, false, &mut out);
    out
}

/// A text that is equal for two values if they are: with types, the order of dicts and the signs of
/// zeros, but without the order of sets and the bits of nans.
pub fn canonical(value: &Value) -> String {
    let mut out = Vec::new();
    write_into(value, true, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// The value of a notation.
pub fn read(notation: &[u8]) -> Value {
    let mut rest = notation;
    let value = read_from(&mut rest);
    assert!(rest.is_empty(), "more behind {value}");
    value
}

fn write_into(value: &Value, canonical: bool, out: &mut Vec<u8>) {
    let bits = |float: &f64| {
        let float = if canonical && float.is_nan() { f64::NAN } else { *float };
        format!("{:016x}", float.to_bits()).into_bytes()
    };
    let items = |tag: char, items: &mut dyn Iterator<Item = &Value>, out: &mut Vec<u8>| {
        let mut written: Vec<Vec<u8>> = items
            .map(|item| {
                let mut out = Vec::new();
                write_into(item, canonical, &mut out);
                out
            })
            .collect();
        if canonical && "ez".contains(tag) {
            written.sort();
        }
        out.extend(format!("{tag}{};", written.len()).into_bytes());
        out.extend(written.concat());
    };
    match value {
        Value::None => out.push(b'N'),
        Value::Bool(true) => out.push(b'T'),
        Value::Bool(false) => out.push(b'F'),
        Value::Int(int) => out.extend(format!("i{:x};", BigInt::from(*int)).into_bytes()),
        Value::BigInt(int) => out.extend(format!("i{:x};", **int).into_bytes()),
        Value::Float(float) => out.extend([b"f", bits(float).as_slice(), b";"].concat()),
        Value::Complex { re, im } => out.extend([b"c", &bits(re)[..], &bits(im), b";"].concat()),
        Value::Str(text) => {
            out.extend(format!("s{}:", text.len()).into_bytes());
            out.extend(text.as_bytes());
        }
        Value::SurrogateStr(text) => {
            out.extend(format!("s{}:", text.len()).into_bytes());
            out.extend(text.as_bytes());
        }
        Value::Bytes(bytes) => {
            out.extend(format!("b{}:", bytes.len()).into_bytes());
            out.extend(bytes);
        }
        Value::List(list) => items('l', &mut list.iter(), out),
        Value::Tuple(tuple) => items('t', &mut tuple.iter(), out),
        Value::Set(set) => items('e', &mut set.iter(), out),
        Value::FrozenSet(set) => items('z', &mut set.iter(), out),
        Value::Dict(dict) => {
            out.extend(format!("d{};", dict.len()).into_bytes());
            for (key, value) in dict {
                write_into(key, canonical, out);
                write_into(value, canonical, out);
            }
        }
        // The four serializers have no arrays.
        Value::Array(_) => out.push(b'?'),
    }
}

fn read_from(rest: &mut &[u8]) -> Value {
    let tag = take(rest, 1)[0];
    match tag {
        b'N' => Value::None,
        b'T' => Value::Bool(true),
        b'F' => Value::Bool(false),
        b'i' => Value::int(BigInt::from_str_radix(&until(rest, b';'), 16).unwrap()),
        b'f' => Value::Float(float(&until(rest, b';'))),
        b'c' => {
            let text = until(rest, b';');
            let (re, im) = text.split_at(16);
            Value::Complex { re: float(re), im: float(im) }
        }
        b's' => {
            let len = until(rest, b':').parse().unwrap();
            let bytes = take(rest, len).to_vec();
            match SurrogateText::from_bytes(bytes.clone()) {
                Some(text) => Value::SurrogateStr(text),
                None => Value::Str(String::from_utf8(bytes).unwrap()),
            }
        }
        b'b' => {
            let len = until(rest, b':').parse().unwrap();
            Value::bytes(take(rest, len))
        }
        _ => {
            let count: usize = until(rest, b';').parse().unwrap();
            let mut items = || (0..count).map(|_| read_from(rest)).collect::<Vec<_>>();
            match tag {
                b'l' => Value::List(items()),
                b't' => Value::Tuple(items()),
                b'e' => Value::Set(items().into_iter().collect()),
                b'z' => Value::FrozenSet(items().into_iter().collect()),
                b'd' => {
                    let entries = (0..count).map(|_| (read_from(rest), read_from(rest)));
                    Value::Dict(entries.collect::<Dict>())
                }
                tag => panic!("no notation begins with {}", char::from(tag)),
            }
        }
    }
}

fn float(hex: &str) -> f64 {
    f64::from_bits(u64::from_str_radix(hex, 16).unwrap())
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (head, tail) = rest.split_at(count);
    *rest = tail;
    head
}

fn until(rest: &mut &[u8], mark: u8) -> String {
    let end = rest.iter().position(|&byte| byte == mark).unwrap();
    let text = String::from_utf8(take(rest, end).to_vec()).unwrap();
    take(rest, 1);
    text
}
