//! Scalar resolution of YAML 1.1, as PyYAML does it and as PyroLab's users know it.
//!
//! `1.0e+6` is a number and `1e6` text; `010` is eight and `08` text. Must not know the key that
//! the value belongs to.

use num_bigint::BigInt;

use super::problem::{quoted, shortened};

/// Largest number of digits of an integer, as in CPython: conversion time grows with its square.
const MAX_DIGITS: usize = 4300;

/// A scalar as written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scalar {
    /// Its text, after quotes and escapes.
    pub text: String,
    /// How it was written.
    pub form: Form,
}

/// The part of a scalar's syntax that decides its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Without quotes: its text decides.
    Plain,
    /// In quotes or as a block, or with `!!str`: always text.
    Text,
    /// Tagged with one of the other plain types.
    Tagged(Tag),
}

/// The tags that say a scalar's type and construct nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    /// `!!null`.
    Null,
    /// `!!bool`.
    Bool,
    /// `!!int`.
    Int,
    /// `!!float`.
    Float,
}

/// The resolved value of a scalar.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Meaning {
    /// `null`, `~` or nothing at all.
    Null,
    /// `true`, `yes`, `on` and their opposites.
    Bool(bool),
    /// A whole number.
    Int(BigInt),
    /// Another number.
    Float(f64),
    /// A date, or a date with a time.
    Date,
    /// Digits without end.
    TooLong,
    /// Anything else.
    Text,
}

impl Scalar {
    /// Whether its text decides what it means.
    pub(crate) fn is_plain(&self) -> bool {
        self.form == Form::Plain
    }

    /// Resolves the scalar; `None` if its text does not fit its tag.
    pub(crate) fn meaning(&self) -> Option<Meaning> {
        let plain = || resolve(&self.text);
        let tag = match self.form {
            Form::Text => return Some(Meaning::Text),
            Form::Plain => return Some(plain()),
            Form::Tagged(tag) => tag,
        };
        match (tag, plain()) {
            (Tag::Null, found @ Meaning::Null)
            | (Tag::Bool, found @ Meaning::Bool(_))
            | (Tag::Int, found @ Meaning::Int(_))
            | (Tag::Float, found @ Meaning::Float(_)) => Some(found),
            (Tag::Float, Meaning::Int(_) | Meaning::Text) => {
                self.text.trim().parse().ok().map(Meaning::Float)
            }
            _ => None,
        }
    }
}

/// A number as a person may have meant it, whatever YAML makes of it: `1e6`, `"9090"`, ` 5 `.
pub(crate) fn lenient_number(text: &str) -> Option<f64> {
    let text = text.trim();
    let digits = text.trim_start_matches(['+', '-']);
    let numeric = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    numeric.then(|| text.replace('_', "").parse().ok()).flatten()
}

