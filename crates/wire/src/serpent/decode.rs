//! Decoder of serpent: a recursive descent over Python's expressions, as far as they are plain
//! data.
//!
//! This file has the expressions and the white space between them; `containers`, `number` and
//! `string` have the literals.

use memchr::{memchr, memchr2};

use crate::budget::{DecodeBudget, ValueMemory};
use crate::error::{DecodeErrorKind, Decoded, Result};
use crate::limits::Limits;
use crate::number::parse_plain_number;
use crate::text_cursor::Cursor;
use crate::value::{Set, Value};

/// Decodes `data` as one value; also returns the bytes of memory that the budget counted for it.
///
/// # Errors
/// Text that Python's `ast.literal_eval` refuses, named characters (`\N{...}`), escapes that make a
/// lone surrogate, and anything beyond the limits.
pub(crate) fn decode(data: &[u8], limits: &Limits) -> Decoded<(Value, ValueMemory)> {
    let cursor = Cursor::new(data)?;
    if let Some(at) = memchr(0, data) {
        return Err((at, DecodeErrorKind::Syntax("a zero byte in the text")));
    }
    let budget = DecodeBudget::new(limits);
    let mut parser = Parser { cursor, brackets: 0, digits: limits.digits, budget };
    let value = parser.read_document().map_err(|kind| (parser.cursor.at, kind))?;
    Ok((value, parser.budget.memory()))
}

pub(super) struct Parser<'a> {
    pub(super) cursor: Cursor<'a>,
    /// Open brackets. Inside brackets, line breaks are white space.
    pub(super) brackets: usize,
    /// Limit on the decimal digits of an int.
    pub(super) digits: usize,
    pub(super) budget: DecodeBudget,
}

/// The syntax of an expression, where Python's rules depend on it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ExpressionForm {
    /// A number without a sign.
    Number,
    /// A number with a sign.
    Signed,
    /// The name `set`, which `()` must follow.
    SetName,
    /// Anything else.
    Other,
}

/// The values that are allowed where one is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    /// Any value.
    AnyValue,
    /// A dict key or a set member, or an item in one.
    Hashable,
}

