//! Tables of what each codec reads, refuses, writes and loses.
//!
//! Data that real serializers write is compared in `tests/differential` and `tests/recorded`; here
//! stands what they never write, and the position and words of every error.

use DecodeErrorKind::*;
use Serializer::{Json, Marshal, Msgpack, Serpent};

mod tables;

use super::*;
use crate::serpent::to_bytes;
use crate::value::{Dict, Set};
use tables::*;

#[test]
fn data_is_read() {
    fn check<D: AsRef<[u8]> + ?Sized>(serializer: Serializer, cases: &Read<D>) {
        for (data, shown) in cases {
            let value = serializer.decode(data.as_ref(), &Limits::default());
            let value = value.map(|value| value.to_string());
            assert_eq!(value.as_deref(), Ok(*shown), "{}", data.as_ref().escape_ascii());
        }
    }
    check(Serpent, SERPENT_READ);
    check(Marshal, MARSHAL_READ);
    check(Json, JSON_READ);
    check(Msgpack, MSGPACK_READ);
}

#[test]
fn errors_say_what_and_where() {
    fn check<D: AsRef<[u8]> + ?Sized>(serializer: Serializer, cases: &Errors<D>) {
        for &(data, at, kind) in cases {
            let result = serializer.decode(data.as_ref(), &Limits::default());
            let error = DecodeError { serializer, at, kind };
            assert_eq!(result, Err(error), "{}", data.as_ref().escape_ascii());
        }
    }
    check(Serpent, SERPENT_ERRORS);
    check(Marshal, MARSHAL_ERRORS);
    check(Json, JSON_ERRORS);
    check(Msgpack, MSGPACK_ERRORS);
    check::<[u8]>(Json, &[(b"\"\xff\"", 1, Utf8)]);
    check::<[u8]>(Serpent, &[(b"'\xff'", 1, Utf8)]);
    let error = Serpent.decode(b"'\xff'", &Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), "invalid serpent data at byte 1: text is not valid UTF-8");
}

#[test]
fn limits_are_kept() {
    let limits = Limits { depth: 3, digits: 20, ..Limits::default() };
    let nines = |head: &[u8], count| [head, &b"9".repeat(count)].concat();
    let (deep, long) = (Err(TooDeep(3)), Err(Digits(20)));
    let cases: &[(Serializer, &[u8], Result<(), DecodeErrorKind>)] = &[
        (Serpent, b"[({1},)]", Ok(())),
        (Serpent, b"[[],[],[],[],[[]],()]", Ok(())),
        (Serpent, b"[[[[]]]]", deep),
        (Serpent, b"((((1))))", deep),
        (Serpent, &nines(b"", 20), Ok(())),
        (Serpent, &nines(b"", 21), long),
        (Serpent, b"0xffffffffffffffffffffffffffffffff", Ok(())),
        (Json, b"[{\"a\":[1]}, [[]]]", Ok(())),
        (Json, b"[[[[]]]]", deep),
        (Json, b"{\"a\":[[{}]]}", deep),
        (Json, &nines(b"-", 20), Ok(())),
        (Json, &nines(b"", 21), long),
        (Msgpack, b"\x92\x91\x81\xa1a\x01\x91\x90", Ok(())),
        (Msgpack, b"\x91\x91\x91\x90", deep),
        (Msgpack, &nines(b"\xc7\x14\x31", 20), Ok(())),
        (Msgpack, &nines(b"\xc7\x15\x31", 21), long),
        (Marshal, b")\x01)\x01)\x01N", Ok(())),
        (Marshal, b")\x01)\x01)\x01)\x00", deep),
        // Also through references.
        (Marshal, b")\x02\xa9\x01)\x00r\0\0\0\0", Ok(())),
        (Marshal, b")\x02\xa9\x01)\x00)\x01r\0\0\0\0", deep),
    ];
    for (serializer, data, result) in cases {
        let decoded = serializer.decode(data, &limits).map(drop).map_err(|error| error.kind);
        assert_eq!(decoded, *result, "{serializer:?} {}", data.escape_ascii());
    }
}

