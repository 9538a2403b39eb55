//! Reading marshal.

use num_bigint::{BigInt, Sign};

use crate::binary::Reader;
use crate::budget::Budget;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::limits::Limits;
use crate::serializer::Serializer;
use crate::value::{Dict, Set, Value};

/// The bit of a code that makes its value a target of references.
const FLAG_REF: u8 = 0x80;
/// What a value read again through a reference costs at least: the size of a [`Value`].
const COST_OF_VALUE: usize = size_of::<Value>();
/// References may expand to so many times the data's length, as plain one-byte codes may ...
const EXPANSION: usize = COST_OF_VALUE;
/// ... and to this fraction of the largest message on top, for small data with large repetitions.
const EXPANSION_FLOOR: usize = 16;

/// Reads one value from the beginning of `data`.
///
/// # Errors
/// Data that is no marshal value, code objects, references that make a value contain itself or that
/// expand to far more than the data, and whatever is beyond the limits.
pub fn decode(data: &[u8], limits: &Limits) -> Result<Value, DecodeError> {
    decode_counted(data, limits).map(|(value, _)| value)
}

/// The same, with the bytes of memory that the value has been counted for.
pub(crate) fn decode_counted(data: &[u8], limits: &Limits) -> Result<(Value, usize), DecodeError> {
    let mut decoder = Decoder {
        input: Reader::new(Serializer::Marshal, data),
        depth_left: limits.depth,
        depth: limits.depth,
        targets: Vec::new(),
        replaying: false,
        memory: Budget::new(limits.memory),
        budget: (data.len().saturating_mul(EXPANSION))
            .saturating_add(limits.message / EXPANSION_FLOOR),
    };
    let value = decoder.value(false)?;
    Ok((value, decoder.memory.spent()))
}

struct Decoder<'a> {
    input: Reader<'a>,
    depth_left: usize,
    depth: usize,
    targets: Vec<Target>,
    /// Whether a value is read for the second time, through a reference.
    replaying: bool,
    memory: Budget,
    /// What references may still expand to, in bytes.
    budget: usize,
}

/// A value that references may name: kept as its place in the data, which is read again, rather than
/// as a copy, of which most would never be used.
struct Target {
    at: usize,
    complete: bool,
}

