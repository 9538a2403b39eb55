//! Reading msgpack.

use super::ext::{DATE, DATETIME, EXT_COMPLEX, EXT_DATE, EXT_DATETIME, EXT_LONG};
use crate::binary::Reader;
use crate::budget::Budget;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::limits::Limits;
use crate::number::{IntError, parse_int};
use crate::serializer::Serializer;
use crate::value::Value;

/// Reads one value from the whole of `data`.
///
/// # Errors
/// Data that is no msgpack value, map keys other than str and bytes, unknown extension types, and
/// whatever is beyond the limits.
pub fn decode(data: &[u8], limits: &Limits) -> Result<Value, DecodeError> {
    decode_counted(data, limits).map(|(value, _)| value)
}

/// The same, with the bytes of memory that the value has been counted for.
pub(crate) fn decode_counted(data: &[u8], limits: &Limits) -> Result<(Value, usize), DecodeError> {
    let mut decoder = Decoder {
        input: Reader::new(Serializer::Msgpack, data),
        depth_left: limits.depth,
        budget: Budget::new(limits.memory),
        limits,
    };
    let value = decoder.value()?;
    if decoder.input.is_empty() {
        Ok((value, decoder.budget.spent()))
    } else {
        Err(decoder.input.error(decoder.input.at(), DecodeErrorKind::Trailing))
    }
}

struct Decoder<'a> {
    input: Reader<'a>,
    depth_left: usize,
    budget: Budget,
    limits: &'a Limits,
}

