//! Arguments of a call as the call log shows them: as Python writes them, and only their beginning.

use crate::object::{MethodCall, Operation};
use crate::value_text::ValueText;

/// Bytes of arguments that are shown; more end in `…`.
const MAX_BYTES: usize = 256;
/// The arguments of a member whose arguments are private.
const PRIVATE: &str = "(private)";

/// The arguments of an operation; `None` where it has none by its nature. The arguments of members
/// that are `private` are left out.
pub(super) fn describe(operation: &Operation, private: impl Fn(&str) -> bool) -> Option<String> {
    let mut text = ValueText::new(MAX_BYTES);
    match operation {
        Operation::GetAttr(_) => return None,
        Operation::Call(call) if private(&call.method) => return Some(PRIVATE.to_owned()),
        Operation::Call(call) => push_call(&mut text, call),
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
                    false => push_call(&mut text, call),
                }
            }
        }
    }
    Some(text.finish())
}

fn push_call(text: &mut ValueText, call: &MethodCall) {
    text.push("(");
    let positional = call.args.iter().map(|value| (None, value));
    let named = call.kwargs.iter().map(|(name, value)| (Some(name), value));
    for (number, (name, value)) in positional.chain(named).enumerate() {
        if text.is_full() {
            return;
        }
        text.push(if number > 0 { ", " } else { "" });
        if let Some(name) = name {
            text.push(name);
            text.push("=");
        }
        text.push_value(value);
    }
    text.push(")");
}

#[cfg(test)]
mod tests {
    use wire::value::Value;

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
    fn only_the_beginning_of_many_calls_is_made() {
        let calls = vec![call("a", vec![], vec![]); 1 << 20];
        assert!(describe(&Operation::Batch(calls), |_| false).unwrap().ends_with('…'));
    }
}
