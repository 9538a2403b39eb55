use super::*;
use crate::error::DecodeErrorKind;
use crate::limits::Limits;
use crate::value::Value;

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
        (b"I\x05\0\0\0\0\0\0\0", "5"),
        (b"f\x031.5", "1.5"),
        (b"f\x03nan", "nan"),
        (b"f\x05-1e16", "-1e+16"),
        (b"x\x011\x04-2.5", "(1-2.5j)"),
        (b"t\x02\0\0\0\xc3\xa9", "'é'"),
        (b"a\x01\0\0\0a", "'a'"),
        (b"A\x01\0\0\0\xe9", "'é'"),
        (b"z\x02ab", "'ab'"),
        (b"Z\x01\xe9", "'é'"),
        (b")\x02NT", "(None, True)"),
        (b"l\0\0\0\0", "0"),
        (b"l\xfe\xff\xff\xff\x00\x00\x01\x00", "-32768"),
        // The high bit makes a target of references, numbered in the order of their beginning.
        (b"\xce", "None"),
        (b"[\x02\0\0\0\xda\x01ar\0\0\0\0", "['a', 'a']"),
        (b"\xdb\x03\0\0\0\xa9\x01\xe9\x07\0\0\0r\x02\0\0\0r\x01\0\0\0", "[(7,), 7, (7,)]"),
        (b"[\x02\0\0\0\xa9\x01\xda\x01ar\0\0\0\0", "[('a',), ('a',)]"),
        (b"{\xda\x01ar\0\0\0\0" as &[u8], "{'a': 'a'}"),
        (b"N and whatever follows", "None"),
    ];
    for (data, shown) in cases {
        let data = if data[0] == b'{' { [data, b"0".as_slice()].concat() } else { data.to_vec() };
        assert_eq!(read(&data).as_deref(), Ok(*shown), "{data:?}");
    }
}

#[test]
fn errors_say_what_and_where() {
    use DecodeErrorKind::*;
    let cases: &[(&[u8], usize, DecodeErrorKind)] = &[
        (b"", 0, Truncated),
        (b"i\0\0\0", 4, Truncated),
        (b"[\x01\0\0\0", 5, Truncated),
        (b"[\xff\xff\xff\x7f", 5, Truncated),
        (b"s\xff\xff\xff\x7f", 5, Truncated),
        (b"l\0\0\0\x80", 5, Truncated),
        (b"{N", 2, Truncated),
        (b"s\xff\xff\xff\xff", 1, Syntax("a negative length")),
        (b"c", 0, NotData("a code object")),
        (b"[\x01\0\0\0\xe3\0\0\0\0", 5, NotData("a code object")),
        (b"S", 0, NotData("StopIteration")),
        (b".", 0, NotData("Ellipsis")),
        (b"0", 0, Syntax("the end of a dict stands outside of one")),
        (b"{N0", 2, Syntax("the end of a dict stands outside of one")),
        (b"R\0\0\0\0", 0, Code(b'R')),
        (b"\xff", 0, Code(0x7f)),
        (b"l\x01\0\0\0\xff\xff", 1, Syntax("a digit of an int is out of range")),
        (b"l\x01\0\0\0\0\0", 1, Syntax("an int begins with a zero digit")),
        (b"f\x04 1.5", 1, Syntax("not a float's text")),
        (b"u\x03\0\0\0\xed\xa0\x80", 5, LoneSurrogate),
        (b"u\x02\0\0\0a\xff", 6, Utf8),
        (b"{[\0\0\0\0N0", 1, Unhashable("list")),
        (b"<\x01\0\0\0)\x01{0", 7, Unhashable("dict")),
        (b"[\x02\0\0\0\xdb\0\0\0\0{r\0\0\0\0N0", 5, Unhashable("list")),
        (b"r\0\0\0\0", 0, Reference("a reference to a value that is not there")),
        (b"\xdb\x01\0\0\0r\0\0\0\0", 5, Reference("a value that contains itself")),
        (b"\xa9\x01[\x01\0\0\0r\0\0\0\0", 7, Reference("a value that contains itself")),
    ];
    for (data, at, kind) in cases {
        assert_eq!(read(data), Err((*at, *kind)), "{data:?}");
    }
}

#[test]
fn references_expand_within_bounds() {
    // Lists that each hold the one before twice: 2^n values from 12 n bytes.
    let doubled = |times: u8| {
        let mut data = b"(\0\0\0\0".to_vec();
        data[1] = times + 1;
        data.extend_from_slice(b"\xda\x01x");
        for number in 0..times {
            data.extend_from_slice(b"\xdb\x02\0\0\0");
            for _ in 0..2 {
                data.extend_from_slice(&[b'r', number, 0, 0, 0]);
            }
        }
        data
    };
    assert!(read(&doubled(10)).is_ok());
    assert_eq!(read(&doubled(100)).unwrap_err().1, DecodeErrorKind::Expansion);

    // A long text, referred to many times.
    let mut data = b"(\xe8\x03\0\0\xf5\0\0\x10\0".to_vec();
    data.extend(vec![b'x'; 1 << 20]);
    for _ in 0..999 {
        data.extend_from_slice(b"r\0\0\0\0");
    }
    assert_eq!(read(&data).unwrap_err().1, DecodeErrorKind::Expansion);
}

#[test]
fn limits_are_kept() {
    let limits = Limits { depth: 3, ..Limits::default() };
    let kind = |data: &[u8]| decode(data, &limits).map(drop).map_err(|error| error.kind);
    assert_eq!(kind(b")\x01)\x01)\x01N"), Ok(()));
    assert_eq!(kind(b")\x01)\x01)\x01)\x00"), Err(DecodeErrorKind::TooDeep(3)));
    // Also through references.
    assert_eq!(kind(b")\x02\xa9\x01)\x00r\0\0\0\0"), Ok(()));
    assert_eq!(kind(b")\x02\xa9\x01)\x00)\x01r\0\0\0\0"), Err(DecodeErrorKind::TooDeep(3)));
}

#[test]
fn what_python_could_not_hold_is_refused() {
    let key = Value::Tuple(vec![1.into(), Value::List(vec![])]);
    for value in [
        Value::Dict([(key.clone(), 1)].into_iter().collect()),
        Value::Set([key.clone()].into_iter().collect()),
        Value::FrozenSet([key].into_iter().collect()),
    ] {
        let mut out = Vec::new();
        let error = encode(&value, &mut out).unwrap_err();
        assert_eq!(error.to_string(), "unhashable type: 'list'");
        assert_eq!(error.class(), "builtins.TypeError");
        assert!(out.is_empty());
    }
}
