//! Decoder of marshal.
//!
//! A reference decodes its target again. Data of a few bytes could otherwise make gigabytes by
//! references to references, so what they expand to has a separate budget.

use num_bigint::{BigInt, Sign};

use crate::array::Array;
use crate::binary_reader::Reader;
use crate::budget::{DecodeBudget, VALUE_BYTES, ValueMemory};
use crate::error::{DecodeErrorKind, Decoded, Result};
use crate::limits::Limits;
use crate::value::{Dict, Set, Value};

/// The bit of a type code that makes its value a target of references.
const FLAG_REF: u8 = 0x80;
/// Bytes that references may expand to, for each byte of data: as much as one-byte codes make.
const EXPANSION_PER_BYTE: usize = VALUE_BYTES;
/// Divisor of the largest message. References may expand to that many bytes more, so that short
/// data can repeat a long text.
const EXPANSION_DIVISOR: usize = 16;

/// Decodes one value at the beginning of `data`; also returns the bytes of memory that the budget
/// counted for it.
///
/// # Errors
/// Data that is no marshal value, code objects, references that make a value contain itself or that
/// expand to far more than the data, and anything beyond the limits.
pub(crate) fn decode(data: &[u8], limits: &Limits) -> Decoded<(Value, ValueMemory)> {
    let mut decoder = Decoder::new(data, limits);
    let value = decoder.read_value(false).map_err(|kind| (decoder.input.at(), kind))?;
    Ok((value, decoder.budget.memory()))
}

/// Decodes `data`, a tuple (descriptions, value) with a placeholder in place of each array; `make`
/// makes the arrays of their descriptions.
///
/// # Errors
/// As [`decode`], and data with more or fewer placeholders than arrays.
pub(crate) fn decode_packed(
    data: &[u8],
    limits: &Limits,
    make: impl FnOnce(Value) -> Result<Vec<Array>, &'static str>,
) -> Decoded<(Value, ValueMemory)> {
    let mut decoder = Decoder::new(data, limits);
    let value = decoder.read_packed(make).map_err(|kind| (decoder.input.at(), kind))?;
    Ok((value, decoder.budget.memory()))
}

struct Decoder<'a> {
    input: Reader<'a>,
    targets: Vec<ReferenceTarget>,
    /// Whether the value is being decoded again, through a reference.
    replaying: bool,
    budget: DecodeBudget,
    /// Bytes that references may still expand to.
    expansion_left: usize,
    /// Arrays for the placeholders that are still to come.
    arrays: std::vec::IntoIter<Array>,
}

/// A value that references may name. It is decoded again rather than copied, because most targets
/// have no reference.
struct ReferenceTarget {
    /// Position in the data.
    at: usize,
    /// Whether the value has been decoded. A reference to it before would make it contain itself.
    complete: bool,
}

impl<'a> Decoder<'a> {
    fn new(data: &'a [u8], limits: &Limits) -> Self {
        Decoder {
            input: Reader::new(data),
            targets: Vec::new(),
            replaying: false,
            budget: DecodeBudget::new(limits),
            expansion_left: (data.len().saturating_mul(EXPANSION_PER_BYTE))
                .saturating_add(limits.message / EXPANSION_DIVISOR),
            arrays: Vec::new().into_iter(),
        }
    }

    fn read_packed(
        &mut self,
        make: impl FnOnce(Value) -> Result<Vec<Array>, &'static str>,
    ) -> Result<Value> {
        let is_pair = match self.input.read_byte()? & !FLAG_REF {
            b'(' => self.read_len32()? == 2,
            b')' => self.read_len8()? == 2,
            _ => false,
        };
        if !is_pair {
            return Err(DecodeErrorKind::Array("the arrays of a message are not described"));
        }
        let descriptions = self.read_value(false)?;
        self.arrays = make(descriptions).map_err(DecodeErrorKind::Array)?.into_iter();
        let value = self.read_value(false)?;
        if self.arrays.len() > 0 {
            return Err(DecodeErrorKind::Array("an array has no place in its value"));
        }
        Ok(value)
    }

    /// The array of a placeholder.
    fn take_array(&mut self, start: usize, hashable: bool) -> Result<Value> {
        if hashable {
            return Err(self.input.fail_at(start, DecodeErrorKind::Unhashable("ndarray")));
        }
        // A reference to an array would need it a second time.
        match self.arrays.next().filter(|_| !self.replaying) {
            Some(array) => Ok(array.into()),
            None => Err(self.input.fail_at(start, refuse_code(b'.'))),
        }
    }

    /// Reads a value, which must be `hashable` if it is a dict key or a set member.
    fn read_value(&mut self, hashable: bool) -> Result<Value> {
        let start = self.input.at();
        let byte = self.input.read_byte()?;
        let code = byte & !FLAG_REF;
        match code {
            b'N' => return Ok(Value::None),
            b'F' => return Ok(Value::Bool(false)),
            b'T' => return Ok(Value::Bool(true)),
            b'r' => return self.read_reference(start, hashable),
            _ => {}
        }
        if byte & FLAG_REF == 0 || self.replaying {
            return self.read_object(start, code, hashable);
        }
        let number = self.targets.len();
        self.targets.push(ReferenceTarget { at: start, complete: false });
        let value = self.read_object(start, code, hashable)?;
        if let Some(target) = self.targets.get_mut(number) {
            target.complete = true;
        }
        Ok(value)
    }

