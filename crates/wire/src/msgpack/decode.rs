//! Decoder of msgpack.

use num_bigint::Sign;

use super::ext::{
    DATE, DATETIME, EXT_COMPLEX, EXT_DATE, EXT_DATETIME, EXT_LONG, EXT_TIMESTAMP,
    NANOSECONDS_PER_SECOND, TIMESTAMP,
};
use crate::binary_reader::Reader;
use crate::budget::{DecodeBudget, ValueMemory};
use crate::error::{DecodeErrorKind, Decoded, Result};
use crate::limits::Limits;
use crate::number::parse_decimal;
use crate::value::Value;

/// The error of an int that is no number.
const NO_NUMBER: &str = "an ext long takes a number";

/// Decodes `data` as one value; also returns the bytes of memory that the budget counted for it.
///
/// # Errors
/// Data that is no msgpack value, map keys other than str and bytes, unknown extension types, and
/// anything beyond the limits.
pub(crate) fn decode(data: &[u8], limits: &Limits) -> Decoded<(Value, ValueMemory)> {
    let input = Reader::new(data);
    let mut decoder = Decoder { input, digits: limits.digits, budget: DecodeBudget::new(limits) };
    let value = decoder.read_document().map_err(|kind| (decoder.input.at(), kind))?;
    Ok((value, decoder.budget.memory()))
}

struct Decoder<'a> {
    input: Reader<'a>,
    /// Limit on the decimal digits of an int.
    digits: usize,
    budget: DecodeBudget,
}

