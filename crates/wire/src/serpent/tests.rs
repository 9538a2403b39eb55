use super::*;
use crate::error::{DecodeErrorKind, EncodeError};
use crate::limits::Limits;
use crate::serializer::Serializer;

fn error(text: &str) -> (usize, DecodeErrorKind) {
    let error = decode(text.as_bytes(), &Limits::default()).unwrap_err();
    assert_eq!(error.serializer, Serializer::Serpent);
    (error.at, error.kind)
}

fn read(text: &str) -> Value {
    decode(text.as_bytes(), &Limits::default()).unwrap()
}

// What is read, and what Python makes of it, is in tests/differential/literals.rs.

#[test]
fn errors_say_what_and_where() {
    use DecodeErrorKind::*;
    let cases: &[(&str, usize, DecodeErrorKind)] = &[
        ("", 0, Truncated),
        ("# only a comment", 16, Truncated),
        ("[1,2", 4, Truncated),
        ("{'a':", 5, Truncated),
        ("'abc", 4, Truncated),
        ("1 2", 2, Trailing),
        ("[1 2]", 3, Syntax("a comma or a closing bracket is expected")),
        ("{1 2}", 3, Syntax("a comma or } is expected")),
        ("{1:2,3}", 6, Syntax("a colon is expected")),
        ("[,]", 1, Syntax("a value is expected")),
        ("a", 0, NotData("a name")),
        ("[set]", 1, NotData("a name")),
        ("set(1)", 0, NotData("a call")),
        ("[1, f'x']", 4, NotData("an f-string")),
        ("1+2", 2, NotData("a sum")),
        ("--1", 1, Syntax("a value is expected")),
        ("-None", 1, NotData("an operation")),
        ("{[]}", 1, Unhashable("list")),
        ("{(1,{}):2}", 4, Unhashable("dict")),
        ("{{1}}", 1, Unhashable("set")),
        ("{set()}", 4, Unhashable("set")),
        ("012", 0, Syntax("leading zeros in decimal integer literals are not permitted")),
        ("1__0", 1, Syntax("a malformed number")),
        ("'a\nb'", 2, Syntax("a string is not terminated on its line")),
        ("'\\x4'", 1, Syntax("a truncated escape of hexadecimal digits")),
        ("'\\U00110000'", 1, Syntax("illegal Unicode character")),
        ("'\\N{DASH}'", 1, Syntax("named characters (\\N{...}) are not supported")),
        ("'a' b'a'", 4, Syntax("cannot mix bytes and nonbytes literals")),
        ("b'é'", 2, Syntax("bytes can only contain ASCII literal characters")),
        ("'a\\ud800'", 2, LoneSurrogate),
        ("'\\ud83d\\ude00'", 1, LoneSurrogate),
        ("'\0'", 1, Syntax("a zero byte in the text")),
        ("{'__class__':'float'}", 0, Syntax("the class dict of a float has no number in it")),
    ];
    for (text, at, kind) in cases {
        assert_eq!(error(text), (*at, *kind), "{text:?}");
    }
    let bytes = decode(b"'\xff'", &Limits::default()).unwrap_err();
    assert_eq!(bytes.to_string(), "invalid serpent data at byte 1: text is not valid UTF-8");
}

#[test]
fn limits_are_kept() {
    let limits = Limits { depth: 3, digits: 20, ..Limits::default() };
    let kind = |text: &str| decode(text.as_bytes(), &limits).map_err(|error| error.kind);
    assert!(kind("[({1},)]").is_ok());
    assert_eq!(kind("[[[[]]]]"), Err(DecodeErrorKind::TooDeep(3)));
    assert_eq!(kind("((((1))))"), Err(DecodeErrorKind::TooDeep(3)));
    assert!(kind("[[],[],[],[],[[]],()]").is_ok());
    assert!(kind(&"9".repeat(20)).is_ok());
    assert_eq!(kind(&"9".repeat(21)), Err(DecodeErrorKind::Digits(20)));
    assert!(kind("0xffffffffffffffffffffffffffffffff").is_ok());
}

#[test]
fn nan_comes_back_wherever_it_was() {
    for text in [
        "{'__class__':'float','value':'nan'}",
        "[1,({'__class__':'float','value':'nan'},)]",
        "{'__class__':'x.Y','args':({'__class__':'float','value':'nan'},)}",
    ] {
        assert!(read(text).to_string().contains("nan"), "{text}");
        assert!(!read(text).to_string().contains("float"), "{text}");
    }
    assert_eq!(read("{'__class__':'float','value':' 1.5 '}"), Value::Float(1.5));
    assert_eq!(read("{'__class__':'float','value':2}"), Value::Float(2.0));
    let complex = "{'__class__':'complex','real':{'__class__':'float','value':'nan'},'imag':1.0}";
    assert_eq!(read(complex).to_string(), "{'__class__': 'complex', 'real': nan, 'imag': 1.0}");
    assert_eq!(
        error("{{'__class__':'float','value':'nan'}:1}").1,
        DecodeErrorKind::Unhashable("dict")
    );
}

#[test]
fn what_serpent_does_not_take_is_refused_in_its_words() {
    let none_key: Dict = [(Value::None, 1)].into_iter().collect();
    let mut out = b"before".to_vec();
    let error = encode(&none_key.into(), &mut out).unwrap_err();
    assert_eq!(error.class(), "builtins.TypeError");
    assert_eq!(
        error.to_string(),
        "one of the keys in a dict or set is not of a primitive hashable type: <class 'NoneType'>. \
         Use simple types as keys or use a list or tuple as container."
    );
    assert_eq!(out, b"before");

    let mut deep = Value::None;
    for _ in 0..200 {
        deep = Value::List(vec![deep]);
    }
    assert_eq!(encode(&deep, &mut out), Ok(()));
    assert_eq!(encode(&Value::List(vec![deep]), &mut out), Err(EncodeError::TooDeep(200)));
}

#[test]
fn bytes_are_found_in_their_dict() {
    let mut out = Vec::new();
    encode(&Value::bytes(*b"some bytes"), &mut out).unwrap();
    let value = decode(&out, &Limits::default()).unwrap();
    assert_eq!(value.to_string(), "{'data': 'c29tZSBieXRlcw==', 'encoding': 'base64'}");
    assert_eq!(to_bytes(&value), Some(b"some bytes".to_vec()));
    assert_eq!(to_bytes(&Value::bytes(*b"x")), Some(b"x".to_vec()));
    for other in ["{'data': 'x', 'encoding': 'hex'}", "{'encoding': 'base64'}", "'x'", "{}"] {
        assert_eq!(to_bytes(&read(other)), None, "{other}");
    }
}