/// Why a plain number is probably not the number that was meant.
pub(crate) fn surprise(text: &str, meaning: &Meaning) -> Option<String> {
    let digits = text.trim_start_matches(['+', '-']);
    let octal = || {
        digits.len() > 1
            && digits.starts_with('0')
            && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let what = match meaning {
        Meaning::Int(value) if digits.contains(':') => format!("in base 60, as {value}"),
        Meaning::Float(value) if digits.contains(':') => format!("in base 60, as {value}"),
        Meaning::Int(value) if octal() => format!("as an octal number, {value}"),
        Meaning::Text if lenient_number(text).is_some_and(f64::is_finite) => {
            "as text, not as a number".to_owned()
        }
        _ => return None,
    };
    Some(format!("{} is read {}", quoted(text), shortened(&what)))
}

/// Whether a text without quotes is text.
pub(crate) fn is_plain_text(text: &str) -> bool {
    matches!(resolve(text), Meaning::Text)
}

fn resolve(text: &str) -> Meaning {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Meaning::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => {
            return Meaning::Bool(true);
        }
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            return Meaning::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Meaning::Float(f64::NAN),
        _ => {}
    }
    let (negative, digits) = match text.as_bytes() {
        [b'-', ..] => (true, text.get(1..).unwrap_or("")),
        [b'+', ..] => (false, text.get(1..).unwrap_or("")),
        _ => (false, text),
    };
    if matches!(digits, ".inf" | ".Inf" | ".INF") {
        return Meaning::Float(if negative { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Meaning::Text;
    }
    if is_date(text) {
        return Meaning::Date;
    }
    whole(digits, negative).or_else(|| fraction(digits, negative, text)).unwrap_or(Meaning::Text)
}

/// `0b101`, `017`, `0`, `1_000`, `0xFF`, `1:30`; what follows the sign.
fn whole(digits: &str, negative: bool) -> Option<Meaning> {
    if digits.contains(':') {
        let mut parts = digits.split(':');
        let first = parts.next().filter(|first| is_decimal(first))?;
        let mut value: BigInt = number(first, 10)?;
        for part in parts {
            value = value * 60 + sixtieth(part)?;
        }
        return Some(Meaning::Int(if negative { -value } else { value }));
    }
    let (digits, radix) = if let Some(binary) = digits.strip_prefix("0b") {
        (binary, 2)
    } else if let Some(hexadecimal) = digits.strip_prefix("0x") {
        (hexadecimal, 16)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (digits, 8)
    } else {
        (digits, 10)
    };
    let valid = |byte: u8| byte == b'_' || char::from(byte).is_digit(radix);
    if !digits.bytes().all(valid) {
        return None;
    }
    if digits.len() > MAX_DIGITS {
        return Some(Meaning::TooLong);
    }
    let value = number(digits, radix)?;
    Some(Meaning::Int(if negative { -value } else { value }))
}

/// `1.5`, `1.`, `1.5e-6` (but not `1.5e6`), `.5`, `1:30.5`.
fn fraction(digits: &str, negative: bool, text: &str) -> Option<Meaning> {
    let sign = if negative { -1.0 } else { 1.0 };
    if digits.contains(':') {
        let mut parts = digits.split(':');
        let first = parts.next()?;
        if !first.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_') {
            return None;
        }
        let mut value: f64 = first.replace('_', "").parse().ok()?;
        let mut parts = parts.peekable();
        while let Some(part) = parts.next() {
            let last = parts.peek().is_none();
            let (seconds, rest) = if last { part.split_once('.')? } else { (part, "") };
            sixtieth(seconds)?;
            if !rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_') {
                return None;
            }
            let part = format!("{seconds}.{}", rest.replace('_', ""));
            value = value * 60.0 + part.parse::<f64>().ok()?;
        }
        return Some(Meaning::Float(sign * value));
    }
    let (mantissa, exponent) = match digits.find(['e', 'E']) {
        Some(index) => (digits.get(..index)?, digits.get(index + 1..)?),
        None => (digits, "+0"),
    };
    let (before, after) = mantissa.split_once('.')?;
    let valid = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    // `.5` may not have a sign: PyYAML's pattern forgot it.
    let shape = match before {
        "" => text.starts_with('.') && after.starts_with(|c: char| c.is_ascii_digit()),
        _ => before.starts_with(|c: char| c.is_ascii_digit()),
    };
    let power = exponent.strip_prefix(['+', '-'])?;
    let exact = !power.is_empty() && power.bytes().all(|byte| byte.is_ascii_digit());
    if !(shape && exact && valid(before) && valid(after)) {
        return None;
    }
    digits.replace('_', "").parse().ok().map(|value: f64| Meaning::Float(sign * value))
}

fn number(digits: &str, radix: u32) -> Option<BigInt> {
    if digits.len() > MAX_DIGITS {
        return None;
    }
    BigInt::parse_bytes(digits.replace('_', "").as_bytes(), radix)
}

fn is_decimal(digits: &str) -> bool {
    digits.starts_with(|c: char| matches!(c, '1'..='9'))
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_')
}

