//! Hostile bytes: every decoder gives a value or one error, in little memory and without deep
//! recursion.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod memory;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use wire::message::{Body, Flags, FrameError, FrameWriter, HEADER_LEN, Header, MessageType};
use wire::serializer::Serializer;
use wire::value::{Dict, Value};
use wire::{DecodeError, DecodeErrorKind, Limits};

/// Bytes of memory that values may take, for each byte of their message.
const MEMORY_PER_BYTE: usize = 16;
/// Bytes of memory that values may take however short their message is.
const MIN_MEMORY_BYTES: usize = 64 << 10;

/// Decodes, and checks how much memory that took.
fn decode(serializer: Serializer, data: &[u8]) -> Result<Value, DecodeError> {
    // References may expand to a fraction of the largest message as well, which is small here.
    let memory = (data.len() * MEMORY_PER_BYTE).max(MIN_MEMORY_BYTES);
    let limits = Limits { message: data.len(), memory, ..Limits::default() };
    let (result, peak) = memory::peak(|| serializer.decode(data, &limits));
    // A list that grows takes twice its memory while it moves.
    let most = memory + memory / 2 + 4096;
    assert!(peak <= most, "{} takes {peak} bytes for {}", serializer.name(), data.len());
    result
}

fn kind(serializer: Serializer, data: &[u8]) -> Option<DecodeErrorKind> {
    decode(serializer, data).err().map(|error| error.kind)
}

#[test]
fn nesting_is_limited() {
    const DEEP: usize = 200_000;
    let bombs: [(Serializer, &[u8]); 15] = [
        (Serializer::Serpent, b"["),
        (Serializer::Serpent, b"("),
        (Serializer::Serpent, b"{1:"),
        (Serializer::Serpent, b"{(1,"),
        (Serializer::Serpent, b"((1,),"),
        (Serializer::Json, b"["),
        (Serializer::Json, b"{\"\":"),
        (Serializer::Msgpack, b"\x91"),
        (Serializer::Msgpack, b"\x81\xa0"),
        (Serializer::Marshal, b"[\x01\0\0\0"),
        (Serializer::Marshal, b")\x01"),
        (Serializer::Marshal, b"(\x01\0\0\0"),
        (Serializer::Marshal, b"{N"),
        (Serializer::Marshal, b">\x01\0\0\0"),
        (Serializer::Marshal, b"\xa9\x01"),
    ];
    for (serializer, bomb) in bombs {
        let kind = kind(serializer, &bomb.repeat(DEEP));
        assert_eq!(kind, Some(DecodeErrorKind::TooDeep(200)), "{bomb:?}");
    }
    // Signs do not nest.
    assert!(kind(Serializer::Serpent, &b"-".repeat(DEEP)).is_some());
}

#[test]
fn the_deepest_nesting_is_safe() {
    let cases: [(Serializer, &[u8], &[u8], &[u8]); 4] = [
        (Serializer::Serpent, b"[", b"1", b"]"),
        (Serializer::Json, b"[", b"1", b"]"),
        (Serializer::Msgpack, b"\x91", b"\x01", b""),
        (Serializer::Marshal, b")\x01", b"N", b""),
    ];
    for (serializer, open, inside, close) in cases {
        let nested = |depth| [&open.repeat(depth), inside, &close.repeat(depth)].concat();
        let value = decode(serializer, &nested(200)).unwrap();
        // Everything else that recurses.
        assert!(value.to_string().len() > 400);
        assert!(format!("{value:?}").len() > 400);
        assert_eq!(value.clone(), value);
        let mut again = Vec::new();
        assert_eq!(serializer.encode(&value, &mut again), Ok(()));
        assert_eq!(kind(serializer, &nested(201)), Some(DecodeErrorKind::TooDeep(200)));
    }
}