impl Parser<'_> {
    fn read_document(&mut self) -> Result<Value> {
        self.skip_blank_lines();
        let value = self.read_expressions()?;
        self.skip_blank_lines();
        if self.cursor.peek().is_some() { Err(DecodeErrorKind::Trailing) } else { Ok(value) }
    }

    /// Reads one value, or several separated by commas, which make a tuple.
    fn read_expressions(&mut self) -> Result<Value> {
        let first = self.read_value(Expect::AnyValue)?;
        if self.cursor.peek() != Some(b',') {
            return Ok(first);
        }
        let mut items = self.start_tuple(first)?;
        while self.cursor.eat(b',') {
            self.skip_space();
            if let None | Some(b'\n' | b'\r') = self.cursor.peek() {
                break;
            }
            let item = self.read_value(Expect::AnyValue)?;
            self.budget.push_item(&mut items, item)?;
        }
        Ok(Value::Tuple(items))
    }

    /// Skips line breaks, white space and comments before or after the value. Python refuses an
    /// indent there; this decoder accepts it.
    fn skip_blank_lines(&mut self) {
        self.brackets += 1;
        self.skip_space();
        self.brackets -= 1;
    }

    /// Reads a value and the white space after it.
    pub(super) fn read_value(&mut self, expect: Expect) -> Result<Value> {
        let quick = match self.cursor.peek() {
            Some(b'0'..=b'9' | b'-') => self.read_number_fast(),
            Some(b'\'' | b'"') => self.read_string_fast(),
            _ => None,
        };
        if let Some(value) = quick {
            return Ok(value);
        }
        let start = self.cursor.at;
        match self.read_expression(expect)? {
            (_, ExpressionForm::SetName) => {
                Err(self.cursor.fail_at(start, DecodeErrorKind::NotData("a name")))
            }
            (value, _) => Ok(value),
        }
    }

    /// The fast path for a number in its usual form, with a delimiter right after it.
    #[inline]
    fn read_number_fast(&mut self) -> Option<Value> {
        let (number, len) = parse_plain_number(self.cursor.text(), self.cursor.at)?;
        self.skip_if_delimited(len).then_some(number)
    }

    /// The fast path for a string without escapes, with a delimiter right after it.
    #[inline]
    fn read_string_fast(&mut self) -> Option<Value> {
        let (&quote, rest) = self.cursor.remaining().split_first()?;
        let len = memchr2(quote, b'\\', rest)?;
        let plain =
            rest.get(len) == Some(&quote) && memchr2(b'\n', b'\r', rest.get(..len)?).is_none();
        let start = self.cursor.at + 1;
        // The first two of three quotes look like an empty string, but no delimiter follows them.
        if plain && self.skip_if_delimited(len + 2) {
            return Some(Value::Str(self.cursor.text().get(start..start + len)?.to_owned()));
        }
        None
    }

    #[inline]
    fn skip_if_delimited(&mut self, len: usize) -> bool {
        let end = self.cursor.at + len;
        let delimited = matches!(
            self.cursor.text().as_bytes().get(end),
            None | Some(b',' | b':' | b']' | b')' | b'}')
        );
        if delimited {
            self.cursor.at = end;
        }
        delimited
    }

    /// Reads an expression and the white space after it: a term, or a sum that makes a complex.
    pub(super) fn read_expression(&mut self, expect: Expect) -> Result<(Value, ExpressionForm)> {
        let start = self.cursor.at;
        let (left, form) = self.read_term(expect)?;
        let minus = match self.cursor.peek() {
            Some(b'+') => false,
            Some(b'-') => true,
            _ if form == ExpressionForm::Number && self.is_before_numpy() => false,
            _ => return Ok((left, form)),
        };
        let real = match (form, &left) {
            (ExpressionForm::Number | ExpressionForm::Signed, Value::Int(_) | Value::BigInt(_)) => {
                left.as_f64()
            }
            (ExpressionForm::Number | ExpressionForm::Signed, Value::Float(float)) => Some(*float),
            _ => None,
        };
        let real = real.ok_or(DecodeErrorKind::NotData("a sum"))?;
        if real.is_infinite() && !matches!(left, Value::Float(_)) {
            let kind = DecodeErrorKind::Syntax("int too large to convert to float");
            return Err(self.cursor.fail_at(start, kind));
        }
        if let Some(b'+' | b'-') = self.cursor.peek() {
            self.cursor.at += 1;
        }
        self.skip_space();
        let at = self.cursor.at;
        let (Value::Complex { im, .. }, ExpressionForm::Number) = self.read_atom(expect)? else {
            return Err(self.cursor.fail_at(at, DecodeErrorKind::NotData("a sum")));
        };
        // Python computes the real number plus or minus (0 + im j), which loses some signs of
        // zeros.
        let value = if minus {
            Value::Complex { re: real - 0.0, im: 0.0 - im }
        } else {
            Value::Complex { re: real + 0.0, im: 0.0 + im }
        };
        Ok((value, ExpressionForm::Other))
    }

    /// Reads an atom with at most one sign before it.
    fn read_term(&mut self, expect: Expect) -> Result<(Value, ExpressionForm)> {
        let minus = match self.cursor.peek() {
            Some(b'-') => true,
            Some(b'+') => false,
            _ => return self.read_atom(expect),
        };
        self.cursor.at += 1;
        self.skip_space();
        let start = self.cursor.at;
        let (value, ExpressionForm::Number) = self.read_atom(expect)? else {
            return Err(self.cursor.fail_at(start, DecodeErrorKind::NotData("an operation")));
        };
        let value = match value {
            value if !minus => value,
            Value::Int(int) => match int.checked_neg() {
                Some(negative) => Value::Int(negative),
                None => Value::int(-num_bigint::BigInt::from(int)),
            },
            Value::BigInt(int) => Value::int(-*int),
            Value::Float(float) => Value::Float(-float),
            Value::Complex { re, im } => Value::Complex { re: -re, im: -im },
            other => other,
        };
        Ok((value, ExpressionForm::Signed))
    }

    /// Reads an atom and the white space after it.
    fn read_atom(&mut self, expect: Expect) -> Result<(Value, ExpressionForm)> {
        let start = self.cursor.at;
        let atom = match self.cursor.peek() {
            Some(b'\'' | b'"') => (self.read_strings()?, ExpressionForm::Other),
            Some(b'0'..=b'9' | b'.') => (self.read_number()?, ExpressionForm::Number),
            Some(b'[') if expect == Expect::Hashable => {
                return Err(DecodeErrorKind::Unhashable("list"));
            }
            Some(b'[') => (self.read_list()?, ExpressionForm::Other),
            Some(b'(') => self.read_parentheses(expect)?,
            Some(b'{') => (self.read_braces(expect)?, ExpressionForm::Other),
            Some(b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80..) => self.read_word()?,
            _ => return Err(self.cursor.syntax_error("a value is expected")),
        };
        self.skip_space();
        if atom.1 == ExpressionForm::SetName && self.cursor.peek() == Some(b'(') {
            if expect == Expect::Hashable {
                return Err(DecodeErrorKind::Unhashable("set"));
            }
            self.open_bracket()?;
            if self.cursor.peek() != Some(b')') {
                return Err(self.cursor.fail_at(start, DecodeErrorKind::NotData("a call")));
            }
            self.close_bracket();
            return Ok((Value::Set(Set::new()), ExpressionForm::Other));
        }
        Ok(atom)
    }

    /// Reads a constant, `set`, or a string with a prefix. Other names are refused.
    fn read_word(&mut self) -> Result<(Value, ExpressionForm)> {
        let start = self.cursor.at;
        let rest = self.cursor.remaining();
        let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80;
        let len = rest.iter().position(|byte| !is_letter(byte)).unwrap_or(rest.len());
        if len <= 2 && matches!(rest.get(len), Some(b'\'' | b'"')) {
            return Ok((self.read_strings()?, ExpressionForm::Other));
        }
        self.cursor.at += len;
        match self.cursor.since(start) {
            "None" => Ok((Value::None, ExpressionForm::Other)),
            "True" => Ok((Value::Bool(true), ExpressionForm::Other)),
            "False" => Ok((Value::Bool(false), ExpressionForm::Other)),
            "set" => Ok((Value::None, ExpressionForm::SetName)),
            "np" | "numpy" if self.cursor.peek() == Some(b'.') => self.read_numpy(start),
            _ => Err(self.cursor.fail_at(start, DecodeErrorKind::NotData("a name"))),
        }
    }

    /// Skips white space and comments, and line breaks inside brackets.
    #[inline]
    pub(super) fn skip_space(&mut self) {
        loop {
            match self.cursor.peek() {
                Some(b' ' | b'\t' | b'\x0c') => self.cursor.at += 1,
                Some(b'\n' | b'\r') if self.brackets > 0 => self.cursor.at += 1,
                Some(b'#') => self.skip_comment(),
                Some(b'\\') => {
                    if !(self.cursor.eat_word("\\\r\n")
                        || self.cursor.eat_word("\\\n")
                        || self.cursor.eat_word("\\\r"))
                    {
                        return;
                    }
                }
                _ => return,
            }
        }
    }

    /// Skips a comment up to the line break.
    fn skip_comment(&mut self) {
        let rest = self.cursor.remaining();
        self.cursor.at += memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
    }
}
