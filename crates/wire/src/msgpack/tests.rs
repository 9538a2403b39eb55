use super::*;
use crate::error::DecodeErrorKind;
use crate::limits::Limits;
use crate::value::{Set, Value};

/// What `data` is read as, in Python's `repr`, or why it is not.
fn read(data: &[u8]) -> Result<String, (usize, DecodeErrorKind)> {
    match decode(data, &Limits::default()) {
        Ok(value) => Ok(value.to_string()),
        Err(error) => Err((error.at, error.kind)),
    }
}

#[test]
fn codes_that_we_never_write_are_read() {
    let cases: &[(&[u8], &str)] = &[
        (b"\xca\x3f\xc0\0\0", "1.5"),
        (b"\xcc\x01", "1"),
        (b"\xcd\0\x01", "1"),
        (b"\xce\0\0\0\x01", "1"),
        (b"\xcf\0\0\0\0\0\0\0\x01", "1"),
        (b"\xd0\x01", "1"),
        (b"\xd1\xff\xff", "-1"),
        (b"\xd2\xff\xff\xff\xff", "-1"),
        (b"\xd3\xff\xff\xff\xff\xff\xff\xff\xff", "-1"),
        (b"\xd9\x01a", "'a'"),
        (b"\xda\0\x01a", "'a'"),
        (b"\xdb\0\0\0\x01a", "'a'"),
        (b"\xc5\0\x01a", "b'a'"),
        (b"\xc6\0\0\0\x01a", "b'a'"),
        (b"\xdc\0\x01\x01", "[1]"),
        (b"\xdd\0\0\0\x01\x01", "[1]"),
        (b"\xde\0\x01\xa1a\x01", "{'a': 1}"),
        (b"\xdf\0\0\0\x01\xc4\x01a\x01", "{b'a': 1}"),
        (b"\x82\xa1a\x01\xa1a\x02", "{'a': 2}"),
        (b"\xc7\x03\x31-12", "-12"),
        (b"\xd7\x31 1_000_0", "10000"),
    ];
    for (data, shown) in cases {
        assert_eq!(read(data).as_deref(), Ok(*shown), "{data:?}");
    }
}

#[test]
fn errors_say_what_and_where() {
    use DecodeErrorKind::*;
    let cases: &[(&[u8], usize, DecodeErrorKind)] = &[
        (b"", 0, Truncated),
        (b"\x91", 1, Truncated),
        (b"\x92\x01", 2, Truncated),
        (b"\xdd\xff\xff\xff\xff\0", 6, Truncated),
        (b"\xdf\xff\xff\xff\xff\0", 6, Truncated),
        (b"\xdb\xff\xff\xff\xff\0", 6, Truncated),
        (b"\xc6\xff\xff\xff\xff\0", 6, Truncated),
        (b"\xc9\xff\xff\xff\xff\x30\0", 7, Truncated),
        (b"\xcb\0\0", 3, Truncated),
        (b"\x01\x02", 1, Trailing),
        (b"\xc1", 0, Code(0xc1)),
        (b"\xa2a\xff", 2, Utf8),
        (b"\xa3\xed\xa0\x80", 1, LoneSurrogate),
        (b"\x81\x01\x02", 1, MapKey("int")),
        (b"\x81\xc0\x02", 1, MapKey("NoneType")),
        (b"\x81\x90\x02", 1, MapKey("list")),
        (b"\xd4\x05\0", 1, Ext(5)),
        (b"\xd6\xff\0\0\0\0", 1, Ext(-1)),
        (b"\xd4\x30\0", 1, Syntax("an ext complex takes 16 bytes")),
        (b"\xd4\x31x", 1, Syntax("an ext long takes a number")),
        (b"\xd4\x32x", 1, Syntax("an ext datetime takes 8 bytes")),
        (b"\xd4\x33x", 1, Syntax("an ext date takes 8 bytes")),
    ];
    for (data, at, kind) in cases {
        assert_eq!(read(data), Err((*at, *kind)), "{data:?}");
    }
}

#[test]
fn dates_are_class_dicts_in_both_directions() {
    let cases: &[(&[u8], &str)] = &[
        (b"\xd7\x32\0\0\0\0\0\0\xf8\x3f", "{'__class__': 'datetime.datetime', 'timestamp': 1.5}"),
        (b"\xd7\x33\x01\0\0\0\0\0\0\0", "{'__class__': 'datetime.date', 'ordinal': 1}"),
    ];
    for (data, text) in cases {
        let value = decode(data, &Limits::default()).unwrap();
        assert_eq!(value.to_string(), *text);
        let mut written = Vec::new();
        encode(&value, &mut written).unwrap();
        assert_eq!(written, *data);
    }
}

#[test]
fn limits_are_kept() {
    let limits = Limits { depth: 3, digits: 20, ..Limits::default() };
    let kind = |data: &[u8]| decode(data, &limits).map(drop).map_err(|error| error.kind);
    assert_eq!(kind(b"\x92\x91\x81\xa1a\x01\x91\x90"), Ok(()));
    assert_eq!(kind(b"\x91\x91\x91\x90"), Err(DecodeErrorKind::TooDeep(3)));
    assert_eq!(kind(&[b"\xc7\x14\x31".as_slice(), &[b'9'; 20]].concat()), Ok(()));
    let long = kind(&[b"\xc7\x15\x31".as_slice(), &[b'9'; 21]].concat());
    assert_eq!(long, Err(DecodeErrorKind::Digits(20)));
}

#[test]
fn what_msgpack_does_not_have_is_lost_or_refused() {
    let one: Set = [1].into_iter().collect();
    let mut out = Vec::new();
    encode(&Value::Tuple(vec![Value::Set(one.clone())]), &mut out).unwrap();
    assert_eq!(read(&out).as_deref(), Ok("[[1]]"));
    let error = encode(&Value::FrozenSet(one), &mut out).unwrap_err();
    assert_eq!(error.class(), "Pyro5.errors.SerializeError");
    assert_eq!(
        error.to_string(),
        "don't know how to serialize class <class 'frozenset'> using serializer MsgpackSerializer. \
         Give it vars() or an appropriate __getstate__"
    );
}
