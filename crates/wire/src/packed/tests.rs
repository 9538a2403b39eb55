use proptest::prelude::*;

use super::*;
use crate::value::Dict;

fn floats(numbers: &[f64]) -> Value {
    Array::from_values(&[numbers.len()], numbers).unwrap().into()
}

fn masked() -> Value {
    let array = Array::from_values(&[3], &[1u8, 2, 3]).unwrap();
    array
        .with_mask(Mask { order: ArrayOrder::C, flags: vec![0, 1, 0], fill: vec![99] })
        .unwrap()
        .into()
}

fn packed(value: &Value) -> Vec<u8> {
    let mut out = b"before".to_vec();
    assert!(encode(value, &mut out).unwrap());
    out.split_off(6)
}

fn decode(data: &[u8]) -> Result<Value, DecodeError> {
    decode_counted(data, &Limits::default()).map(|(value, _)| value)
}

#[test]
fn arrays_come_back_wherever_they_stand() {
    let mut dict = Dict::new();
    dict.insert("trace", floats(&[1.0, 2.0]));
    dict.insert("empty", floats(&[]));
    let values = [
        floats(&[1.5]),
        masked(),
        Value::List(vec![1.into(), masked(), Value::Tuple(vec![floats(&[2.0; 100]), "x".into()])]),
        Value::Dict(dict),
    ];
    for value in values {
        let data = packed(&value);
        assert!(has_valid_table(&data));
        let mut parts = b"before".to_vec();
        let (_, last) = encode_but_last(&value, &mut parts).unwrap();
        parts.extend_from_slice(last.as_deref().map_or(&[], Array::data));
        assert_eq!(parts.get(6..), Some(&*data));
        assert_eq!(decode(&data), Ok(value));
    }
}

#[test]
fn a_value_without_arrays_is_plain_marshal() {
    let value = Value::List(vec![1.into(), "two".into()]);
    let (mut plain, mut out) = (Vec::new(), Vec::new());
    Serializer::Marshal.encode(&value, &mut plain).unwrap();
    assert!(!encode(&value, &mut out).unwrap());
    assert_eq!(out, plain);
}

#[test]
fn an_array_alone_is_split_without_a_copy() {
    let array = Array::from_values(&[2], &[1.5f64, 2.5]).unwrap();
    let whole = packed(&array.clone().into());
    let (begin, data) = split(Arc::new(array)).unwrap();
    assert_eq!([begin, data].concat(), whole);
    let Value::Array(masked) = masked() else { panic!() };
    assert!(split(masked).is_err());
}

#[test]
fn the_memory_of_arrays_is_counted() {
    let data = packed(&Value::List(vec![floats(&[0.0; 10_000])]));
    let (_, memory) = decode_counted(&data, &Limits::default()).unwrap();
    assert!(memory.here > 80_000 && memory.in_python > 80_000, "{memory:?}");
    let limits = Limits { memory: 1000, ..Limits::default() };
    let refused = decode_counted(&data, &limits).unwrap_err();
    assert!(matches!(refused.kind, DecodeErrorKind::Memory(_)), "{refused}");
}

/// A payload with these segments' lengths and this head.
fn payload(lengths: &[u64], head: &Value, rest: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    crate::marshal::encode(head, &mut encoded).unwrap();
    raw(lengths, &encoded, rest)
}

fn raw(lengths: &[u64], head: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut data = (lengths.len() as u32).to_le_bytes().to_vec();
    data.extend_from_slice(&(head.len() as u32).to_le_bytes());
    lengths.iter().for_each(|length| data.extend_from_slice(&length.to_le_bytes()));
    data.extend_from_slice(head);
    if !lengths.is_empty() {
        data.resize(data.len().next_multiple_of(8), 0);
    }
    data.extend_from_slice(rest);
    data
}

