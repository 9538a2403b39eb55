//! Arguments of a call as the call log shows them: as Python writes them, and only their beginning.

use wire::value::Value;

use crate::object::{MethodCall, Operation};

/// Bytes of arguments that are shown; more end in `…`.
const MAX_BYTES: usize = 256;
/// The arguments of a member whose arguments are private.
const PRIVATE: &str = "(private)";

/// The arguments of an operation; `None` where it has none by its nature. The arguments of members
/// that are `private` are left out.
pub(super) fn describe(operation: &Operation, private: impl Fn(&str) -> bool) -> Option<String> {
    let mut text = Text::default();
    match operation {
        Operation::GetAttr(_) => return None,
        Operation::Call(call) if private(&call.method) => return Some(PRIVATE.to_owned()),
        Operation::Call(call) => text.push_call(call),
        Operation::SetAttr(name, _) if private(name) => return Some(PRIVATE.to_owned()),
        Operation::SetAttr(_, value) => text.push_value(value),
        Operation::Blob(blob) => text.push(&format!("(a blob of {} bytes)", blob.payload.len())),
        Operation::Batch(calls) => {
            for (number, call) in
                calls.iter().enumerate().take_while(|(number, _)| *number <= MAX_BYTES)
            {
                text.push(if number > 0 { "; " } else { "" });
                text.push(&call.method);
                match private(&call.method) {
                    true => text.push(PRIVATE),
                    false => text.push_call(call),
                }
            }
        }
    }
    Some(text.finish())
}

/// A text that takes no more than is shown.
#[derive(Default)]
struct Text(String);

impl Text {
    fn is_full(&self) -> bool {
        self.0.len() > MAX_BYTES
    }

    fn push(&mut self, text: &str) {
        if !self.is_full() {
            self.0.push_str(beginning(text, MAX_BYTES + 1));
        }
    }

    fn push_call(&mut self, call: &MethodCall) {
        self.push("(");
        let positional = call.args.iter().map(|value| (None, value));
        let named = call.kwargs.iter().map(|(name, value)| (Some(name), value));
        for (number, (name, value)) in positional.chain(named).enumerate() {
            if self.is_full() {
                return;
            }
            self.push(if number > 0 { ", " } else { "" });
            if let Some(name) = name {
                self.push(name);
                self.push("=");
            }
            self.push_value(value);
        }
        self.push(")");
    }

    fn push_value(&mut self, value: &Value) {
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
                self.push(&Value::from(beginning(text, MAX_BYTES)).to_string());
            }
            Value::Bytes(bytes) => {
                let shown = bytes.iter().take(MAX_BYTES).copied().collect::<Vec<u8>>();
                self.push(&Value::bytes(shown).to_string());
            }
            Value::BigInt(int) if int.bits() > 8 * MAX_BYTES as u64 => {
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

    fn finish(self) -> String {
        if self.0.len() <= MAX_BYTES {
            return self.0;
        }
        format!("{}…", beginning(&self.0, MAX_BYTES))
    }
}

/// The beginning of a text, of at most so many bytes.
pub(super) fn beginning(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &str, args: Vec<Value>, kwargs: Vec<(String, Value)>) -> MethodCall {
        MethodCall { method: method.to_owned(), args, kwargs }
    }

    #[test]
    fn arguments_are_shown_as_python_writes_them() {
        let secret = || Value::from("hunter2");
        let named = vec![("speed".to_owned(), Value::from(3))];
        let pair = Value::Tuple(vec![Value::from(1), Value::None]);
        let cases = [
            (Operation::GetAttr("power".into()), None),
            (Operation::SetAttr("power".into(), Value::Float(1.5)), Some("1.5")),
            (Operation::SetAttr("key".into(), secret()), Some("(private)")),
            (Operation::Call(call("key", vec![secret()], vec![])), Some("(private)")),
            (Operation::Call(call("stop", vec![], vec![])), Some("()")),
            (Operation::Call(call("go", vec![pair], named)), Some("((1, None), speed=3)")),
            (
                Operation::Batch(vec![
                    call("a", vec![Value::from("x")], vec![]),
                    call("key", vec![secret()], vec![]),
                ]),
                Some("a('x'); key(private)"),
            ),
        ];
        for (operation, expected) in cases {
            assert_eq!(describe(&operation, |name| name == "key").as_deref(), expected);
        }
    }

    #[test]
    fn only_the_beginning_of_long_arguments_is_made() {
        let long = [
            Value::List(vec![Value::from(7); 1 << 20]),
            Value::from("Ω".repeat(1 << 20)),
            Value::bytes(vec![0; 1 << 20]),
            Value::List(vec![Value::List(vec![Value::from("a \u{1b}[2J")]); 1 << 20]),
        ];
        for value in long {
            let text = describe(&Operation::SetAttr("x".into(), value), |_| false).unwrap();
            assert!(text.ends_with('…') && text.len() <= MAX_BYTES + '…'.len_utf8(), "{text}");
        }
        let calls = vec![call("a", vec![], vec![]); 1 << 20];
        assert!(describe(&Operation::Batch(calls), |_| false).unwrap().ends_with('…'));
    }
}
