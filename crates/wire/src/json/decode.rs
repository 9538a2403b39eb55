//! Decoder of json: a recursive descent over the text.

use memchr::memchr2;
use num_bigint::Sign;

use crate::budget::{DecodeBudget, ValueMemory};
use crate::error::{DecodeErrorKind, Decoded, Result};
use crate::limits::Limits;
use crate::number::{parse_decimal, parse_plain_number};
use crate::text_cursor::Cursor;
use crate::value::{Dict, Value};

const EXPECTED_VALUE: &str = "a value is expected";

/// Decodes `data` as one value; also returns the bytes of memory that the budget counted for it.
///
/// # Errors
/// Text that Python's `json.loads` refuses, escapes that make a lone surrogate, and anything beyond
/// the limits.
pub(crate) fn decode(data: &[u8], limits: &Limits) -> Decoded<(Value, ValueMemory)> {
    let cursor = Cursor::new(data)?;
    let mut decoder = Decoder { cursor, digits: limits.digits, budget: DecodeBudget::new(limits) };
    let value = decoder.read_document().map_err(|kind| (decoder.cursor.at, kind))?;
    Ok((value, decoder.budget.memory()))
}

struct Decoder<'a> {
    cursor: Cursor<'a>,
    /// Limit on the decimal digits of an int.
    digits: usize,
    budget: DecodeBudget,
}