#[test]
fn lies_about_arrays_are_refused() {
    let array =
        |parts: Vec<Value>| Value::Tuple(vec![Value::List(vec![Value::Tuple(parts)]), 5.into()]);
    let fine = || vec!["<f8".into(), Value::Tuple(vec![1.into()]), "C".into()];
    let with = |at: usize, part: Value| {
        let mut parts = fine();
        parts[at] = part;
        array(parts)
    };
    let shape =
        |lengths: &[i64]| Value::Tuple(lengths.iter().map(|one| Value::from(*one)).collect());
    let nothing = Value::Tuple(vec![Value::List(vec![]), 5.into()]);
    let cases = [
        ("table", vec![]),
        ("table", vec![1, 0, 0, 0, 0, 0, 0, 0]),
        ("table", raw(&[], b"", b"")[..7].to_vec()),
        ("table", [&u32::MAX.to_le_bytes()[..], &[0; 100]].concat()),
        ("table", [&[0; 4][..], &u32::MAX.to_le_bytes(), &[0; 100]].concat()),
        ("beyond the message", payload(&[1 << 32], &nothing, &[0; 8])),
        ("beyond the message", payload(&[u64::MAX], &nothing, &[0; 8])),
        ("beyond the message", payload(&[8, 8], &nothing, &[0; 8])),
        ("follow the last", payload(&[8], &nothing, &[0; 9])),
        ("belongs to no array", payload(&[8], &nothing, &[0; 8])),
        ("no segment", payload(&[], &array(fine()), &[])),
        ("no place", payload(&[8], &array(fine()), &[0; 8])),
        ("bytes than its shape", payload(&[8], &with(1, shape(&[2])), &[0; 8])),
        ("too large", payload(&[8], &with(1, shape(&[1 << 62, 1 << 62])), &[0; 8])),
        ("shape", payload(&[8], &with(1, shape(&[-1])), &[0; 8])),
        ("shape", payload(&[8], &with(1, 1.into()), &[0; 8])),
        ("plain bytes", payload(&[8], &with(0, "|O8".into()), &[0; 8])),
        ("malformed", payload(&[8], &with(0, Value::None), &[0; 8])),
        ("neither C nor F", payload(&[8], &with(2, "K".into()), &[0; 8])),
        ("malformed", payload(&[8], &array(vec!["<f8".into()]), &[0; 8])),
        ("no segment", payload(&[8], &array([fine(), vec!["C".into()]].concat()), &[0; 8])),
        ("not described", payload(&[], &5.into(), &[])),
        ("malformed", payload(&[], &Value::Tuple(vec![5.into(), 5.into()]), &[])),
        ("Ellipsis", raw(&[], b"(\x02\0\0\0[\0\0\0\0.", &[])),
        ("unhashable", raw(&[], b"(\x02\0\0\0[\0\0\0\0<\x01\0\0\0.", &[])),
        ("code object", raw(&[], b"(\x02\0\0\0[\0\0\0\0c", &[])),
    ];
    for (words, data) in cases {
        let error = decode(&data).map(|value| value.to_string()).unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
}

#[test]
fn an_array_is_not_referred_to() {
    // A list with one placeholder, and a reference to that list.
    let list = [
        &b"(\x02\0\0\0"[..],
        b"[\x01\0\0\0(\x03\0\0\0u\x03\0\0\0|u1(\x01\0\0\0i\x01\0\0\0u\x01\0\0\0C",
    ];
    let value = b"(\x02\0\0\0\xdb\x01\0\0\0.r\0\0\0\0";
    let data = raw(&[1], &[&list.concat()[..], value].concat(), &[7]);
    assert!(decode(&data).unwrap_err().to_string().contains("Ellipsis"));
}

#[test]
fn without_the_format_a_placeholder_is_no_data() {
    assert!(Serializer::Marshal.decode(b".", &Limits::default()).is_err());
}

proptest! {
    #[test]
    fn no_bytes_cause_more_than_an_error(at in 0usize..200, byte: u8, cut in 0usize..200) {
        let value = Value::List(vec![floats(&[1.0, 2.0]), masked(), "text".into()]);
        let mut data = packed(&value);
        if let Some(place) = data.get_mut(at) {
            *place = byte;
        }
        data.truncate(data.len().saturating_sub(cut));
        let _ = decode(&data);
    }
}