impl Decoder<'_> {
    fn read_document(&mut self) -> Result<Value> {
        let value = self.read_value()?;
        if self.input.is_empty() { Ok(value) } else { Err(DecodeErrorKind::Trailing) }
    }

    fn read_value(&mut self) -> Result<Value> {
        let start = self.input.at();
        let code = self.input.read_byte()?;
        Ok(match code {
            0x00..=0x7f => Value::Int(code.into()),
            0x80..=0x8f => self.read_map(usize::from(code & 0x0f))?,
            0x90..=0x9f => self.read_array(usize::from(code & 0x0f))?,
            0xa0..=0xbf => self.read_text(usize::from(code & 0x1f))?,
            0xc0 => Value::None,
            0xc2 => Value::Bool(false),
            0xc3 => Value::Bool(true),
            0xc4 => self.read_len8().and_then(|len| self.read_bytes(len))?,
            0xc5 => self.read_len16().and_then(|len| self.read_bytes(len))?,
            0xc6 => self.read_len32().and_then(|len| self.read_bytes(len))?,
            0xc7 => self.read_len8().and_then(|len| self.read_ext(len))?,
            0xc8 => self.read_len16().and_then(|len| self.read_ext(len))?,
            0xc9 => self.read_len32().and_then(|len| self.read_ext(len))?,
            0xca => Value::Float(f32::from_be_bytes(self.input.read_array()?).into()),
            0xcb => Value::Float(f64::from_be_bytes(self.input.read_array()?)),
            0xcc => Value::Int(self.input.read_byte()?.into()),
            0xcd => Value::Int(u16::from_be_bytes(self.input.read_array()?).into()),
            0xce => Value::Int(u32::from_be_bytes(self.input.read_array()?).into()),
            0xcf => Value::from(u64::from_be_bytes(self.input.read_array()?)),
            0xd0 => Value::Int(i8::from_be_bytes(self.input.read_array()?).into()),
            0xd1 => Value::Int(i16::from_be_bytes(self.input.read_array()?).into()),
            0xd2 => Value::Int(i32::from_be_bytes(self.input.read_array()?).into()),
            0xd3 => Value::Int(i64::from_be_bytes(self.input.read_array()?)),
            0xd4 => self.read_ext(1)?,
            0xd5 => self.read_ext(2)?,
            0xd6 => self.read_ext(4)?,
            0xd7 => self.read_ext(8)?,
            0xd8 => self.read_ext(16)?,
            0xd9 => self.read_len8().and_then(|len| self.read_text(len))?,
            0xda => self.read_len16().and_then(|len| self.read_text(len))?,
            0xdb => self.read_len32().and_then(|len| self.read_text(len))?,
            0xdc => self.read_len16().and_then(|len| self.read_array(len))?,
            0xdd => self.read_len32().and_then(|len| self.read_array(len))?,
            0xde => self.read_len16().and_then(|len| self.read_map(len))?,
            0xdf => self.read_len32().and_then(|len| self.read_map(len))?,
            0xe0..=0xff => Value::Int(i64::from(code as i8)),
            0xc1 => return Err(self.input.fail_at(start, DecodeErrorKind::Code(code))),
        })
    }

    fn read_len8(&mut self) -> Result<usize> {
        Ok(self.input.read_byte()?.into())
    }

    fn read_len16(&mut self) -> Result<usize> {
        Ok(u16::from_be_bytes(self.input.read_array()?).into())
    }

    fn read_len32(&mut self) -> Result<usize> {
        Ok(u32::from_be_bytes(self.input.read_array()?) as usize)
    }

    fn read_text(&mut self, len: usize) -> Result<Value> {
        Ok(Value::Str(self.input.read_text(len)?.to_owned()))
    }

    fn read_bytes(&mut self, len: usize) -> Result<Value> {
        Ok(Value::Bytes(self.input.read_bytes(len)?.to_vec()))
    }

    fn read_array(&mut self, len: usize) -> Result<Value> {
        self.budget.enter_container()?;
        self.input.announce_items(len)?;
        let mut items = self.budget.new_list(len)?;
        while items.len() < len {
            // The fast path for long lists of floats, which instruments return. Floats cost no
            // memory beyond the list, which is paid for.
            let floats =
                self.input.take_uniform(len - items.len(), |[code, number @ ..]: [u8; 9]| {
                    (code == 0xcb).then(|| Value::Float(f64::from_be_bytes(number)))
                });
            items.extend(floats);
            if items.len() == len {
                break;
            }
            self.input.begin_item();
            let item = self.read_value()?;
            self.budget.push_item(&mut items, item)?;
        }
        self.budget.leave_container();
        Ok(Value::List(items))
    }

    fn read_map(&mut self, len: usize) -> Result<Value> {
        self.budget.enter_container()?;
        self.input.announce_items(len.saturating_mul(2))?;
        let mut dict = self.budget.new_dict(len)?;
        for _ in 0..len {
            let start = self.input.at();
            self.input.begin_item();
            let key = self.read_value()?;
            if !matches!(key, Value::Str(_) | Value::Bytes(_)) {
                return Err(self.input.fail_at(start, DecodeErrorKind::MapKey(key.type_name())));
            }
            self.input.begin_item();
            let value = self.read_value()?;
            self.budget.insert_entry(&mut dict, key, value)?;
        }
        self.budget.leave_container();
        Ok(Value::Dict(dict))
    }

    fn read_ext(&mut self, len: usize) -> Result<Value> {
        let start = self.input.at();
        let code = self.input.read_byte()?;
        let data = self.input.read_bytes(len)?;
        let kind = match (code, data) {
            (EXT_COMPLEX, data) => match data.as_chunks::<8>() {
                ([re, im], []) => {
                    let (re, im) = (f64::from_le_bytes(*re), f64::from_le_bytes(*im));
                    return Ok(Value::Complex { re, im });
                }
                _ => DecodeErrorKind::Syntax("an ext complex takes 16 bytes"),
            },
            (EXT_LONG, data) => match parse_int(data, self.digits) {
                Ok(int) => return Ok(int),
                Err(kind) => kind,
            },
            (EXT_DATETIME, data) => match data.try_into().map(f64::from_le_bytes) {
                Ok(timestamp) => return self.new_class_dict(DATETIME, timestamp.into()),
                Err(_) => DecodeErrorKind::Syntax("an ext datetime takes 8 bytes"),
            },
            (EXT_DATE, data) => match data.try_into().map(i64::from_le_bytes) {
                Ok(ordinal) => return self.new_class_dict(DATE, ordinal.into()),
                Err(_) => DecodeErrorKind::Syntax("an ext date takes 8 bytes"),
            },
            (EXT_TIMESTAMP, data) => match timestamp(data) {
                Some((seconds, nanoseconds)) => return self.new_timestamp(seconds, nanoseconds),
                None => DecodeErrorKind::Syntax("a timestamp takes 4, 8 or 12 bytes"),
            },
            (other, _) => DecodeErrorKind::Ext(other as i8),
        };
        Err(self.input.fail_at(start, kind))
    }

    fn new_class_dict(&mut self, (class, key): (&str, &str), value: Value) -> Result<Value> {
        let mut dict = self.budget.new_dict(2)?;
        self.budget.insert_entry(&mut dict, "__class__".into(), class.into())?;
        self.budget.insert_entry(&mut dict, key.into(), value)?;
        Ok(Value::Dict(dict))
    }

    fn new_timestamp(&mut self, seconds: i64, nanoseconds: u32) -> Result<Value> {
        let (class, first, second) = TIMESTAMP;
        let mut dict = self.budget.new_dict(3)?;
        self.budget.insert_entry(&mut dict, "__class__".into(), class.into())?;
        self.budget.insert_entry(&mut dict, first.into(), seconds.into())?;
        self.budget.insert_entry(&mut dict, second.into(), nanoseconds.into())?;
        Ok(Value::Dict(dict))
    }
}

