//! Numbers as text: printed as Python's `repr` prints them, parsed as Python's `int` and `float`
//! do.
//!
//! `repr`, serpent and json share this. Each has its own words for nan and the infinities.

use num_bigint::{BigInt, Sign};

use crate::error::{DecodeErrorKind, Result};
use crate::value::Value;

/// Most decimal digits of an int that CPython prints: its default limit.
pub(crate) const MAX_DIGITS: usize = 4300;

/// The error of text that is no number.
pub(crate) const MALFORMED_NUMBER: &str = "a malformed number";

/// Appends a float: a finite one with `write_finite`, others as the words for nan, inf and -inf.
#[inline]
pub(crate) fn write_any_float(
    float: f64,
    [nan, inf, minus_inf]: &[&str; 3],
    write_finite: impl Fn(f64, &mut Vec<u8>),
    out: &mut Vec<u8>,
) {
    if float.is_finite() {
        return write_finite(float, out);
    }
    let word = match float {
        float if float.is_nan() => nan,
        float if float > 0.0 => inf,
        _ => minus_inf,
    };
    out.extend_from_slice(word.as_bytes());
}

/// Appends a finite float as Python's `repr` prints it.
pub(crate) fn write_float(float: f64, out: &mut Vec<u8>) {
    let mut buffer = zmij::Buffer::new();
    let shortest = buffer.format_finite(float);
    let size = float.abs();
    // In this range `zmij` and `repr` both print without an exponent, and print the same.
    if (1e-4..1e16).contains(&size) || size == 0.0 {
        out.extend_from_slice(shortest.as_bytes());
    } else {
        write_exponential(shortest, out);
    }
}

/// Appends a finite float as Python's `repr` prints it in a complex: without a ".0".
pub(crate) fn write_float_bare(float: f64, out: &mut Vec<u8>) {
    let start = out.len();
    write_float(float, out);
    if out.get(start..).is_some_and(|text| text.ends_with(b".0")) {
        out.truncate(out.len() - 2);
    }
}

/// Appends an int.
pub(crate) fn write_int(int: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(int).as_bytes());
}

/// Appends an int of any size. False, and nothing appended, if it has more than [`MAX_DIGITS`].
pub(crate) fn write_big_int(int: &BigInt, out: &mut Vec<u8>) -> bool {
    // Printing takes quadratic time, so an int that is much too long is refused by its bits, of
    // which a digit has 3.32.
    if int.bits() > MAX_DIGITS as u64 * 10 / 3 {
        return false;
    }
    let text = int.to_string();
    if text.trim_start_matches('-').len() > MAX_DIGITS {
        return false;
    }
    out.extend_from_slice(text.as_bytes());
    true
}

/// Parses decimal digits, with `_` anywhere among them.
pub(crate) fn parse_decimal(sign: Sign, digits: &[u8], max_digits: usize) -> Result<Value> {
    let mut plain = Vec::new();
    let digits = if digits.contains(&b'_') {
        plain.extend(digits.iter().copied().filter(|&digit| digit != b'_'));
        plain.as_slice()
    } else {
        digits
    };
    if digits.len() <= 18 {
        let size = digits.iter().fold(0, |size, digit| size * 10 + i64::from(digit & 0xf));
        return Ok(Value::Int(if sign == Sign::Minus { -size } else { size }));
    }
    if digits.len() > max_digits {
        return Err(DecodeErrorKind::Digits(max_digits));
    }
    let size = BigInt::parse_bytes(digits, 10).ok_or(DecodeErrorKind::Syntax(MALFORMED_NUMBER))?;
    Ok(Value::int(if sign == Sign::Minus { -size } else { size }))
}

/// Parses a number at `at` in its usual form; returns it and its length in bytes.
///
/// The fast path of json and serpent. `None` for a rare form or an error (ints of more than 18
/// digits, leading zeros, a point without digits on both sides): the format then parses the text by
/// its own grammar.
#[inline]
pub(crate) fn parse_plain_number(text: &str, at: usize) -> Option<(Value, usize)> {
    let bytes = text.as_bytes().get(at..)?;
    let negative = bytes.first() == Some(&b'-');
    let start = usize::from(negative);
    let (size, end) = accumulate_digits(bytes, start, 0);
    let whole = end - start;
    if whole == 0 || (whole > 1 && bytes.get(start) == Some(&b'0')) {
        return None;
    }
    let (mantissa, mut end, fraction) = match bytes.get(end) {
        Some(b'.') => {
            let (mantissa, fraction_end) = accumulate_digits(bytes, end + 1, size);
            let fraction = fraction_end - end - 1;
            if fraction == 0 {
                return None;
            }
            (mantissa, fraction_end, fraction)
        }
        Some(b'e' | b'E') => (size, end, 0),
        _ if whole > 18 => return None,
        _ => {
            let size = size as i64;
            return Some((Value::Int(if negative { -size } else { size }), end));
        }
    };
    let mut exponent = 0;
    if let Some(b'e' | b'E') = bytes.get(end) {
        let minus = bytes.get(end + 1) == Some(&b'-');
        let signed = minus || bytes.get(end + 1) == Some(&b'+');
        let start = end + 1 + usize::from(signed);
        let (size, exponent_end) = accumulate_digits(bytes, start, 0);
        if !(1..=4).contains(&(exponent_end - start)) {
            return None;
        }
        exponent = if minus { -(size as i64) } else { size as i64 };
        end = exponent_end;
    }
    let exponent = exponent - fraction as i64;
    // Both operands are exact floats, so one operation gives the correctly rounded result.
    let float = if whole + fraction <= 19 && mantissa <= 1 << 53 && exponent.unsigned_abs() <= 22 {
        let power = POWERS_OF_TEN.get(exponent.unsigned_abs() as usize)?;
        let size = mantissa as f64;
        let size = if exponent < 0 { size / power } else { size * power };
        if negative { -size } else { size }
    } else {
        text.get(at..at + end)?.parse().ok()?
    };
    Some((Value::Float(float), end))
}

static POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// Appends the digits from `at` to `number`; returns the result and the end of the digits. Beyond
/// 19 digits in all the result is wrong, and callers do not use it.
#[inline]
fn accumulate_digits(bytes: &[u8], mut at: usize, mut number: u64) -> (u64, usize) {
    while let Some(digit @ b'0'..=b'9') = bytes.get(at) {
        number = number.wrapping_mul(10).wrapping_add(u64::from(digit & 0xf));
        at += 1;
    }
    (number, at)
}

/// Appends the shortest digits of a float in Python's exponential notation: `1.5e-07`, `1e+16`.
fn write_exponential(shortest: &str, out: &mut Vec<u8>) {
    let (sign, text) = match shortest.strip_prefix('-') {
        Some(text) => ("-", text),
        None => ("", shortest),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent: i32 = exponent.parse().unwrap_or(0);

    let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    let zeros = all.iter().take_while(|&&digit| digit == b'0').count();
    let end = all.iter().rposition(|&digit| digit != b'0').map_or(0, |last| last + 1);
    let digits = all.get(zeros..end).unwrap_or(b"0");
    let exponent = exponent + whole.len() as i32 - 1 - zeros as i32;

    out.extend_from_slice(sign.as_bytes());
    if let Some((first, rest)) = digits.split_first() {
        out.push(*first);
        if !rest.is_empty() {
            out.push(b'.');
            out.extend_from_slice(rest);
        }
    }
    out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
    let exponent = exponent.unsigned_abs();
    if exponent < 10 {
        out.push(b'0');
    }
    out.extend_from_slice(itoa::Buffer::new().format(exponent).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_in_python() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (123_456.789, "123456.789"),
            (1e15, "1000000000000000.0"),
            (9_007_199_254_740_993.0, "9007199254740992.0"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            (1e16, "1e+16"),
            (1.5e16, "1.5e+16"),
            (-12_345_678_901_234_567_890.0, "-1.2345678901234567e+19"),
            (1e22, "1e+22"),
            (1e23, "1e+23"),
            (1e100, "1e+100"),
            (0.0001, "0.0001"),
            (0.000_123, "0.000123"),
            (0.000_099_9, "9.99e-05"),
            (1e-5, "1e-05"),
            (-1.25e-5, "-1.25e-05"),
            (1e-7, "1e-07"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
        ];
        for (float, text) in cases {
            let mut out = Vec::new();
            write_float(float, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), text);
        }
    }

    #[test]
    fn numbers_in_usual_form_are_parsed() {
        let float = |float: f64| Some(Value::Float(float));
        let cases = [
            ("0", Some(Value::Int(0)), 1),
            ("-12,", Some(Value::Int(-12)), 3),
            ("999999999999999999]", Some(Value::Int(999_999_999_999_999_999)), 18),
            ("1.5 ", float(1.5), 3),
            ("-0.0", float(-0.0), 4),
            ("1e5", float(1e5), 3),
            ("1.25E-07j", float(1.25e-7), 8),
            ("9007199254740993.0", float(9_007_199_254_740_992.0), 18),
            ("0.1234567890123456789012", float(0.123_456_789_012_345_68), 24),
            ("123456789012345678901234567890.5", float(1.234_567_890_123_456_8e29), 32),
            ("1e9999", float(f64::INFINITY), 6),
            ("1e-400", float(0.0), 6),
            ("5e-324", float(5e-324), 6),
            ("1000000000000000000", None, 0),
            ("1e30000", None, 0),
            ("01", None, 0),
            ("1.", None, 0),
            (".5", None, 0),
            ("1e", None, 0),
            ("-", None, 0),
            ("", None, 0),
            ("x", None, 0),
        ];
        for (text, value, len) in cases {
            let padded = format!("[{text}");
            let expected = value.map(|value| (value, len));
            assert_eq!(parse_plain_number(&padded, 1), expected, "{text}");
        }
    }

    #[test]
    fn ints_print_up_to_pythons_limit() {
        let most: BigInt = BigInt::from(10).pow(4300) - 1;
        for (int, fits) in [(most.clone(), true), (-&most, true), (&most + 1, false)] {
            let mut out = Vec::new();
            assert_eq!(write_big_int(&int, &mut out), fits);
            assert_eq!(out.is_empty(), !fits);
        }
    }
}
