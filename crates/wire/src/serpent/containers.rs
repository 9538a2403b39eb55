//! Containers: lists, tuples, dicts and sets, and the class dicts that stand for a nan.

use super::decode::{Form, Parser, Place};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::value::{Dict, Set, Value};

impl Parser<'_> {
    pub(super) fn list(&mut self) -> Result<Value, DecodeError> {
        self.open()?;
        let items = self.items(b']', Vec::new(), Place::Any)?;
        Ok(Value::List(items))
    }

    /// Reads items, each but the first behind a comma, up to the closing bracket.
    fn items(
        &mut self,
        end: u8,
        mut items: Vec<Value>,
        place: Place,
    ) -> Result<Vec<Value>, DecodeError> {
        loop {
            self.space();
            if self.cursor.peek() == Some(end) {
                self.close();
                return Ok(items);
            }
            let item = self.value(place)?;
            self.push(&mut items, item)?;
            if !self.cursor.eat(b',') && self.cursor.peek() != Some(end) {
                return Err(self.cursor.syntax("a comma or a closing bracket is expected"));
            }
        }
    }

    /// Reads a tuple, or an expression in parentheses.
    pub(super) fn parentheses(&mut self, place: Place) -> Result<(Value, Form), DecodeError> {
        self.open()?;
        if self.cursor.peek() == Some(b')') {
            self.close();
            return Ok((Value::Tuple(Vec::new()), Form::Other));
        }
        let start = self.cursor.at;
        let (first, form) = self.expression(place)?;
        if self.cursor.peek() == Some(b')') {
            self.close();
            return Ok((first, form));
        }
        if form == Form::SetName {
            return Err(self.cursor.error_at(start, DecodeErrorKind::NotData("a name")));
        }
        if !self.cursor.eat(b',') {
            return Err(self.cursor.syntax("a comma or a closing bracket is expected"));
        }
        let items = self.tuple_of(first)?;
        let items = self.items(b')', items, place)?;
        Ok((Value::Tuple(items), Form::Other))
    }

    /// Reads a dict or a set.
    pub(super) fn braces(&mut self, place: Place) -> Result<Value, DecodeError> {
        let start = self.cursor.at;
        self.open()?;
        let first = match self.cursor.peek() {
            Some(b'}') => None,
            _ => Some(self.value(Place::Key)?),
        };
        let is_dict = first.is_none() || self.cursor.peek() == Some(b':');
        if place == Place::Key {
            self.cursor.at = start;
            return Err(self.unhashable(if is_dict { "dict" } else { "set" }));
        }
        match first {
            Some(key) if is_dict => self.dict(start, key),
            Some(member) => self.set(member),
            None => {
                self.close();
                Ok(Value::Dict(Dict::new()))
            }
        }
    }

    fn dict(&mut self, start: usize, mut key: Value) -> Result<Value, DecodeError> {
        let spent = self.budget.spent();
        let mut dict = self.budget.dict_of_some().map_err(|kind| self.cursor.error(kind))?;
        let mut is_class = false;
        loop {
            if !self.cursor.eat(b':') {
                return Err(self.cursor.syntax("a colon is expected"));
            }
            self.space();
            let value = self.value(Place::Any)?;
            is_class |= key.as_str() == Some("__class__");
            let paid = self.budget.insert(&mut dict, key, value);
            paid.map_err(|kind| self.cursor.error(kind))?;
            if !self.next_in_braces()? {
                break;
            }
            key = self.value(Place::Key)?;
        }
        self.budget.end_dict(&dict);
        if !is_class {
            return Ok(Value::Dict(dict));
        }
        let value = special_float(dict).ok_or_else(|| {
            let kind = DecodeErrorKind::Syntax("the class dict of a float has no number in it");
            self.cursor.error_at(start, kind)
        })?;
        if let Value::Float(_) = value {
            self.budget.refund_to(spent);
        }
        Ok(value)
    }

    fn set(&mut self, first: Value) -> Result<Value, DecodeError> {
        let mut set = Set::new();
        self.add(&mut set, first)?;
        while self.next_in_braces()? {
            let member = self.value(Place::Key)?;
            self.add(&mut set, member)?;
        }
        Ok(Value::Set(set))
    }

    fn add(&mut self, set: &mut Set, member: Value) -> Result<(), DecodeError> {
        self.budget.add(set, member).map_err(|kind| self.cursor.error(kind))
    }

    pub(super) fn tuple_of(&mut self, first: Value) -> Result<Vec<Value>, DecodeError> {
        let mut items = self.budget.list(1).map_err(|kind| self.cursor.error(kind))?;
        self.push(&mut items, first)?;
        Ok(items)
    }

    #[inline]
    pub(super) fn push(&mut self, items: &mut Vec<Value>, item: Value) -> Result<(), DecodeError> {
        self.budget.push(items, item).map_err(|kind| self.cursor.error(kind))
    }

    /// Passes what is between two entries; false, and the bracket closed, behind the last.
    fn next_in_braces(&mut self) -> Result<bool, DecodeError> {
        let comma = self.cursor.eat(b',');
        self.space();
        if self.cursor.peek() == Some(b'}') {
            self.close();
            return Ok(false);
        }
        if comma { Ok(true) } else { Err(self.cursor.syntax("a comma or } is expected")) }
    }

    pub(super) fn unhashable(&self, name: &'static str) -> DecodeError {
        self.cursor.error(DecodeErrorKind::Unhashable(name))
    }

    /// Passes an opening bracket and the white space behind it.
    pub(super) fn open(&mut self) -> Result<(), DecodeError> {
        self.cursor.enter()?;
        self.cursor.at += 1;
        self.brackets += 1;
        self.space();
        Ok(())
    }

    /// Passes a closing bracket and the white space behind it.
    pub(super) fn close(&mut self) {
        self.cursor.leave();
        self.cursor.at += 1;
        self.brackets -= 1;
        self.space();
    }
}

/// What a class dict stands for: a nan, or itself. `None` if it claims to be a float and has no
/// number.
fn special_float(dict: Dict) -> Option<Value> {
    match dict.class() {
        Some("float") => {
            let value = dict.get("value")?;
            let float = value.as_str().map_or_else(|| value.as_f64(), |s| s.trim().parse().ok())?;
            Some(Value::Float(float))
        }
        _ => Some(Value::Dict(dict)),
    }
}
