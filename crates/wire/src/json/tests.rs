use super::*;
use crate::error::DecodeErrorKind;
use crate::limits::Limits;
use crate::value::{Dict, Set, Value};

/// What `text` is read as, in Python's `repr`, or why it is not.
fn read(text: &str) -> Result<String, (usize, DecodeErrorKind)> {
    match decode(text.as_bytes(), &Limits::default()) {
        Ok(value) => Ok(value.to_string()),
        Err(error) => Err((error.at, error.kind)),
    }
}

fn written(value: impl Into<Value>) -> Result<String, String> {
    let mut out = Vec::new();
    match encode(&value.into(), &mut out) {
        Ok(()) => Ok(String::from_utf8(out).unwrap()),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn values_are_read() {
    let cases = [
        ("null", "None"),
        (" [true , false]\r\n\t", "[True, False]"),
        ("0", "0"),
        ("-0", "0"),
        ("-0.0", "-0.0"),
        ("9223372036854775808", "9223372036854775808"),
        ("-123456789012345678901234567890", "-123456789012345678901234567890"),
        ("1E5", "100000.0"),
        ("1e-7", "1e-07"),
        ("1e400", "inf"),
        ("[NaN, Infinity, -Infinity]", "[nan, inf, -inf]"),
        (r#""a\"\\\/\b\f\n\r\tA\u20ac\ud83d\ude00é""#, r#"'a"\\/\x08\x0c\n\r\tA€😀é'"#),
        ("\"\u{7f}\"", "'\\x7f'"),
        ("{}", "{}"),
        ("[]", "[]"),
        (r#"{"b": 1, "a": [{}], "b": 2}"#, "{'b': 2, 'a': [{}]}"),
        (r#"{"" : 0 , "x":"y"}"#, "{'': 0, 'x': 'y'}"),
    ];
    for (text, shown) in cases {
        assert_eq!(read(text).as_deref(), Ok(shown), "{text}");
    }
}

#[test]
fn errors_say_what_and_where() {
    use DecodeErrorKind::*;
    let cases: &[(&str, usize, DecodeErrorKind)] = &[
        ("", 0, Truncated),
        ("  ", 2, Truncated),
        ("[1", 2, Truncated),
        ("{\"a\"", 4, Truncated),
        ("\"abc", 4, Truncated),
        ("\"a\\", 3, Truncated),
        ("-", 1, Truncated),
        ("nul", 0, Syntax("a value is expected")),
        ("[1,]", 3, Syntax("a value is expected")),
        ("[1 2]", 3, Syntax("a comma or ] is expected")),
        ("{1: 2}", 1, Syntax("a name in double quotes is expected")),
        ("{\"a\":1,}", 7, Syntax("a name in double quotes is expected")),
        ("{\"a\" 1}", 5, Syntax("a colon is expected")),
        ("{\"a\":1 2}", 7, Syntax("a comma or } is expected")),
        ("01", 1, Trailing),
        ("1.", 1, Trailing),
        ("1.e5", 1, Trailing),
        ("1e", 1, Trailing),
        ("1 1", 2, Trailing),
        ("+1", 0, Syntax("a value is expected")),
        ("-x", 1, Syntax("a digit is expected")),
        ("-NaN", 1, Syntax("a digit is expected")),
        ("'a'", 0, Syntax("a value is expected")),
        ("\u{feff}1", 0, Syntax("a value is expected")),
        ("\"a\nb\"", 2, Syntax("a control character must be escaped")),
        ("\"\\x41\"", 2, Syntax("not an escape of json's")),
        ("\"\\u12g4\"", 3, Syntax("four hexadecimal digits are expected")),
        ("\"\\u+123\"", 3, Syntax("four hexadecimal digits are expected")),
        ("\"a\\ud800\"", 2, LoneSurrogate),
        ("\"\\ude00\\ud83d\"", 1, LoneSurrogate),
        ("\"\\ud83d\\u0041\"", 1, LoneSurrogate),
    ];
    for (text, at, kind) in cases {
        assert_eq!(read(text), Err((*at, *kind)), "{text:?}");
    }
    assert_eq!(decode(b"\"\xff\"", &Limits::default()).unwrap_err().kind, Utf8);
}

#[test]
fn limits_are_kept() {
    let limits = Limits { depth: 3, digits: 20, ..Limits::default() };
    let kind = |text: &str| decode(text.as_bytes(), &limits).map_err(|error| error.kind);
    assert!(kind("[{\"a\":[1]}, [[]]]").is_ok());
    assert_eq!(kind("[[[[]]]]"), Err(DecodeErrorKind::TooDeep(3)));
    assert_eq!(kind("{\"a\":[[{}]]}"), Err(DecodeErrorKind::TooDeep(3)));
    assert!(kind(&format!("-{}", "9".repeat(20))).is_ok());
    assert_eq!(kind(&"9".repeat(21)), Err(DecodeErrorKind::Digits(20)));
}

#[test]
fn what_json_does_not_have_is_lost_or_refused() {
    let dict = |key: Value| Value::from([(key, 1)].into_iter().collect::<Dict>());
    let one: Set = [1].into_iter().collect();
    assert_eq!(written(Value::Tuple(vec![1.into()])).as_deref(), Ok("[1]"));
    assert_eq!(written(Value::Set(one.clone())).as_deref(), Ok("[1]"));
    let keys: [(Value, &str); 6] = [
        (true.into(), "{\"true\": 1}"),
        (Value::None, "{\"null\": 1}"),
        (5.into(), "{\"5\": 1}"),
        (1.5.into(), "{\"1.5\": 1}"),
        (f64::NAN.into(), "{\"NaN\": 1}"),
        ("é\u{1f}".into(), "{\"é\\u001f\": 1}"),
    ];
    for (key, text) in keys {
        assert_eq!(written(dict(key)).as_deref(), Ok(text));
    }
    let refused = [
        (dict(Value::Tuple(vec![])), "keys must be str, int, float, bool or None, not tuple"),
        (dict(Value::bytes(*b"")), "keys must be str, int, float, bool or None, not bytes"),
        (
            Value::FrozenSet(one),
            "don't know how to serialize class <class 'frozenset'> using serializer JsonSerializer. \
             Give it vars() or an appropriate __getstate__",
        ),
    ];
    for (value, text) in refused {
        assert_eq!(written(value), Err(text.to_owned()));
    }
}