/// Seconds and nanoseconds of a timestamp.
fn timestamp(data: &[u8]) -> Option<(i64, u32)> {
    let (seconds, nanoseconds) = match data.len() {
        4 => (i64::from(u32::from_be_bytes(data.try_into().ok()?)), 0),
        8 => {
            let both = u64::from_be_bytes(data.try_into().ok()?);
            (i64::try_from(both & ((1 << 34) - 1)).ok()?, u32::try_from(both >> 34).ok()?)
        }
        12 => {
            let (nanoseconds, seconds) = data.split_first_chunk::<4>()?;
            (i64::from_be_bytes(seconds.try_into().ok()?), u32::from_be_bytes(*nanoseconds))
        }
        _ => return None,
    };
    (nanoseconds < NANOSECONDS_PER_SECOND).then_some((seconds, nanoseconds))
}

/// Parses an int as Python's `int()` does: white space around it, a sign, `_` between digits.
fn parse_int(text: &[u8], max_digits: usize) -> Result<Value> {
    let text = text.trim_ascii();
    let (sign, digits) = match text.split_first() {
        Some((b'-', digits)) => (Sign::Minus, digits),
        Some((b'+', digits)) => (Sign::Plus, digits),
        _ => (Sign::Plus, text),
    };
    let mut between = false;
    for &byte in digits {
        match byte {
            b'0'..=b'9' => between = true,
            b'_' if between => between = false,
            _ => return Err(DecodeErrorKind::Syntax(NO_NUMBER)),
        }
    }
    if between {
        parse_decimal(sign, digits, max_digits)
    } else {
        Err(DecodeErrorKind::Syntax(NO_NUMBER))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ints_are_read_as_in_python() {
        let cases = [
            ("12", Ok("12")),
            (" -1_000 ", Ok("-1000")),
            ("+7", Ok("7")),
            ("-9223372036854775808", Ok("-9223372036854775808")),
            ("9223372036854775808", Ok("9223372036854775808")),
            ("12345678901234567890", Ok("12345678901234567890")),
            ("123456789012345678901", Err(DecodeErrorKind::Digits(20))),
            ("", Err(DecodeErrorKind::Syntax(NO_NUMBER))),
            ("-", Err(DecodeErrorKind::Syntax(NO_NUMBER))),
            ("1__0", Err(DecodeErrorKind::Syntax(NO_NUMBER))),
            ("_1", Err(DecodeErrorKind::Syntax(NO_NUMBER))),
            ("1_", Err(DecodeErrorKind::Syntax(NO_NUMBER))),
            ("1.0", Err(DecodeErrorKind::Syntax(NO_NUMBER))),
        ];
        for (text, printed) in cases {
            let int = parse_int(text.as_bytes(), 20).map(|int| int.to_string());
            assert_eq!(int.as_deref().map_err(|kind| *kind), printed, "{text}");
        }
    }
}
