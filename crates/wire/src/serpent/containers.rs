//! Container literals of serpent: lists, tuples, dicts and sets, and the class dict of a nan.

use super::decode::{Expect, ExpressionForm, Parser};
use crate::error::{DecodeErrorKind, Result};
use crate::value::{Dict, Set, Value};

impl Parser<'_> {
    pub(super) fn read_list(&mut self) -> Result<Value> {
        self.open_bracket()?;
        let items = self.read_items(b']', Vec::new(), Expect::AnyValue)?;
        Ok(Value::List(items))
    }

    /// Reads items separated by commas, up to and with the closing bracket.
    fn read_items(&mut self, end: u8, mut items: Vec<Value>, expect: Expect) -> Result<Vec<Value>> {
        loop {
            self.skip_space();
            if self.cursor.peek() == Some(end) {
                self.close_bracket();
                return Ok(items);
            }
            let item = self.read_value(expect)?;
            self.budget.push_item(&mut items, item)?;
            if !self.cursor.eat(b',') && self.cursor.peek() != Some(end) {
                return Err(self.cursor.syntax_error("a comma or a closing bracket is expected"));
            }
        }
    }

    /// Reads a tuple, or an expression in parentheses.
    pub(super) fn read_parentheses(&mut self, expect: Expect) -> Result<(Value, ExpressionForm)> {
        self.open_bracket()?;
        if self.cursor.peek() == Some(b')') {
            self.close_bracket();
            return Ok((Value::Tuple(Vec::new()), ExpressionForm::Other));
        }
        let start = self.cursor.at;
        let (first, form) = self.read_expression(expect)?;
        if self.cursor.peek() == Some(b')') {
            self.close_bracket();
            return Ok((first, form));
        }
        if form == ExpressionForm::SetName {
            return Err(self.cursor.fail_at(start, DecodeErrorKind::NotData("a name")));
        }
        if !self.cursor.eat(b',') {
            return Err(self.cursor.syntax_error("a comma or a closing bracket is expected"));
        }
        let items = self.start_tuple(first)?;
        let items = self.read_items(b')', items, expect)?;
        Ok((Value::Tuple(items), ExpressionForm::Other))
    }

    /// Reads a dict or a set.
    pub(super) fn read_braces(&mut self, expect: Expect) -> Result<Value> {
        let start = self.cursor.at;
        self.open_bracket()?;
        let first = match self.cursor.peek() {
            Some(b'}') => None,
            _ => Some(self.read_value(Expect::Hashable)?),
        };
        let is_dict = first.is_none() || self.cursor.peek() == Some(b':');
        if expect == Expect::Hashable {
            self.cursor.at = start;
            return Err(DecodeErrorKind::Unhashable(if is_dict { "dict" } else { "set" }));
        }
        match first {
            Some(key) if is_dict => self.read_dict(start, key),
            Some(member) => self.read_set(member),
            None => {
                self.close_bracket();
                Ok(Value::Dict(Dict::new()))
            }
        }
    }

    fn read_dict(&mut self, start: usize, mut key: Value) -> Result<Value> {
        let spent = self.budget.spent();
        let mut dict = self.budget.new_dict_of_unknown_len()?;
        let mut is_class = false;
        loop {
            if !self.cursor.eat(b':') {
                return Err(self.cursor.syntax_error("a colon is expected"));
            }
            self.skip_space();
            let value = self.read_value(Expect::AnyValue)?;
            is_class |= key.as_str() == Some("__class__");
            self.budget.insert_entry(&mut dict, key, value)?;
            if !self.skip_to_next_entry()? {
                break;
            }
            key = self.read_value(Expect::Hashable)?;
        }
        self.budget.note_dict_len(&dict);
        if !is_class {
            return Ok(Value::Dict(dict));
        }
        let value = resolve_float_dict(dict).ok_or_else(|| {
            let kind = DecodeErrorKind::Syntax("the class dict of a float has no number in it");
            self.cursor.fail_at(start, kind)
        })?;
        if let Value::Float(_) = value {
            self.budget.refund_to(spent);
        }
        Ok(value)
    }

    fn read_set(&mut self, first: Value) -> Result<Value> {
        let mut set = Set::new();
        self.budget.insert_member(&mut set, first)?;
        while self.skip_to_next_entry()? {
            let member = self.read_value(Expect::Hashable)?;
            self.budget.insert_member(&mut set, member)?;
        }
        Ok(Value::Set(set))
    }

    pub(super) fn start_tuple(&mut self, first: Value) -> Result<Vec<Value>> {
        let mut items = self.budget.new_list(1)?;
        self.budget.push_item(&mut items, first)?;
        Ok(items)
    }

    /// Skips the comma between two entries. False, and the bracket skipped, after the last entry.
    fn skip_to_next_entry(&mut self) -> Result<bool> {
        let comma = self.cursor.eat(b',');
        self.skip_space();
        if self.cursor.peek() == Some(b'}') {
            self.close_bracket();
            return Ok(false);
        }
        if comma { Ok(true) } else { Err(self.cursor.syntax_error("a comma or } is expected")) }
    }

    /// Skips an opening bracket and the white space after it.
    pub(super) fn open_bracket(&mut self) -> Result<()> {
        self.budget.enter_container()?;
        self.cursor.at += 1;
        self.brackets += 1;
        self.skip_space();
        Ok(())
    }

    /// Skips a closing bracket and the white space after it.
    pub(super) fn close_bracket(&mut self) {
        self.budget.leave_container();
        self.cursor.at += 1;
        self.brackets -= 1;
        self.skip_space();
    }
}

/// The float that a class dict of class "float" stands for; any other class dict unchanged. `None`
/// for one of class "float" without a number.
fn resolve_float_dict(dict: Dict) -> Option<Value> {
    match dict.class() {
        Some("float") => {
            let value = dict.get("value")?;
            let float = value.as_str().map_or_else(|| value.as_f64(), |s| s.trim().parse().ok())?;
            Some(Value::Float(float))
        }
        _ => Some(Value::Dict(dict)),
    }
}