    fn read_object(&mut self, start: usize, code: u8, hashable: bool) -> Result<Value> {
        match code {
            b'i' => Ok(Value::Int(i32::from_le_bytes(self.input.read_array()?).into())),
            b'I' => Ok(Value::Int(i64::from_le_bytes(self.input.read_array()?))),
            b'g' => Ok(Value::Float(f64::from_le_bytes(self.input.read_array()?))),
            b'u' | b't' => {
                let len = self.read_len32()?;
                self.pay_for_expansion(len)?;
                let start = self.input.at();
                match self.input.read_text(len) {
                    Ok(text) => Ok(Value::Str(text.to_owned())),
                    Err(error) => {
                        let text = self.input.read_surrogate_text(start, len);
                        text.map(Value::SurrogateStr).ok_or(error)
                    }
                }
            }
            b'z' | b'Z' => self.read_len8().and_then(|len| self.read_latin1(len)),
            b'a' | b'A' => self.read_len32().and_then(|len| self.read_latin1(len)),
            b's' => {
                let len = self.read_len32()?;
                self.pay_for_expansion(len)?;
                Ok(Value::Bytes(self.input.read_bytes(len)?.to_vec()))
            }
            b'l' => self.read_int(),
            b'.' => self.take_array(start, hashable),
            b'f' => Ok(Value::Float(self.read_float_text()?)),
            b'x' => Ok(Value::Complex { re: self.read_float_text()?, im: self.read_float_text()? }),
            b'y' => {
                let re = f64::from_le_bytes(self.input.read_array()?);
                let im = f64::from_le_bytes(self.input.read_array()?);
                Ok(Value::Complex { re, im })
            }
            b'(' | b')' | b'[' | b'<' | b'>' | b'{' => {
                let entered = self.budget.enter_container();
                entered.map_err(|kind| self.input.fail_at(start, kind))?;
                let value = self.read_container(start, code, hashable)?;
                self.budget.leave_container();
                Ok(value)
            }
            code => Err(self.input.fail_at(start, refuse_code(code))),
        }
    }

    fn read_container(&mut self, start: usize, code: u8, hashable: bool) -> Result<Value> {
        let mut unhashable =
            |name| Err(self.input.fail_at(start, DecodeErrorKind::Unhashable(name)));
        match code {
            b'[' if hashable => unhashable("list"),
            b'<' if hashable => unhashable("set"),
            b'{' if hashable => unhashable("dict"),
            b'(' => {
                self.read_len32().and_then(|len| Ok(Value::Tuple(self.read_items(len, hashable)?)))
            }
            b')' => {
                self.read_len8().and_then(|len| Ok(Value::Tuple(self.read_items(len, hashable)?)))
            }
            b'[' => self.read_len32().and_then(|len| Ok(Value::List(self.read_items(len, false)?))),
            b'<' => Ok(Value::Set(self.read_members()?)),
            b'>' => Ok(Value::FrozenSet(self.read_members()?)),
            _ => self.read_dict(),
        }
    }

    fn read_items(&mut self, len: usize, hashable: bool) -> Result<Vec<Value>> {
        self.announce_items(len)?;
        let mut items = self.budget.new_list(len)?;
        while items.len() < len {
            // The fast path for long lists of numbers, which instruments return. Numbers cost no
            // memory beyond the list, which is paid for.
            let floats =
                self.input.take_uniform(len - items.len(), |[code, number @ ..]: [u8; 9]| {
                    (code == b'g').then(|| Value::Float(f64::from_le_bytes(number)))
                });
            items.extend(floats);
            let ints =
                self.input.take_uniform(len - items.len(), |[code, number @ ..]: [u8; 5]| {
                    (code == b'i').then(|| Value::Int(i32::from_le_bytes(number).into()))
                });
            items.extend(ints);
            if items.len() == len {
                break;
            }
            self.input.begin_item();
            let item = self.read_value(hashable)?;
            self.budget.push_item(&mut items, item)?;
        }
        Ok(items)
    }

    fn read_members(&mut self) -> Result<Set> {
        let len = self.read_len32()?;
        self.announce_items(len)?;
        let mut set = self.budget.new_set(len)?;
        for _ in 0..len {
            self.input.begin_item();
            let member = self.read_value(true)?;
            self.budget.insert_member(&mut set, member)?;
        }
        Ok(set)
    }

    fn read_dict(&mut self) -> Result<Value> {
        if self.is_dict_end() {
            self.input.read_byte()?;
            return Ok(Value::Dict(Dict::new()));
        }
        let mut dict = self.budget.new_dict_of_unknown_len()?;
        loop {
            if self.is_dict_end() {
                self.input.read_byte()?;
                self.budget.note_dict_len(&dict);
                return Ok(Value::Dict(dict));
            }
            self.pay_for_expanded_values(2)?;
            let key = self.read_value(true)?;
            let value = self.read_value(false)?;
            self.budget.insert_entry(&mut dict, key, value)?;
        }
    }