/// A dict with one entry.
fn dict(key: impl Into<Value>) -> Value {
    Value::Dict([(key, 1)].into_iter().collect::<Dict>())
}

fn set_of(member: impl Into<Value>) -> Set {
    [member].into_iter().collect()
}

#[test]
fn types_that_a_format_lacks_are_lost() {
    let date = [("__class__", Value::from("datetime.date")), ("ordinal", 1.into())];
    let time = [("__class__", Value::from("datetime.datetime")), ("timestamp", 1.5.into())];
    let stamp = |seconds: i64, nanoseconds: i64| {
        let class = ("__class__", Value::from("msgpack.Timestamp"));
        let parts = [class, ("seconds", seconds.into()), ("nanoseconds", nanoseconds.into())];
        Value::Dict(parts.into_iter().collect())
    };
    let cases: [(Serializer, Value, &[u8]); 14] = [
        (Msgpack, stamp(5, 0), b"\xd6\xff\0\0\0\x05"),
        (Msgpack, stamp(1, 2), b"\xd7\xff\0\0\0\x08\0\0\0\x01"),
        (Msgpack, stamp(-1, 0), b"\xc7\x0c\xff\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"),
        (Json, Value::Tuple(vec![1.into()]), b"[1]"),
        (Json, Value::Set(set_of(1)), b"[1]"),
        (Json, dict(true), b"{\"true\": 1}"),
        (Json, dict(()), b"{\"null\": 1}"),
        (Json, dict(5), b"{\"5\": 1}"),
        (Json, dict(1.5), b"{\"1.5\": 1}"),
        (Json, dict(f64::NAN), b"{\"NaN\": 1}"),
        (Json, dict("é\u{1f}"), "{\"é\\u001f\": 1}".as_bytes()),
        (Msgpack, Value::Tuple(vec![Value::Set(set_of(1))]), b"\x91\x91\x01"),
        (Msgpack, Value::Dict(time.into_iter().collect()), b"\xd7\x32\0\0\0\0\0\0\xf8\x3f"),
        (Msgpack, Value::Dict(date.into_iter().collect()), b"\xd7\x33\x01\0\0\0\0\0\0\0"),
    ];
    for (serializer, value, data) in cases {
        let mut out = Vec::new();
        assert_eq!(serializer.encode(&value, &mut out), Ok(()));
        assert_eq!(out, data, "{serializer:?} writes {value} as {}", out.escape_ascii());
    }
}

#[test]
fn values_that_a_format_refuses_leave_the_buffer_alone() {
    const TYPE_ERROR: &str = "builtins.TypeError";
    let list_key = || Value::Tuple(vec![1.into(), Value::List(vec![])]);
    let frozen = || Value::FrozenSet(set_of(1));
    let cases = [
        (Marshal, dict(list_key()), TYPE_ERROR, "unhashable type: 'list'"),
        (Marshal, Value::Set(set_of(list_key())), TYPE_ERROR, "unhashable type: 'list'"),
        (Marshal, Value::FrozenSet(set_of(list_key())), TYPE_ERROR, "unhashable type: 'list'"),
        (
            Json,
            dict(Value::Tuple(vec![])),
            TYPE_ERROR,
            "keys must be str, int, float, bool or None, not tuple",
        ),
        (
            Json,
            dict(Value::bytes(*b"")),
            TYPE_ERROR,
            "keys must be str, int, float, bool or None, not bytes",
        ),
        (
            Json,
            frozen(),
            "Pyro5.errors.SerializeError",
            "don't know how to serialize class <class 'frozenset'> using serializer JsonSerializer. \
             Give it vars() or an appropriate __getstate__",
        ),
        (
            Msgpack,
            frozen(),
            "Pyro5.errors.SerializeError",
            "don't know how to serialize class <class 'frozenset'> using serializer \
             MsgpackSerializer. Give it vars() or an appropriate __getstate__",
        ),
        (
            Serpent,
            dict(()),
            TYPE_ERROR,
            "one of the keys in a dict or set is not of a primitive hashable type: \
             <class 'NoneType'>. Use simple types as keys or use a list or tuple as container.",
        ),
    ];
    for (serializer, value, class, text) in cases {
        let mut out = b"before".to_vec();
        let error = serializer.encode(&value, &mut out).unwrap_err();
        assert_eq!((error.class(), error.to_string().as_str()), (class, text));
        assert_eq!(out, b"before");
    }
    for serializer in Serializer::ALL {
        let mut out = Vec::new();
        let deepest = (0..200).fold(Value::None, |inner, _| Value::List(vec![inner]));
        assert_eq!(serializer.encode(&deepest, &mut out), Ok(()));
        let too_deep = serializer.encode(&Value::List(vec![deepest]), &mut out);
        assert_eq!(too_deep, Err(EncodeError::TooDeep(200)));
    }
}