/// Messages of the shortest data for the largest values.
#[test]
fn values_take_no_more_memory_than_their_limit() {
    const COUNT: u32 = 1_000_000;
    let count = COUNT as usize;
    let text = |head: &str, piece: &str, tail: &str| {
        format!("{head}{}{tail}", piece.repeat(count)).into_bytes()
    };
    let msgpack =
        |code: u8, piece: &[u8]| [&[code][..], &COUNT.to_be_bytes(), &piece.repeat(count)].concat();
    let marshal =
        |code: u8, piece: &[u8]| [&[code][..], &COUNT.to_le_bytes(), &piece.repeat(count)].concat();
    let bombs = [
        (Serializer::Msgpack, msgpack(0xdd, b"\xc0")),
        (Serializer::Msgpack, msgpack(0xdd, b"\x81\xa0\xc0")),
        (Serializer::Msgpack, msgpack(0xdd, b"\x91\xc0")),
        (Serializer::Msgpack, msgpack(0xdd, b"\xa1a")),
        (Serializer::Msgpack, msgpack(0xdd, b"\xd7\x32\0\0\0\0\0\0\0\0")),
        (Serializer::Marshal, marshal(b'[', b"N")),
        (Serializer::Marshal, marshal(b'[', b"{NN0")),
        (Serializer::Marshal, marshal(b'[', b")\x01N")),
        (Serializer::Marshal, marshal(b'[', b"<\x01\0\0\0N")),
        (Serializer::Json, text("[", "0,", "0]")),
        (Serializer::Json, text("[", "[0],", "0]")),
        (Serializer::Json, text("[", "{\"\":0},", "0]")),
        (Serializer::Serpent, text("[", "0,", "]")),
        (Serializer::Serpent, text("", "0,", "")),
        (Serializer::Serpent, text("[", "[0],", "]")),
        (Serializer::Serpent, text("[", "(0,),", "]")),
        (Serializer::Serpent, text("[", "{0},", "]")),
        (Serializer::Serpent, text("[", "{0:0},", "]")),
        (Serializer::Serpent, text("[", "1e9999j,", "]")),
    ];
    for (serializer, bomb) in bombs {
        let limits = Limits { memory: 4 << 20, ..Limits::default() };
        let (result, peak) = memory::peak(|| serializer.decode(&bomb, &limits));
        let kind = result.err().map(|error| error.kind);
        let name = serializer.name();
        let start = String::from_utf8_lossy(&bomb[..20]);
        assert_eq!(kind, Some(DecodeErrorKind::Memory(4 << 20)), "{name}: {start}");
        assert!(peak <= 6 << 20, "{name} takes {peak} bytes: {start}");
    }
}

/// Typical data of a lab: long lists of numbers, and tables as lists of dicts.
#[test]
fn typical_data_fits_the_default_limits() {
    let row = |number: i32| {
        let time = f64::from(number) * 0.1;
        [("n", Value::from(number)), ("t", time.into()), ("volts", (time + 0.5).into())]
    };
    let values = [
        (0..1_000_000).map(|number| Value::from(f64::from(number) * 0.1)).collect::<Vec<_>>(),
        (0..1_000_000).map(|number| row(number).into_iter().collect::<Dict>().into()).collect(),
    ];
    for value in values.map(Value::List) {
        for serializer in Serializer::ALL {
            let mut data = Vec::new();
            serializer.encode(&value, &mut data).unwrap();
            let limits = Limits::default();
            assert!(data.len() < limits.message);
            let (result, peak) = memory::peak(|| serializer.decode(&data, &limits).map(drop));
            assert_eq!(result, Ok(()), "{}", serializer.name());
            assert!(peak < limits.memory);
        }
    }
}

#[test]
fn announced_lengths_are_checked() {
    let truncated = Some(DecodeErrorKind::Truncated);
    for code in [0xdb, 0xc6, 0xdd, 0xdf, 0xc9] {
        let data = [&[code, 0xff, 0xff, 0xff, 0xff][..], &[0; 100]].concat();
        assert_eq!(kind(Serializer::Msgpack, &data), truncated, "{code:x}");
    }
    for code in *b"sutaAl([<>" {
        let data = [&[code, 0xff, 0xff, 0xff, 0x7f][..], &[b'N'; 100]].concat();
        assert_eq!(kind(Serializer::Marshal, &data), truncated, "{}", char::from(code));
    }
    // Nested lists that each announce as many items as there are bytes left.
    let mut msgpack = Vec::new();
    let mut marshal = Vec::new();
    for level in 0..150u32 {
        msgpack.push(0xdd);
        msgpack.extend_from_slice(&(10_000 - level * 5).to_be_bytes());
        marshal.push(b'[');
        marshal.extend_from_slice(&(10_000 - level * 5).to_le_bytes());
    }
    msgpack.resize(10_000, 0);
    marshal.resize(10_000, b'N');
    assert_eq!(kind(Serializer::Msgpack, &msgpack), truncated);
    assert_eq!(kind(Serializer::Marshal, &marshal), truncated);
}

