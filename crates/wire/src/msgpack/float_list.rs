//! Lists of floats from marshal to msgpack, in their own memory.
//!
//! A float takes nine bytes in both: a code, then the number, little-endian in marshal and
//! big-endian in msgpack. So a daemon passes a long list on without making its values.

/// Codes of a list and of a float in marshal.
const MARSHAL: (u8, u8) = (b'[', b'g');
/// Codes of a list with a 32-bit length, of one with a 16-bit length, and of a float in msgpack.
const MSGPACK: (u8, u8, u8) = (0xdd, 0xdc, 0xcb);
/// Bytes of a list's head in marshal: its code and its length.
const HEAD_BYTES: usize = 5;
/// Bytes of a float with its code.
const FLOAT_BYTES: usize = 9;
/// Shorter lists have shorter heads in msgpack, and are better written anew.
const MIN_ITEMS: u32 = 16;

/// Turns a list of floats in marshal into msgpack, as the encoder would write it; returns how many
/// bytes at the beginning are then no part of it. `None`, and nothing changed, if `data` is another
/// value, or a short list.
pub fn marshal_floats_to_msgpack(data: &mut [u8]) -> Option<usize> {
    let (head, items) = data.split_first_chunk_mut::<HEAD_BYTES>()?;
    let [code, length @ ..] = *head;
    // The length is a signed number, and negative ones are invalid.
    let length = u32::try_from(i32::from_le_bytes(length)).ok()?;
    let (floats, rest) = items.as_chunks_mut::<FLOAT_BYTES>();
    let is_whole = usize::try_from(length) == Ok(floats.len()) && rest.is_empty();
    if code != MARSHAL.0 || length < MIN_ITEMS || !is_whole {
        return None;
    }
    if !floats.iter().all(|[code, ..]| *code == MARSHAL.1) {
        return None;
    }
    for float in floats {
        let [_, number @ ..] = *float;
        let [code, place @ ..] = float;
        *code = MSGPACK.2;
        *place = u64::from_le_bytes(number).to_be_bytes();
    }
    let [b0, b1, b2, b3] = length.to_be_bytes();
    if u16::try_from(length).is_ok() {
        *head = [0, 0, MSGPACK.1, b2, b3];
        return Some(2);
    }
    *head = [MSGPACK.0, b0, b1, b2, b3];
    Some(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serializer::Serializer;
    use crate::value::Value;

    fn encoded(serializer: Serializer, value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        serializer.encode(value, &mut out).unwrap();
        out
    }

    #[test]
    fn lists_of_floats_are_what_the_encoder_would_write() {
        for length in [16, 17, 0xffff, 0x1_0000, 0x1_0001] {
            let number = |at: u32| Value::Float(f64::from(at) * 1e-7 - 0.001);
            let list = Value::List((0..length).map(number).collect());
            let mut data = encoded(Serializer::Marshal, &list);
            let skipped = marshal_floats_to_msgpack(&mut data).unwrap();
            assert_eq!(data[skipped..], encoded(Serializer::Msgpack, &list), "{length}");
        }
    }

    #[test]
    fn other_data_stays_as_it_is() {
        let floats = |count| vec![Value::Float(1.5); count];
        let mut with_text = floats(20);
        with_text[7] = "seven".into();
        let mut cases: Vec<Vec<u8>> = [
            Value::List(floats(15)),
            Value::Tuple(floats(20)),
            Value::List(with_text),
            Value::List(vec![1.into(); 9 * 4]),
            Value::None,
        ]
        .iter()
        .map(|value| encoded(Serializer::Marshal, value))
        .collect();
        let whole = encoded(Serializer::Marshal, &Value::List(floats(20)));
        cases.extend((0..whole.len()).map(|cut| whole[..cut].to_vec()));
        cases.push([&whole[..], b"N"].concat());
        cases.push([b"[\xff\xff\xff\xff", &whole[5..]].concat());
        for case in cases {
            let mut data = case.clone();
            assert_eq!(marshal_floats_to_msgpack(&mut data), None);
            assert_eq!(data, case);
        }
    }
}
