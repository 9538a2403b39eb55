//! The beginning of a value's text, as Python writes it: for logs and errors.
//!
//! A client may send a value of any size. No more of its text is made than is shown.

use wire::value::{SurrogateText, Value};

/// A text of limited length, to which values are added.
pub(crate) struct ValueText {
    text: String,
    /// Bytes of the text; a longer one ends in `…` instead.
    most: usize,
}

impl ValueText {
    pub(crate) fn new(most: usize) -> Self {
        ValueText { text: String::new(), most }
    }

    /// The beginning of one value's text, of at most so many bytes.
    pub(crate) fn of(value: &Value, most: usize) -> String {
        let mut text = ValueText::new(most);
        text.push_value(value);
        text.finish()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.text.len() > self.most
    }

    pub(crate) fn push(&mut self, text: &str) {
        if !self.is_full() {
            self.text.push_str(beginning(text, self.most + 1));
        }
    }

    pub(crate) fn push_value(&mut self, value: &Value) {
        match value {
            Value::List(items) => self.push_items(("[", "]"), items.iter()),
            Value::Tuple(items) if items.len() != 1 => self.push_items(("(", ")"), items.iter()),
            Value::Tuple(items) => self.push_items(("(", ",)"), items.iter()),
            Value::Set(set) if !set.is_empty() => self.push_items(("{", "}"), set.iter()),
            Value::FrozenSet(set) => self.push_items(("frozenset({", "})"), set.iter()),
            Value::Dict(dict) => {
                self.push("{");
                for (number, (key, value)) in dict.iter().enumerate() {
                    if self.is_full() {
                        return;
                    }
                    self.push(if number > 0 { ", " } else { "" });
                    self.push_value(key);
                    self.push(": ");
                    self.push_value(value);
                }
                self.push("}");
            }
            Value::Str(text) => {
                self.push(&Value::from(beginning(text, self.most + 1)).to_string());
            }
            Value::SurrogateStr(text) => {
                let shown = beginning_of_surrogates(text, self.most + 1);
                self.push(&shown.to_string());
            }
            Value::Bytes(bytes) => {
                let shown = bytes.iter().take(self.most + 1).copied().collect::<Vec<u8>>();
                self.push(&Value::bytes(shown).to_string());
            }
            Value::BigInt(int) if int.bits() > 8 * self.most as u64 => {
                self.push(&format!("<int of {} bits>", int.bits()));
            }
            other => self.push(&other.to_string()),
        }
    }

    fn push_items<'a>(
        &mut self,
        (open, close): (&str, &str),
        items: impl Iterator<Item = &'a Value>,
    ) {
        self.push(open);
        for (number, item) in items.enumerate() {
            if self.is_full() {
                return;
            }
            self.push(if number > 0 { ", " } else { "" });
            self.push_value(item);
        }
        self.push(close);
    }

    pub(crate) fn finish(self) -> String {
        if !self.is_full() {
            return self.text;
        }
        format!("{}…", beginning(&self.text, self.most))
    }
}

/// The beginning of a text, of at most so many bytes.
pub(crate) fn beginning(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

fn beginning_of_surrogates(text: &SurrogateText, most: usize) -> Value {
    let bytes = text.as_bytes();
    // A byte `10xxxxxx` continues a character.
    let is_boundary = |end: &usize| bytes.get(*end).is_none_or(|byte| byte & 0xc0 != 0x80);
    let end = (0..=most.min(bytes.len())).rev().find(is_boundary).unwrap_or(0);
    let shown = bytes.get(..end).unwrap_or_default();
    match SurrogateText::from_bytes(shown.to_vec()) {
        Some(shown) => Value::SurrogateStr(shown),
        None => Value::from(&*String::from_utf8_lossy(shown)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that are shown.
    const MOST: usize = 256;

    #[test]
    fn only_the_beginning_of_a_long_value_is_made() {
        let surrogates = [&[b'a'; 1 << 20][..], &[0xed, 0xa0, 0x80]].concat();
        let only_surrogates = [0xed, 0xa0, 0x80].repeat(1 << 20);
        let surrogates = [surrogates, only_surrogates].map(SurrogateText::from_bytes);
        let long = [
            Value::List(vec![Value::from(7); 1 << 20]),
            Value::from("Ω".repeat(1 << 20)),
            Value::bytes(vec![0; 1 << 20]),
            Value::List(vec![Value::List(vec![Value::from("a \u{1b}[2J")]); 1 << 20]),
        ];
        let long = long.into_iter().chain(surrogates.map(|it| Value::SurrogateStr(it.unwrap())));
        for value in long {
            let mut made = ValueText::new(MOST);
            made.push_value(&value);
            assert!(made.text.capacity() < 16 * MOST, "{}", made.text.capacity());
            let text = made.finish();
            assert!(text.ends_with('…') && text.len() <= MOST + '…'.len_utf8(), "{text}");
        }
        for (text, most) in [("'abcd'", 6), ("'abcd…", 5)] {
            assert_eq!(ValueText::of(&"abcd".into(), most), text);
        }
    }
}
