//! Scalars of numpy, as their `repr` writes them: `np.float64(1.5)` where Python has `1.5`.
//!
//! serpent writes the `repr` of a float of any class, which numpy 2 has changed. Python refuses to
//! read that; here it is the number.

use super::decode::{Expect, ExpressionForm, Parser};
use crate::error::{DecodeErrorKind, Result};
use crate::value::Value;

/// The name of a scalar's class is not read as plain data.
const OTHER_NAME: DecodeErrorKind = DecodeErrorKind::NotData("a name");

impl<'a> Parser<'a> {
    /// Reads a scalar after the module's name, which begins at `start`.
    pub(super) fn read_numpy(&mut self, start: usize) -> Result<(Value, ExpressionForm)> {
        self.cursor.eat(b'.');
        let class = self.read_name();
        if let "True_" | "False_" = class {
            return Ok((Value::Bool(class == "True_"), ExpressionForm::Other));
        }
        if !is_scalar(class) || self.cursor.peek() != Some(b'(') {
            return Err(self.cursor.fail_at(start, OTHER_NAME));
        }
        self.open_bracket()?;
        let value = match self.read_special() {
            Some(special) => Value::Float(special),
            None => self.read_expression(Expect::AnyValue)?.0,
        };
        if self.cursor.peek() != Some(b')') {
            return Err(self.cursor.fail_at(start, OTHER_NAME));
        }
        self.close_bracket();
        let value = as_scalar(class, value);
        let value = value.ok_or_else(|| self.cursor.fail_at(start, OTHER_NAME))?;
        match value {
            // The imaginary part of a complex, whose parts are floats of numpy's.
            Value::Float(im) if self.cursor.eat(b'j') => {
                Ok((Value::Complex { re: 0.0, im }, ExpressionForm::Number))
            }
            value @ (Value::Float(_) | Value::Int(_) | Value::BigInt(_)) => {
                Ok((value, ExpressionForm::Number))
            }
            value => Ok((value, ExpressionForm::Other)),
        }
    }

    /// Whether the imaginary part of a complex follows without a sign, as numpy's negative ones do.
    pub(super) fn is_before_numpy(&self) -> bool {
        self.cursor.remaining().starts_with(b"np.")
    }

    fn read_name(&mut self) -> &'a str {
        let start = self.cursor.at;
        while let Some(b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_') = self.cursor.peek() {
            self.cursor.at += 1;
        }
        self.cursor.since(start)
    }

    /// Reads the `repr` of a float that is no literal.
    fn read_special(&mut self) -> Option<f64> {
        let special = [("nan", f64::NAN), ("inf", f64::INFINITY), ("-inf", f64::NEG_INFINITY)];
        let found = special.into_iter().find(|(word, _)| self.cursor.eat_word(word));
        self.skip_space();
        found.map(|(_, value)| value)
    }
}

fn is_scalar(class: &str) -> bool {
    let letters = class.trim_end_matches(|c: char| c.is_ascii_digit());
    matches!(
        letters,
        "float" | "int" | "uint" | "complex" | "longdouble" | "clongdouble" | "str_" | "bytes_"
    )
}

/// The value as the class has it; `None` where it has another kind of value.
fn as_scalar(class: &str, value: Value) -> Option<Value> {
    match (class, value) {
        (_, Value::Complex { re, im }) if class.starts_with('c') => Some(Value::Complex { re, im }),
        (_, value @ (Value::Int(_) | Value::BigInt(_))) if class.contains("int") => Some(value),
        (_, value) if class.starts_with("float") || class == "longdouble" => {
            value.as_f64().map(Value::Float)
        }
        ("str_", value @ Value::Str(_)) | ("bytes_", value @ Value::Bytes(_)) => Some(value),
        _ => None,
    }
}
