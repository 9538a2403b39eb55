//! Check whether encoded marshal data is what our encoder would write for its value.
//!
//! A daemon passes such data on from a worker to a client without decoding it. The check itself
//! allocates nothing.

/// Deepest nesting, in levels, that the check follows. Deeper data is rare, and is decoded.
const MAX_CHECKED_DEPTH: usize = 16;

/// Whether the decoder accepts `data`, and the encoder writes the same bytes for the value.
///
/// `false` means only that the check did not find out. It stops at dicts and sets, whose keys it
/// would have to compare, and at ints beyond 32 bits.
pub fn is_canonical(data: &[u8]) -> bool {
    skip_canonical(data, MAX_CHECKED_DEPTH).is_some_and(<[u8]>::is_empty)
}

/// The data after its first value, if that value is canonical.
fn skip_canonical(data: &[u8], depth: usize) -> Option<&[u8]> {
    let (code, data) = data.split_first()?;
    match code {
        b'N' | b'F' | b'T' => Some(data),
        b'i' => data.get(4..),
        b'g' => data.get(8..),
        b'y' => data.get(16..),
        b's' => {
            let (len, data) = split_len32(data)?;
            data.get(len..)
        }
        b'u' => {
            let (len, data) = split_len32(data)?;
            let (text, data) = data.split_at_checked(len)?;
            std::str::from_utf8(text).ok().map(|_| data)
        }
        b'(' | b'[' => {
            let depth = depth.checked_sub(1)?;
            let (len, mut data) = split_len32(data)?;
            for _ in 0..len {
                data = match data {
                    // The items of most long lists.
                    [b'g', rest @ ..] => rest.get(8..)?,
                    [b'i', rest @ ..] => rest.get(4..)?,
                    _ => skip_canonical(data, depth)?,
                };
            }
            Some(data)
        }
        _ => None,
    }
}

fn split_len32(data: &[u8]) -> Option<(usize, &[u8])> {
    let (len, data) = data.split_first_chunk()?;
    Some((usize::try_from(i32::from_le_bytes(*len)).ok()?, data))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::Limits;
    use crate::marshal::{decode, encode};
    use crate::value::{Dict, Value};

    fn encoded(value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        encode(value, &mut out).unwrap();
        out
    }

    #[test]
    fn plain_values_are_canonical() {
        let long = Value::List(vec![1.5.into(); 1000]);
        let nested = |depth| (0..depth).fold(Value::None, |value, _| Value::List(vec![value]));
        let cases = [
            (Value::None, true),
            (Value::Complex { re: 1.0, im: f64::NAN }, true),
            (Value::bytes(vec![1, 2]), true),
            (Value::Tuple(vec![1.into(), "é".into(), true.into(), long]), true),
            (Value::from(1_i64 << 40), false),
            (Value::Dict(Dict::new()), false),
            (nested(MAX_CHECKED_DEPTH), true),
            (nested(MAX_CHECKED_DEPTH + 1), false),
        ];
        for (value, same) in cases {
            assert_eq!(is_canonical(&encoded(&value)), same, "{value}");
        }
    }

    #[test]
    fn invalid_data_is_not_canonical() {
        let whole = encoded(&Value::List(vec![1.5.into(), 7.into(), "text".into()]));
        for cut in 0..whole.len() {
            assert!(!is_canonical(&whole[..cut]), "{cut}");
        }
        let surrogate = b"u\x03\0\0\0\xed\xa0\x80";
        let endless = b"(\xff\xff\xff\x7fNN";
        let negative = b"s\xff\xff\xff\xff";
        for data in [&surrogate[..], endless, negative, &[&whole[..], b"N"].concat()] {
            assert!(!is_canonical(data), "{data:?}");
        }
    }

    proptest! {
        #[test]
        fn canonical_data_is_encoded_the_same(
            data in prop::collection::vec(
                prop::sample::select(b"NFTigysu([{<0\0\0\0\0\x01\x02\x7f\xff\x80".to_vec()), 0..40,
            )
        ) {
            if is_canonical(&data) {
                let value = decode(&data, &Limits::default());
                prop_assert_eq!(value.map(|(value, _)| encoded(&value)), Ok(data));
            }
        }
    }
}