/// A part of a number in base 60: one digit, or two below 60.
fn sixtieth(part: &str) -> Option<u32> {
    let short = matches!(part.len(), 1 | 2) && part.bytes().all(|byte| byte.is_ascii_digit());
    short.then(|| part.parse().ok()).flatten().filter(|value| *value < 60)
}

/// `2024-01-31`, `2024-1-31 10:20:30.5 +01:00`.
fn is_date(text: &str) -> bool {
    // Digits become 9 so that the shapes can be compared.
    let shape: String =
        text.chars().take(60).map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    if shape == "9999-99-99" {
        return true;
    }
    let blank = [' ', '\t'];
    let Some((date, time)) = shape.split_once(['T', 't', ' ', '\t']) else { return false };
    let spaced = shape.contains(blank) && !shape.contains(['T', 't']);
    let time = if spaced { time.trim_start_matches(blank) } else { time };
    let hour = time.strip_prefix("99").or_else(|| time.strip_prefix('9'));
    let Some(rest) = hour.and_then(|rest| rest.strip_prefix(":99:99")) else { return false };
    let rest = rest.strip_prefix('.').map_or(rest, |rest| rest.trim_start_matches('9'));
    let zone = rest.trim_start_matches(blank);
    let zones = ["Z", "+9", "-9", "+99", "-99", "+9:99", "-9:99", "+99:99", "-99:99"];
    let dates = ["9999-99-99", "9999-9-99", "9999-99-9", "9999-9-9"];
    dates.contains(&date) && (rest.is_empty() || zones.contains(&zone))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match resolve(text) {
            Meaning::Null => "null".into(),
            Meaning::Bool(value) => value.to_string(),
            Meaning::Int(value) => value.to_string(),
            Meaning::Float(value) => format!("{value:?}f"),
            Meaning::Date => "date".into(),
            Meaning::TooLong => "too long".into(),
            Meaning::Text => "text".into(),
        }
    }

    /// Each answer is PyYAML 6.0.3's.
    #[test]
    fn plain_scalars_mean_what_they_mean_to_pyyaml() {
        let cases = "1e6 text|1.5e3 text|1.5e+3 1500.0f|1.5E-3 0.0015f|0o17 text|017 15|0b11 3\
            |0x1F 31|-0x1f -31|on true|Off false|y text|~ null|Null null|.5 0.5f|+.5 text|+1 1\
            |1. 1.0f|09 text|089 text|-.inf -inff|.NaN NaNf|nan text|1:30 90|1:30:20 5420\
            |1:60 text|1_0.5 10.5f|1__0 10|0_ 0|-0 0|00 0|1:30.5 90.5f|190:20:30.15 685230.15f\
            |2024-01-31 date|2024-1-31 text|2024-1-31 10:20:30 date|1.2.3 text|1.2.3.4 text\
            |- text|+ text|. text|.. text|._ text|1._ 1.0f|12345678901234567890123 \
            12345678901234567890123|0x text|0b text|1a text|1.5e+ text|1,000 text|10:20 620\
            |08:30 text|1.0e+400 inff";
        for case in cases.split('|') {
            let (text, expected) = case.rsplit_once(' ').unwrap();
            assert_eq!(shown(text), expected, "{text}");
        }
        assert_eq!(shown(&"9".repeat(MAX_DIGITS + 1)), "too long");
    }

    #[test]
    fn a_number_that_is_not_what_it_looks_like_is_noticed() {
        let surprises = ["1e6", "0012", "12:30:45", "1.5e3", "+.5", "089"];
        for text in surprises {
            assert!(surprise(text, &resolve(text)).is_some(), "{text}");
        }
        for text in
            ["1", "0", "1.5", "abc", "0x10", "", "1.2.3", "10.0.0.1", "4e", "5V", "infinity"]
        {
            assert_eq!(surprise(text, &resolve(text)), None, "{text}");
        }
    }
}