#[test]
fn lone_surrogates_are_what_they_were() {
    let shown = "['\\ud800', 'é\\udc00\\ud83dx', '\\ud83d\\ude00', {'\\udfff': 1}]";
    let data = shown.replace("\\ude00", "\\U0000de00");
    let value = Serpent.decode(data.as_bytes(), &Limits::default()).unwrap();
    assert_eq!(value.to_string(), shown, "as Python prints it");
    for serializer in [Serpent, Marshal] {
        let mut out = Vec::new();
        serializer.encode(&value, &mut out).unwrap();
        assert_eq!(serializer.decode(&out, &Limits::default()).as_ref(), Ok(&value));
    }
    for serializer in [Json, Msgpack] {
        let error = serializer.encode(&value, &mut Vec::new()).unwrap_err();
        assert_eq!(error, EncodeError::LoneSurrogate(serializer));
        assert_eq!(error.class(), "builtins.ValueError");
    }
}

#[test]
fn references_of_marshal_expand_within_bounds() {
    // Lists that each hold the one before twice: 2^n values from 12 n bytes.
    let doubled = |times: u8| {
        let mut data = b"(\0\0\0\0\xda\x01x".to_vec();
        data[1] = times + 1;
        for number in 0..times {
            let reference = [b'r', number, 0, 0, 0];
            data.extend([&b"\xdb\x02\0\0\0"[..], &reference, &reference].concat());
        }
        data
    };
    // A long text, and 999 references to it.
    let text = [b"(\xe8\x03\0\0\xf5\0\0\x10\0", vec![b'x'; 1 << 20].as_slice()].concat();
    let repeated = [text, b"r\0\0\0\0".repeat(999)].concat();
    for (data, expected) in
        [(doubled(10), Ok(())), (doubled(100), Err(Expansion)), (repeated, Err(Expansion))]
    {
        let result = Marshal.decode(&data, &Limits::default());
        assert_eq!(result.map(drop).map_err(|error| error.kind), expected);
    }
}

#[test]
fn bytes_are_found_in_the_dict_that_serpent_makes_of_them() {
    let read = |data: &[u8]| Serpent.decode(data, &Limits::default()).unwrap();
    let mut out = Vec::new();
    Serpent.encode(&Value::bytes(*b"some bytes"), &mut out).unwrap();
    assert_eq!(read(&out).to_string(), "{'data': 'c29tZSBieXRlcw==', 'encoding': 'base64'}");
    assert_eq!(to_bytes(&read(&out)), Some(b"some bytes".to_vec()));
    assert_eq!(to_bytes(&Value::bytes(*b"x")), Some(b"x".to_vec()));
    for other in ["{'data': 'x', 'encoding': 'hex'}", "{'encoding': 'base64'}", "'x'", "{}"] {
        assert_eq!(to_bytes(&read(other.as_bytes())), None, "{other}");
    }
}