/// Quadratic time would be minutes for each.
#[test]
fn long_data_takes_no_quadratic_time() {
    const LEN: usize = 1 << 19;
    let repeated = |head: &str, piece: &str, tail: &str| {
        let body = piece.repeat(LEN / piece.len());
        format!("{head}{body}{tail}").into_bytes()
    };
    let mut cases = Vec::new();
    for (head, piece, tail) in [
        ("(", "'a' ", ")"),
        ("(", "'''a''' ", ")"),
        ("'''", "'' ", "'''"),
        ("'", "\\n", "'"),
        ("'''", "\r", "'''"),
        ("", "#\n", "1"),
        ("", "\\\n", "1"),
        ("[", "1,", "]"),
        ("[", "-1,", "]"),
        ("[", "- 1,", "]"),
        ("[", "1+2j,", "]"),
        ("[", "'x',", "]"),
        ("[", "(),", "]"),
        ("[", "(1),", "]"),
        ("[", "{},", "]"),
        ("[", "[1],", "]"),
        ("[", "{1:1},", "]"),
        ("[", "set(),", "]"),
        ("{", "1,", "}"),
        ("{", "():1,", "}"),
        ("", "1_", "1"),
        ("", "1", ".5"),
        ("0.", "1", ""),
        ("1e", "1", ""),
        ("0x", "f", ""),
        ("0o", "7", ""),
        ("", "9", ""),
        ("", "_", ""),
        ("", "a", ""),
    ] {
        cases.push((Serializer::Serpent, repeated(head, piece, tail)));
    }
    for (head, piece, tail) in [
        ("[", "1,", "1]"),
        ("[", "-1.5e3 , ", "1]"),
        ("[", "\"x\",", "1]"),
        ("[", "[],", "1]"),
        ("[", "[1],", "1]"),
        ("[", "{\"\":1},", "1]"),
        ("{", "\"\":1,", "\"\":1}"),
        ("\"", "\\n", "\""),
        ("\"", "\\ud83d\\ude00", "\""),
        ("", " ", "1"),
        ("", "1", ".5"),
        ("", "9", ""),
        ("1e", "9", ""),
    ] {
        cases.push((Serializer::Json, repeated(head, piece, tail)));
    }
    let int = [&b"l\0\0\x04\0"[..], &[0x11; LEN]].concat();
    cases.push((Serializer::Marshal, int));
    cases.push((Serializer::Marshal, [&b"{"[..], &b"NN".repeat(LEN / 2), b"0"].concat()));
    cases.push((Serializer::Msgpack, [&b"\xdd\0\x08\0\0"[..], &[0xc0; LEN]].concat()));
    for (serializer, data) in &cases {
        let result = decode(*serializer, data);
        if let Ok(value) = result {
            drop(value.to_string());
        }
    }
}

#[test]
fn a_client_cannot_make_keys_collide() {
    let keys = |count: i64| (0..count).map(|i| (Value::Int(i << 32), Value::Int(i)));
    let mut data = Vec::new();
    Serializer::Marshal.encode(&keys(100_000).collect::<Dict>().into(), &mut data).unwrap();
    assert!(decode(Serializer::Marshal, &data).is_ok());
    // Nans equal nothing, and all have the same bits.
    let nans = [&b"<\xa0\x86\x01\0"[..], &b"g\0\0\0\0\0\0\xf8\x7f".repeat(100_000)].concat();
    let value = decode(Serializer::Marshal, &nans).unwrap();
    assert!(matches!(value, Value::Set(set) if set.len() == 100_000));
}