impl Decoder<'_> {
    fn value(&mut self) -> Result<Value, DecodeError> {
        let start = self.input.at();
        let code = self.input.byte()?;
        Ok(match code {
            0x00..=0x7f => Value::Int(code.into()),
            0x80..=0x8f => self.map(usize::from(code & 0x0f))?,
            0x90..=0x9f => self.array(usize::from(code & 0x0f))?,
            0xa0..=0xbf => self.text(usize::from(code & 0x1f))?,
            0xc0 => Value::None,
            0xc2 => Value::Bool(false),
            0xc3 => Value::Bool(true),
            0xc4 => self.len8().and_then(|len| self.bytes(len))?,
            0xc5 => self.len16().and_then(|len| self.bytes(len))?,
            0xc6 => self.len32().and_then(|len| self.bytes(len))?,
            0xc7 => self.len8().and_then(|len| self.ext(len))?,
            0xc8 => self.len16().and_then(|len| self.ext(len))?,
            0xc9 => self.len32().and_then(|len| self.ext(len))?,
            0xca => Value::Float(f32::from_be_bytes(self.input.array()?).into()),
            0xcb => Value::Float(f64::from_be_bytes(self.input.array()?)),
            0xcc => Value::Int(self.input.byte()?.into()),
            0xcd => Value::Int(u16::from_be_bytes(self.input.array()?).into()),
            0xce => Value::Int(u32::from_be_bytes(self.input.array()?).into()),
            0xcf => Value::from(u64::from_be_bytes(self.input.array()?)),
            0xd0 => Value::Int(i8::from_be_bytes(self.input.array()?).into()),
            0xd1 => Value::Int(i16::from_be_bytes(self.input.array()?).into()),
            0xd2 => Value::Int(i32::from_be_bytes(self.input.array()?).into()),
            0xd3 => Value::Int(i64::from_be_bytes(self.input.array()?)),
            0xd4 => self.ext(1)?,
            0xd5 => self.ext(2)?,
            0xd6 => self.ext(4)?,
            0xd7 => self.ext(8)?,
            0xd8 => self.ext(16)?,
            0xd9 => self.len8().and_then(|len| self.text(len))?,
            0xda => self.len16().and_then(|len| self.text(len))?,
            0xdb => self.len32().and_then(|len| self.text(len))?,
            0xdc => self.len16().and_then(|len| self.array(len))?,
            0xdd => self.len32().and_then(|len| self.array(len))?,
            0xde => self.len16().and_then(|len| self.map(len))?,
            0xdf => self.len32().and_then(|len| self.map(len))?,
            0xe0..=0xff => Value::Int(i64::from(code as i8)),
            0xc1 => return Err(self.input.error(start, DecodeErrorKind::Code(code))),
        })
    }

    fn len8(&mut self) -> Result<usize, DecodeError> {
        Ok(self.input.byte()?.into())
    }

    fn len16(&mut self) -> Result<usize, DecodeError> {
        Ok(u16::from_be_bytes(self.input.array()?).into())
    }

    fn len32(&mut self) -> Result<usize, DecodeError> {
        Ok(u32::from_be_bytes(self.input.array()?) as usize)
    }

    fn text(&mut self, len: usize) -> Result<Value, DecodeError> {
        Ok(Value::Str(self.input.text(len)?.to_owned()))
    }

    fn bytes(&mut self, len: usize) -> Result<Value, DecodeError> {
        Ok(Value::Bytes(self.input.bytes(len)?.to_vec()))
    }

    fn array(&mut self, len: usize) -> Result<Value, DecodeError> {
        self.enter()?;
        self.input.announce(len)?;
        let mut items = self.budget.list(len).map_err(|kind| self.input.error_here(kind))?;
        while items.len() < len {
            // Long lists of floats are what instruments return, and they cost nothing beside their
            // places in the list.
            let floats = self.input.entries(len - items.len(), |[code, number @ ..]: [u8; 9]| {
                (code == 0xcb).then(|| Value::Float(f64::from_be_bytes(number)))
            });
            items.extend(floats);
            if items.len() == len {
                break;
            }
            self.input.begin_item();
            let item = self.value()?;
            let paid = self.budget.push(&mut items, item);
            paid.map_err(|kind| self.input.error_here(kind))?;
        }
        self.depth_left += 1;
        Ok(Value::List(items))
    }

    fn map(&mut self, len: usize) -> Result<Value, DecodeError> {
        self.enter()?;
        self.input.announce(len.saturating_mul(2))?;
        let mut dict = self.budget.dict(len).map_err(|kind| self.input.error_here(kind))?;
        for _ in 0..len {
            let start = self.input.at();
            self.input.begin_item();
            let key = self.value()?;
            if !matches!(key, Value::Str(_) | Value::Bytes(_)) {
                return Err(self.input.error(start, DecodeErrorKind::MapKey(key.type_name())));
            }
            self.input.begin_item();
            let value = self.value()?;
            let paid = self.budget.insert(&mut dict, key, value);
            paid.map_err(|kind| self.input.error_here(kind))?;
        }
        self.depth_left += 1;
        Ok(Value::Dict(dict))
    }

    fn enter(&mut self) -> Result<(), DecodeError> {
        match self.depth_left.checked_sub(1) {
            Some(left) => {
                self.depth_left = left;
                Ok(())
            }
            None => Err(self.input.error_here(DecodeErrorKind::TooDeep(self.limits.depth))),
        }
    }

    fn ext(&mut self, len: usize) -> Result<Value, DecodeError> {
        let start = self.input.at();
        let code = self.input.byte()?;
        let data = self.input.bytes(len)?;
        let kind = match (code, data) {
            (EXT_COMPLEX, data) => match data.as_chunks::<8>() {
                ([re, im], []) => {
                    let (re, im) = (f64::from_le_bytes(*re), f64::from_le_bytes(*im));
                    return Ok(Value::Complex { re, im });
                }
                _ => DecodeErrorKind::Syntax("an ext complex takes 16 bytes"),
            },
            (EXT_LONG, data) => match parse_int(data, self.limits.digits) {
                Ok(int) => return Ok(int),
                Err(IntError::Digits) => DecodeErrorKind::Digits(self.limits.digits),
                Err(IntError::Syntax) => DecodeErrorKind::Syntax("an ext long takes a number"),
            },
            (EXT_DATETIME, data) => match data.try_into().map(f64::from_le_bytes) {
                Ok(timestamp) => return self.class_dict(DATETIME, timestamp.into()),
                Err(_) => DecodeErrorKind::Syntax("an ext datetime takes 8 bytes"),
            },
            (EXT_DATE, data) => match data.try_into().map(i64::from_le_bytes) {
                Ok(ordinal) => return self.class_dict(DATE, ordinal.into()),
                Err(_) => DecodeErrorKind::Syntax("an ext date takes 8 bytes"),
            },
            (other, _) => DecodeErrorKind::Ext(other as i8),
        };
        Err(self.input.error(start, kind))
    }

    fn class_dict(
        &mut self,
        (class, key): (&str, &str),
        value: Value,
    ) -> Result<Value, DecodeError> {
        let made = self.budget.dict(2).and_then(|mut dict| {
            self.budget.insert(&mut dict, "__class__".into(), class.into())?;
            self.budget.insert(&mut dict, key.into(), value)?;
            Ok(dict)
        });
        made.map(Value::Dict).map_err(|kind| self.input.error_here(kind))
    }
}