    /// Whether the dict ends here. The code 0 has no other meaning.
    fn is_dict_end(&self) -> bool {
        self.input.peek().is_some_and(|byte| byte & !FLAG_REF == b'0')
    }

    fn read_reference(&mut self, start: usize, hashable: bool) -> Result<Value> {
        let index = u32::from_le_bytes(self.input.read_array()?) as usize;
        let at = match self.targets.get(index) {
            None => Err("a reference to a value that is not there"),
            Some(target) if !target.complete => Err("a value that contains itself"),
            Some(target) => Ok(target.at),
        };
        let at =
            at.map_err(|reason| self.input.fail_at(start, DecodeErrorKind::Reference(reason)))?;
        let here = self.input.jump(at);
        let replaying = std::mem::replace(&mut self.replaying, true);
        self.pay_for_expanded_values(1)?;
        let value = self.read_value(hashable)?;
        self.replaying = replaying;
        self.input.resume(here);
        Ok(value)
    }

    fn announce_items(&mut self, items: usize) -> Result<()> {
        self.pay_for_expanded_values(items)?;
        self.input.announce_items(items)
    }

    fn pay_for_expanded_values(&mut self, values: usize) -> Result<()> {
        self.pay_for_expansion(values.saturating_mul(VALUE_BYTES))
    }

    /// Pays for bytes about to be allocated, if they are decoded through a reference.
    fn pay_for_expansion(&mut self, bytes: usize) -> Result<()> {
        match self.expansion_left.checked_sub(bytes) {
            _ if !self.replaying => Ok(()),
            Some(left) => {
                self.expansion_left = left;
                Ok(())
            }
            None => Err(self.input.fail_at(self.input.at(), DecodeErrorKind::Expansion)),
        }
    }

    fn read_len8(&mut self) -> Result<usize> {
        Ok(self.input.read_byte()?.into())
    }

    fn read_len32(&mut self) -> Result<usize> {
        let start = self.input.at();
        usize::try_from(i32::from_le_bytes(self.input.read_array()?))
            .map_err(|_| self.input.fail_at(start, DecodeErrorKind::Syntax("a negative length")))
    }

    /// Reads text that should be ASCII. Python reads other bytes as Latin-1.
    fn read_latin1(&mut self, len: usize) -> Result<Value> {
        self.pay_for_expansion(len)?;
        let bytes = self.input.read_bytes(len)?;
        let text = match std::str::from_utf8(bytes) {
            Ok(text) if text.is_ascii() => text.to_owned(),
            _ => bytes.iter().copied().map(char::from).collect(),
        };
        Ok(Value::Str(text))
    }

    fn read_float_text(&mut self) -> Result<f64> {
        let start = self.input.at();
        let len = self.read_len8()?;
        let text = std::str::from_utf8(self.input.read_bytes(len)?).ok();
        text.and_then(|text| text.parse().ok())
            .ok_or_else(|| self.input.fail_at(start, DecodeErrorKind::Syntax("not a float's text")))
    }

    fn read_int(&mut self) -> Result<Value> {
        let start = self.input.at();
        let count = i32::from_le_bytes(self.input.read_array()?);
        let len = (count.unsigned_abs() as usize).saturating_mul(2);
        self.pay_for_expansion(len)?;
        let digits = self.input.read_bytes(len)?.as_chunks::<2>().0;
        let digits = digits.iter().map(|digit| u16::from_le_bytes(*digit));
        if digits.clone().any(|digit| digit > 0x7fff) {
            let kind = DecodeErrorKind::Syntax("a digit of an int is out of range");
            return Err(self.input.fail_at(start, kind));
        }
        if digits.clone().next_back() == Some(0) {
            let kind = DecodeErrorKind::Syntax("an int begins with a zero digit");
            return Err(self.input.fail_at(start, kind));
        }
        // Converts 15-bit digits to 32-bit digits.
        let mut words = Vec::with_capacity(len / 4 + 1);
        let (mut held, mut held_bits) = (0u64, 0);
        for digit in digits {
            held |= u64::from(digit) << held_bits;
            held_bits += 15;
            if held_bits >= 32 {
                words.push(held as u32);
                held >>= 32;
                held_bits -= 32;
            }
        }
        words.push(held as u32);
        let sign = if count < 0 { Sign::Minus } else { Sign::Plus };
        Ok(Value::int(BigInt::new(sign, words)))
    }
}

fn refuse_code(code: u8) -> DecodeErrorKind {
    match code {
        b'c' => DecodeErrorKind::NotData("a code object"),
        b'S' => DecodeErrorKind::NotData("StopIteration"),
        b'.' => DecodeErrorKind::NotData("Ellipsis"),
        b'0' => DecodeErrorKind::Syntax("the end of a dict stands outside of one"),
        code => DecodeErrorKind::Code(code),
    }
}
