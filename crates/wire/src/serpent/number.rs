//! Number literals of serpent in Python's full grammar. Those in the usual form never get here:
//! `number::parse_plain_number` reads them.

use num_bigint::{BigInt, Sign};

use super::decode::Parser;
use crate::error::{DecodeErrorKind, Result};
use crate::number::{MALFORMED_NUMBER, parse_decimal};
use crate::value::Value;

impl Parser<'_> {
    /// Reads a number without a sign.
    pub(super) fn read_number(&mut self) -> Result<Value> {
        let start = self.cursor.at;
        let value = match self.cursor.remaining() {
            [b'0', b'x' | b'X', ..] => self.read_radix_int(16)?,
            [b'0', b'o' | b'O', ..] => self.read_radix_int(8)?,
            [b'0', b'b' | b'B', ..] => self.read_radix_int(2)?,
            _ => self.read_decimal_number(start)?,
        };
        // `1x` is one malformed token, not a number followed by a name.
        match self.cursor.peek() {
            Some(b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80..) => {
                Err(self.cursor.syntax_error(MALFORMED_NUMBER))
            }
            _ => Ok(value),
        }
    }

    fn read_radix_int(&mut self, radix: u32) -> Result<Value> {
        self.cursor.at += 2;
        let start = self.cursor.at;
        let _before_the_first_digit = self.cursor.eat(b'_');
        if !self.skip_digits(radix) {
            return Err(self.cursor.syntax_error(MALFORMED_NUMBER));
        }
        let digits: Vec<u8> = self.cursor.since(start).bytes().filter(|&b| b != b'_').collect();
        match BigInt::parse_bytes(&digits, radix) {
            Some(int) => Ok(Value::int(int)),
            None => Err(self.cursor.syntax_error(MALFORMED_NUMBER)),
        }
    }

    fn read_decimal_number(&mut self, start: usize) -> Result<Value> {
        let whole = self.skip_digits(10);
        let mut is_float = false;
        if self.cursor.eat(b'.') {
            is_float = true;
            if !self.skip_digits(10) && !whole {
                self.cursor.at = start;
                return Err(self.cursor.syntax_error("a value is expected"));
            }
        }
        if let Some(b'e' | b'E') = self.cursor.peek() {
            is_float = true;
            self.cursor.at += 1;
            let _sign = self.cursor.eat(b'-') || self.cursor.eat(b'+');
            if !self.skip_digits(10) {
                return Err(self.cursor.syntax_error(MALFORMED_NUMBER));
            }
        }
        let text = self.cursor.since(start);
        if self.cursor.eat(b'j') || self.cursor.eat(b'J') {
            return Ok(Value::Complex { re: 0.0, im: self.parse_float(text)? });
        }
        if is_float {
            Ok(Value::Float(self.parse_float(text)?))
        } else {
            self.parse_decimal_int(start, text)
        }
    }

    fn parse_decimal_int(&mut self, start: usize, text: &str) -> Result<Value> {
        const ZEROS: &str = "leading zeros in decimal integer literals are not permitted";
        let int = match text.trim_start_matches(['0', '_']) {
            "" => Ok(Value::Int(0)),
            _ if text.starts_with('0') => Err(DecodeErrorKind::Syntax(ZEROS)),
            _ => parse_decimal(Sign::Plus, text.as_bytes(), self.digits),
        };
        int.map_err(|kind| self.cursor.fail_at(start, kind))
    }

    fn parse_float(&self, text: &str) -> Result<f64> {
        let parsed = if text.contains('_') { text.replace('_', "").parse() } else { text.parse() };
        parsed.map_err(|_| self.cursor.syntax_error(MALFORMED_NUMBER))
    }

    /// Skips digits with single underscores between them. False if there is no digit.
    fn skip_digits(&mut self, radix: u32) -> bool {
        let mut any = false;
        loop {
            let rest = self.cursor.remaining();
            let is_digit = |byte: &u8| char::from(*byte).is_digit(radix);
            let run = rest.iter().position(|byte| !is_digit(byte)).unwrap_or(rest.len());
            self.cursor.at += run;
            any |= run > 0;
            match rest.get(run..) {
                Some([b'_', next, ..]) if run > 0 && is_digit(next) => self.cursor.at += 1,
                _ => return any,
            }
        }
    }
}
