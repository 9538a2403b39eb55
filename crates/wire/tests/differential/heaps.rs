//! Comparison with Python on random sequences of tokens, few of which are a value.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use wire::Limits;
use wire::serializer::Serializer;

use crate::notation::canonical;
use crate::peer::{Ask, ask, value};
use crate::{config, literals};

const LITERALS: &[&str] = &[
    "(", ")", "[", "]", "{", "}", ",", ",", ":", "1", "2", "0", "-", "+", "2j", "1.5", "'a'",
    "\"b\"", "b'x'", "None", "True", "set()", "set", " ", "\n", "#c\n", "\\\n", "r", "u", "b",
    "0x1f", "1_0", "_", ".", "e5", "'", "\"", "\\", "'''", "\\x41", "()", "[]", "{}", "(1,", "{1:",
    "\t", "1e30000", "é",
];

const JSON: &[&str] = &[
    "[",
    "]",
    "{",
    "}",
    ",",
    ",",
    ":",
    "1",
    "0",
    "-",
    "+",
    ".5",
    "e5",
    "E+1",
    "\"a\"",
    "\"b\":",
    "\"",
    "\\n",
    "\\u0041",
    "\\ud83d\\ude00",
    "\\",
    "/",
    "null",
    "true",
    "false",
    "NaN",
    "Infinity",
    "nul",
    " ",
    "\n",
    "\t",
    "é",
    "'",
    "[]",
    "{}",
    "[1,",
    "{\"k\":",
    "\u{7f}",
    "\u{1}",
    "\u{2028}",
    "12345678901234567890",
];

const MSGPACK: &[&[u8]] = &[
    b"\x00",
    b"\x7f",
    b"\x80",
    b"\x81",
    b"\x82",
    b"\x90",
    b"\x91",
    b"\x92",
    b"\xa0",
    b"\xa1a",
    b"\xa1b",
    b"\xa2\xc3\xa9",
    b"\xa1\xff",
    b"\xc0",
    b"\xc1",
    b"\xc2",
    b"\xc3",
    b"\xc4\x01x",
    b"\xc5\0\x01x",
    b"\xca\x3f",
    b"\xcb\x3f\xf0\0\0\0\0\0\0",
    b"\xcc\xff",
    b"\xcd\x01\0",
    b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xd0\x80",
    b"\xd3\x80\0\0\0\0\0\0\0",
    b"\xd4\x31\x35",
    b"\xc7\x02\x3112",
    b"\xd4\x05\0",
    b"\xd9\x01z",
    b"\xdc\0\x01",
    b"\xdd\0\0\0\x02",
    b"\xde\0\x01",
    b"\xe0",
    b"\xff",
    b"\xd8\x30\0\0\0\0\0\0\xf0\x3f\0\0\0\0\0\0\0\0",
];

/// Keys, many of which are equal for Python though they look different.
const KEYS: &[&str] = &[
    "0",
    "0.0",
    "-0.0",
    "0j",
    "False",
    "1",
    "1.0",
    "True",
    "(1+0j)",
    "-1",
    "-1.0",
    "1j",
    "'1'",
    "b'1'",
    "''",
    "b''",
    "None",
    "()",
    "(1,)",
    "(1.0,)",
    "(True,)",
    "((),)",
    "(1,2)",
    "(2,1)",
    "1e30000",
    "-1e30000",
    "0.5",
    "(0.5,)",
    "9007199254740992",
    "9007199254740992.0",
    "9007199254740993",
    "9223372036854775808",
    "9223372036854775808.0",
    "18446744073709551616",
    "18446744073709551616.0",
    "-9223372036854775808",
    "-9223372036854775808.0",
    "1000000000000000000000",
    "1e21",
    "'a'",
    "'b'",
    "('a',)",
    "'é'",
    "1e22",
    "10000000000000000000000",
];

proptest! {
    #![proptest_config(config(16))]

    #[test]
    fn equal_keys_are_those_that_python_takes_for_equal(
        heaps in vec(vec(select(KEYS), 1..40), 1..40),
    ) {
        let sets = heaps.iter().map(|keys| format!("{{{}}}", keys.join(",")));
        let dicts = heaps.iter().map(|keys| {
            let entries: Vec<_> = keys.iter().enumerate().map(|(n, key)| format!("{key}:{n}")).collect();
            format!("{{{}}}", entries.join(","))
        });
        literals::check(sets.chain(dicts).collect());
    }

    #[test]
    fn heaps_of_literals_are_read_as_by_python(
        heaps in vec(vec(select(LITERALS), 1..8), 1..400),
    ) {
        literals::check(heaps.iter().map(|tokens| tokens.concat()).collect());
    }

    #[test]
    fn heaps_of_json_are_read_as_by_python(heaps in vec(vec(select(JSON), 1..8), 1..400)) {
        check(Serializer::Json, heaps.iter().map(|tokens| tokens.concat().into_bytes()).collect())?;
    }

    #[test]
    fn heaps_of_msgpack_are_read_as_by_python(heaps in vec(vec(select(MSGPACK), 1..6), 1..400)) {
        check(Serializer::Msgpack, heaps.iter().map(|codes| codes.concat()).collect())?;
    }
}

fn check(serializer: Serializer, heaps: Vec<Vec<u8>>) -> Result<(), TestCaseError> {
    let asks: Vec<Ask> = heaps.iter().map(|heap| Ask::bytes('l', serializer, heap)).collect();
    for (heap, theirs) in heaps.iter().zip(ask(&asks)) {
        let ours = serializer.decode(heap, &Limits::default());
        let shown = String::from_utf8_lossy(heap);
        match (ours, value(&theirs)) {
            (Ok(ours), Ok(theirs)) => {
                prop_assert_eq!(canonical(&ours), canonical(&theirs), "{}", shown);
            }
            (Err(_), Err(_)) => {}
            (ours, theirs) => {
                prop_assert!(false, "{shown:?}: we read {ours:?}, Python {theirs:?}");
            }
        }
    }
    Ok(())
}