impl Decoder<'_> {
    /// Reads a value; a `hashable` one must do as a dict key or a set member.
    fn value(&mut self, hashable: bool) -> Result<Value, DecodeError> {
        let start = self.input.at();
        let byte = self.input.byte()?;
        let code = byte & !FLAG_REF;
        match code {
            b'N' => return Ok(Value::None),
            b'F' => return Ok(Value::Bool(false)),
            b'T' => return Ok(Value::Bool(true)),
            b'r' => return self.reference(start, hashable),
            _ => {}
        }
        if byte & FLAG_REF == 0 || self.replaying {
            return self.object(start, code, hashable);
        }
        let number = self.targets.len();
        self.targets.push(Target { at: start, complete: false });
        let value = self.object(start, code, hashable)?;
        if let Some(target) = self.targets.get_mut(number) {
            target.complete = true;
        }
        Ok(value)
    }

    fn object(&mut self, start: usize, code: u8, hashable: bool) -> Result<Value, DecodeError> {
        match code {
            b'i' => Ok(Value::Int(i32::from_le_bytes(self.input.array()?).into())),
            b'I' => Ok(Value::Int(i64::from_le_bytes(self.input.array()?))),
            b'g' => Ok(Value::Float(f64::from_le_bytes(self.input.array()?))),
            b'u' | b't' => {
                let len = self.len32()?;
                self.charge(len)?;
                Ok(Value::Str(self.input.text(len)?.to_owned()))
            }
            b'z' | b'Z' => self.len8().and_then(|len| self.latin1(len)),
            b'a' | b'A' => self.len32().and_then(|len| self.latin1(len)),
            b's' => {
                let len = self.len32()?;
                self.charge(len)?;
                Ok(Value::Bytes(self.input.bytes(len)?.to_vec()))
            }
            b'l' => self.long(),
            b'f' => Ok(Value::Float(self.float_text()?)),
            b'x' => Ok(Value::Complex { re: self.float_text()?, im: self.float_text()? }),
            b'y' => {
                let re = f64::from_le_bytes(self.input.array()?);
                let im = f64::from_le_bytes(self.input.array()?);
                Ok(Value::Complex { re, im })
            }
            b'(' | b')' | b'[' | b'<' | b'>' | b'{' => {
                self.depth_left = self
                    .depth_left
                    .checked_sub(1)
                    .ok_or_else(|| self.input.error(start, DecodeErrorKind::TooDeep(self.depth)))?;
                let value = self.container(start, code, hashable)?;
                self.depth_left += 1;
                Ok(value)
            }
            code => Err(self.input.error(start, refusal(code))),
        }
    }

    fn container(&mut self, start: usize, code: u8, hashable: bool) -> Result<Value, DecodeError> {
        let unhashable = |name| Err(self.input.error(start, DecodeErrorKind::Unhashable(name)));
        match code {
            b'[' if hashable => unhashable("list"),
            b'<' if hashable => unhashable("set"),
            b'{' if hashable => unhashable("dict"),
            b'(' => self.len32().and_then(|len| Ok(Value::Tuple(self.items(len, hashable)?))),
            b')' => self.len8().and_then(|len| Ok(Value::Tuple(self.items(len, hashable)?))),
            b'[' => self.len32().and_then(|len| Ok(Value::List(self.items(len, false)?))),
            b'<' => Ok(Value::Set(self.members()?)),
            b'>' => Ok(Value::FrozenSet(self.members()?)),
            _ => self.dict(),
        }
    }

    fn items(&mut self, len: usize, hashable: bool) -> Result<Vec<Value>, DecodeError> {
        self.announce(len)?;
        let mut items = self.memory.list(len).map_err(|kind| self.input.error_here(kind))?;
        while items.len() < len {
            // Long lists of numbers are what instruments return, and they cost nothing beside
            // their places in the list.
            let floats = self.input.entries(len - items.len(), |[code, number @ ..]: [u8; 9]| {
                (code == b'g').then(|| Value::Float(f64::from_le_bytes(number)))
            });
            items.extend(floats);
            let ints = self.input.entries(len - items.len(), |[code, number @ ..]: [u8; 5]| {
                (code == b'i').then(|| Value::Int(i32::from_le_bytes(number).into()))
            });
            items.extend(ints);
            if items.len() == len {
                break;
            }
            self.input.begin_item();
            let item = self.value(hashable)?;
            let paid = self.memory.push(&mut items, item);
            paid.map_err(|kind| self.input.error_here(kind))?;
        }
        Ok(items)
    }

    fn members(&mut self) -> Result<Set, DecodeError> {
        let len = self.len32()?;
        self.announce(len)?;
        let mut set = self.memory.set(len).map_err(|kind| self.input.error_here(kind))?;
        for _ in 0..len {
            self.input.begin_item();
            let member = self.value(true)?;
            let paid = self.memory.add(&mut set, member);
            paid.map_err(|kind| self.input.error_here(kind))?;
        }
        Ok(set)
    }

    fn dict(&mut self) -> Result<Value, DecodeError> {
        if self.at_end() {
            self.input.byte()?;
            return Ok(Value::Dict(Dict::new()));
        }
        let mut dict = self.memory.dict_of_some().map_err(|kind| self.input.error_here(kind))?;
        loop {
            if self.at_end() {
                self.input.byte()?;
                self.memory.end_dict(&dict);
                return Ok(Value::Dict(dict));
            }
            self.charge_values(2)?;
            let key = self.value(true)?;
            let value = self.value(false)?;
            let paid = self.memory.insert(&mut dict, key, value);
            paid.map_err(|kind| self.input.error_here(kind))?;
        }
    }

    /// Whether a dict ends here: the one place where the code 0 stands for something.
    fn at_end(&self) -> bool {
        self.input.peek().is_some_and(|byte| byte & !FLAG_REF == b'0')
    }

    fn reference(&mut self, start: usize, hashable: bool) -> Result<Value, DecodeError> {
        let index = u32::from_le_bytes(self.input.array()?) as usize;
        let at = match self.targets.get(index) {
            None => Err("a reference to a value that is not there"),
            Some(target) if !target.complete => Err("a value that contains itself"),
            Some(target) => Ok(target.at),
        };
        let at =
            at.map_err(|reason| self.input.error(start, DecodeErrorKind::Reference(reason)))?;
        let here = self.input.jump(at);
        let replaying = std::mem::replace(&mut self.replaying, true);
        self.charge_values(1)?;
        let value = self.value(hashable)?;
        self.replaying = replaying;
        self.input.resume(here);
        Ok(value)
    }

    fn announce(&mut self, items: usize) -> Result<(), DecodeError> {
        self.charge_values(items)?;
        self.input.announce(items)
    }

    fn charge_values(&mut self, values: usize) -> Result<(), DecodeError> {
        self.charge(values.saturating_mul(COST_OF_VALUE))
    }

    /// Pays for so many bytes, about to be allocated, where it is through a reference.
    fn charge(&mut self, bytes: usize) -> Result<(), DecodeError> {
        match self.budget.checked_sub(bytes) {
            _ if !self.replaying => Ok(()),
            Some(left) => {
                self.budget = left;
                Ok(())
            }
            None => Err(self.input.error(self.input.at(), DecodeErrorKind::Expansion)),
        }
    }

    fn len8(&mut self) -> Result<usize, DecodeError> {
        Ok(self.input.byte()?.into())
    }

    fn len32(&mut self) -> Result<usize, DecodeError> {
        let start = self.input.at();
        usize::try_from(i32::from_le_bytes(self.input.array()?))
            .map_err(|_| self.input.error(start, DecodeErrorKind::Syntax("a negative length")))
    }

    /// Text that Python promises to be ASCII, and reads as Latin-1 if it is not.
    fn latin1(&mut self, len: usize) -> Result<Value, DecodeError> {
        self.charge(len)?;
        let bytes = self.input.bytes(len)?;
        let text = match std::str::from_utf8(bytes) {
            Ok(text) if text.is_ascii() => text.to_owned(),
            _ => bytes.iter().copied().map(char::from).collect(),
        };
        Ok(Value::Str(text))
    }

    fn float_text(&mut self) -> Result<f64, DecodeError> {
        let start = self.input.at();
        let len = self.len8()?;
        let text = std::str::from_utf8(self.input.bytes(len)?).ok();
        text.and_then(|text| text.parse().ok())
            .ok_or_else(|| self.input.error(start, DecodeErrorKind::Syntax("not a float's text")))
    }

    fn long(&mut self) -> Result<Value, DecodeError> {
        let start = self.input.at();
        let count = i32::from_le_bytes(self.input.array()?);
        let len = (count.unsigned_abs() as usize).saturating_mul(2);
        self.charge(len)?;
        let digits = self.input.bytes(len)?.as_chunks::<2>().0;
        let digits = digits.iter().map(|digit| u16::from_le_bytes(*digit));
        if digits.clone().any(|digit| digit > 0x7fff) {
            let kind = DecodeErrorKind::Syntax("a digit of an int is out of range");
            return Err(self.input.error(start, kind));
        }
        if digits.clone().next_back() == Some(0) {
            let kind = DecodeErrorKind::Syntax("an int begins with a zero digit");
            return Err(self.input.error(start, kind));
        }
        // From 15-bit digits to 32-bit ones.
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

fn refusal(code: u8) -> DecodeErrorKind {
    match code {
        b'c' => DecodeErrorKind::NotData("a code object"),
        b'S' => DecodeErrorKind::NotData("StopIteration"),
        b'.' => DecodeErrorKind::NotData("Ellipsis"),
        b'0' => DecodeErrorKind::Syntax("the end of a dict stands outside of one"),
        code => DecodeErrorKind::Code(code),
    }
}