impl Decoder<'_> {
    fn read_document(&mut self) -> Result<Value> {
        self.skip_space();
        let value = self.read_value()?;
        self.skip_space();
        if self.cursor.peek().is_some() { Err(DecodeErrorKind::Trailing) } else { Ok(value) }
    }

    fn read_value(&mut self) -> Result<Value> {
        match self.cursor.peek() {
            Some(b'"') => Ok(Value::Str(self.read_string()?)),
            Some(b'[') => self.read_list(),
            Some(b'{') => self.read_dict(),
            Some(b'0'..=b'9' | b'-') => self.read_number(),
            Some(b'n') => self.read_word("null", Value::None),
            Some(b't') => self.read_word("true", Value::Bool(true)),
            Some(b'f') => self.read_word("false", Value::Bool(false)),
            Some(b'N') => self.read_word("NaN", Value::Float(f64::NAN)),
            Some(b'I') => self.read_word("Infinity", Value::Float(f64::INFINITY)),
            _ => Err(self.cursor.syntax_error(EXPECTED_VALUE)),
        }
    }

    fn read_word(&mut self, word: &str, value: Value) -> Result<Value> {
        if self.cursor.eat_word(word) {
            Ok(value)
        } else {
            Err(self.cursor.syntax_error(EXPECTED_VALUE))
        }
    }

    fn read_list(&mut self) -> Result<Value> {
        self.budget.enter_container()?;
        self.cursor.at += 1;
        self.skip_space();
        let mut items = Vec::new();
        if !self.cursor.eat(b']') {
            loop {
                let item = self.read_value()?;
                self.budget.push_item(&mut items, item)?;
                self.skip_space();
                if self.cursor.eat(b']') {
                    break;
                }
                self.expect(b',', "a comma or ] is expected")?;
                self.skip_space();
            }
        }
        self.budget.leave_container();
        Ok(Value::List(items))
    }

    fn read_dict(&mut self) -> Result<Value> {
        self.budget.enter_container()?;
        self.cursor.at += 1;
        self.skip_space();
        if self.cursor.eat(b'}') {
            self.budget.leave_container();
            return Ok(Value::Dict(Dict::new()));
        }
        let mut dict = self.budget.new_dict_of_unknown_len()?;
        loop {
            if self.cursor.peek() != Some(b'"') {
                return Err(self.cursor.syntax_error("a name in double quotes is expected"));
            }
            let key = self.read_string()?;
            self.skip_space();
            self.expect(b':', "a colon is expected")?;
            self.skip_space();
            let value = self.read_value()?;
            self.budget.insert_entry(&mut dict, Value::Str(key), value)?;
            self.skip_space();
            if self.cursor.eat(b'}') {
                break;
            }
            self.expect(b',', "a comma or } is expected")?;
            self.skip_space();
        }
        self.budget.note_dict_len(&dict);
        self.budget.leave_container();
        Ok(Value::Dict(dict))
    }

    fn read_number(&mut self) -> Result<Value> {
        if let Some((value, len)) = parse_plain_number(self.cursor.text(), self.cursor.at) {
            self.cursor.at += len;
            return Ok(value);
        }
        if self.cursor.eat_word("-Infinity") {
            return Ok(Value::Float(f64::NEG_INFINITY));
        }
        let start = self.cursor.at;
        let sign = if self.cursor.eat(b'-') { Sign::Minus } else { Sign::Plus };
        let digits = self.cursor.at;
        // After a leading zero the integer part ends: "01" is the number 0 and then trailing data.
        if !self.cursor.eat(b'0') && self.skip_digits() == 0 {
            return Err(self.cursor.syntax_error("a digit is expected"));
        }
        let digits = self.cursor.since(digits);
        if self.skip_fraction() | self.skip_exponent() {
            return match self.cursor.since(start).parse() {
                Ok(float) => Ok(Value::Float(float)),
                Err(_) => Err(self.cursor.syntax_error("a number is expected")),
            };
        }
        parse_decimal(sign, digits.as_bytes(), self.digits)
            .map_err(|kind| self.cursor.fail_at(start, kind))
    }

    fn skip_digits(&mut self) -> usize {
        let rest = self.cursor.remaining();
        let digits = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        self.cursor.at += digits;
        digits
    }

    fn skip_fraction(&mut self) -> bool {
        let start = self.cursor.at;
        let fraction = self.cursor.eat(b'.') && self.skip_digits() > 0;
        if !fraction {
            self.cursor.at = start;
        }
        fraction
    }

    fn skip_exponent(&mut self) -> bool {
        let start = self.cursor.at;
        let mut exponent = self.cursor.eat(b'e') || self.cursor.eat(b'E');
        if exponent {
            let _sign = self.cursor.eat(b'-') || self.cursor.eat(b'+');
            exponent = self.skip_digits() > 0;
        }
        if !exponent {
            self.cursor.at = start;
        }
        exponent
    }

    fn read_string(&mut self) -> Result<String> {
        self.cursor.at += 1;
        let mut string = String::new();
        loop {
            let rest = self.cursor.remaining();
            let run = memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
            let control = rest.get(..run).unwrap_or_default().iter().position(|&byte| byte < b' ');
            if let Some(control) = control {
                self.cursor.at += control;
                return Err(self.cursor.syntax_error("a control character must be escaped"));
            }
            let start = self.cursor.at;
            self.cursor.at += run;
            string.push_str(self.cursor.since(start));
            if self.cursor.eat(b'"') {
                return Ok(string);
            }
            let start = self.cursor.at;
            if !self.cursor.eat(b'\\') {
                return Err(DecodeErrorKind::Truncated);
            }
            string.push(self.read_escape(start)?);
        }
    }

    fn read_escape(&mut self, start: usize) -> Result<char> {
        let letter = self.cursor.peek();
        let c = match letter {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.cursor.at += 1;
                return self.read_unicode_escape(start);
            }
            _ => return Err(self.cursor.syntax_error("not an escape of json's")),
        };
        self.cursor.at += 1;
        Ok(c)
    }

    fn read_unicode_escape(&mut self, start: usize) -> Result<char> {
        const FOUR: &str = "four hexadecimal digits are expected";
        let mut code = self.cursor.read_hex(4).ok_or_else(|| self.cursor.syntax_error(FOUR))?;
        // A character beyond 16 bits is escaped as a pair of surrogates.
        if (0xd800..0xdc00).contains(&code) && self.cursor.eat_word("\\u") {
            let low = self.cursor.read_hex(4).ok_or_else(|| self.cursor.syntax_error(FOUR))?;
            if (0xdc00..0xe000).contains(&low) {
                code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
            }
        }
        char::from_u32(code)
            .ok_or_else(|| self.cursor.fail_at(start, DecodeErrorKind::LoneSurrogate))
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<()> {
        if self.cursor.eat(byte) { Ok(()) } else { Err(self.cursor.syntax_error(expected)) }
    }

    #[inline]
    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.cursor.peek() {
            self.cursor.at += 1;
        }
    }
}