#[test]
fn inflating_takes_no_more_memory_than_its_limit() {
    let mut bomb = Vec::new();
    let mut writer = FrameWriter::begin(&mut bomb, MessageType::Invoke, 1, 0, &vec![]).unwrap();
    writer.payload().resize(32 << 20, 0);
    writer.finish(Flags::empty(), None, true, usize::MAX).unwrap();
    assert!(bomb.len() < 200_000);

    let limits = Limits { inflated: 1 << 20, ..Limits::default() };
    let header = Header::decode(bomb.first_chunk().unwrap(), &limits).unwrap();
    let (error, peak) = memory::peak(|| Body::parse(&header, &bomb[HEADER_LEN..], &limits).err());
    assert!(matches!(error, Some(FrameError::Inflate(_))));
    assert!(peak < 4 << 20, "{peak}");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        rng_seed: RngSeed::Fixed(0x5079_726f),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_bytes_are_answered(data in vec(any::<u8>(), 0..200)) {
        answered(&data);
    }

    #[test]
    fn random_text_is_answered(text in "[\\[\\](){}'\"\\\\,:0-9eEjJxub_.+ \n#NTFa-]{0,60}") {
        answered(text.as_bytes());
    }

    /// Valid data with a few bytes changed, removed or inserted.
    #[test]
    fn mutated_data_is_answered(
        sample in 0usize..SAMPLES,
        changes in vec((any::<prop::sample::Index>(), 0u8..4, any::<u8>()), 1..6),
    ) {
        for serializer in Serializer::ALL {
            let mut data = Vec::new();
            if serializer.encode(&samples()[sample], &mut data).is_err() {
                continue;
            }
            for (at, what, byte) in &changes {
                let at = at.index(data.len().max(1));
                match what {
                    _ if data.is_empty() => {}
                    0 => data[at] = *byte,
                    1 => data[at] ^= 1 << (byte % 8),
                    2 => drop(data.remove(at)),
                    _ => data.insert(at, *byte),
                }
            }
            answered(&data);
        }
    }

    #[test]
    fn mutated_frames_are_answered(
        changes in vec((0usize..120, any::<u8>()), 0..4),
        compress in any::<bool>(),
    ) {
        let mut frame = Vec::new();
        let annotations = vec![(*b"ABCD", vec![1, 2, 3]), (*b"EFGH", vec![])];
        let mut writer =
            FrameWriter::begin(&mut frame, MessageType::Invoke, 1, 0, &annotations).unwrap();
        writer.payload().extend(0..150);
        writer.finish(Flags::empty(), None, compress, usize::MAX).unwrap();
        for (at, byte) in changes {
            if let Some(place) = frame.get_mut(at) {
                *place = byte;
            }
        }
        let (head, body) = frame.split_first_chunk::<HEADER_LEN>().unwrap();
        for limits in [Limits::default(), Limits::handshake()] {
            if let Ok(header) = Header::decode(head, &limits) {
                prop_assert!(header.body_len() <= limits.message);
                // The header may announce more or less than there is.
                let mut body = body.to_vec();
                body.resize(header.body_len().min(10_000), 0);
                let _value_or_error = Body::parse(&header, &body, &limits);
            }
        }
    }
}

/// Runs every decoder, for a value and for a call, and prints and encodes the value.
fn answered(data: &[u8]) {
    for serializer in Serializer::ALL {
        let _call_or_error = serializer.decode_call(data, &Limits::default());
        if let Ok(value) = decode(serializer, data) {
            let _text = value.to_string();
            let mut again = Vec::new();
            if serializer.encode(&value, &mut again).is_err() {
                assert!(again.is_empty());
            }
        }
    }
}

const SAMPLES: usize = 4;

fn samples() -> [Value; SAMPLES] {
    let text = |text: &str| text.as_bytes().to_vec();
    [
        text("[1, -2.5, 'text', None, {'a': [True, False], 'b': {}}, 123456789012345678901234567890]"),
        text("['it\\'s', \"é\\u200b\", 'x' 'y', [[[[]]]], {'k': 'v', 'k2': [1.5, 1e300, 0.1]}]"),
        text("{1: (1, 2), (1, 2): {3, 4}, 'c': 1+2j, 'b': b'bytes', None: set()}"),
        text("('object', 'method', [1, 2], {'kw': 1})"),
    ]
    .map(|text| Serializer::Serpent.decode(&text, &Limits::default()).unwrap())
}
