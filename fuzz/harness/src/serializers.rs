//! Harness of the serializers: any bytes give a value or an error. A value can be printed, and
//! after at most two round trips it no longer changes.

use wire::packed;
use wire::serializer::Serializer;
use wire::value::Value;
use wire::{DecodeErrorKind, EncodeError, Limits};

/// Reads `data` as a value and as a call of `serializer`.
pub fn check_serializer(serializer: Serializer, data: &[u8]) {
    let limits = Limits::default();
    if let Err(error) = serializer.decode_call(data, &limits) {
        assert!(error.at <= data.len(), "{error}");
    }
    let value = match serializer.decode(data, &limits) {
        Ok(value) => value,
        Err(error) => {
            assert_eq!(error.serializer, serializer);
            assert!(error.at <= data.len(), "{error}");
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    drop(value.to_string());
    // A serializer loses types in the first round trip. serpent loses the signs of a complex
    // number's zeros one by one, as in Python, which takes two.
    if let Some(once) = round_trip(serializer, &value)
        && let Some(twice) = round_trip(serializer, &once)
        && let Some(again) = round_trip(serializer, &twice)
    {
        assert_eq!(twice.to_string(), again.to_string(), "{serializer:?}");
    }
    for other in Serializer::ALL {
        round_trip(other, &value);
    }
}

/// Reads `data` as a message with arrays. Its value is written and read again as it is, and as
/// lists for peers that know no arrays.
pub fn check_arrays(data: &[u8]) {
    let limits = Limits::default();
    drop(packed::decode_call_counted(data, &limits));
    let value = match packed::decode_counted(data, &limits) {
        Ok((value, _)) => value,
        Err(error) => {
            assert!(error.at <= data.len(), "{error}");
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert!(packed::has_valid_table(data));
    let mut out = b"before".to_vec();
    if let Ok(has_arrays) = packed::encode(&value, &mut out) {
        let written = out.get(6..).unwrap_or_default();
        let again = match has_arrays {
            true => packed::decode_counted(written, &limits).map(|(value, _)| value),
            false => Serializer::Marshal.decode(written, &limits),
        };
        match again {
            Ok(again) => assert_eq!(again.to_string(), value.to_string()),
            Err(error) => assert!(matches!(error.kind, DecodeErrorKind::Memory(_)), "{error}"),
        }
    }
    for serializer in Serializer::ALL {
        round_trip(serializer, &value);
    }
}

/// Encodes and decodes a value; `None` if this serializer refuses it.
fn round_trip(serializer: Serializer, value: &Value) -> Option<Value> {
    let mut out = b"before".to_vec();
    if let Err(error) = serializer.encode(value, &mut out) {
        assert_eq!(out, b"before", "{error}");
        assert!(EncodeError::class(&error).contains('.'));
        return None;
    }
    let written = out.get(6..).unwrap_or_default();
    match serializer.decode(written, &Limits::default()) {
        Ok(value) => Some(value),
        Err(error) => {
            // A bytes or complex that is written as a dict nests deeper than the value. And
            // Python's decoders, too, refuse some data of Python's encoders.
            assert!(
                matches!(
                    error.kind,
                    DecodeErrorKind::TooDeep(_)
                        | DecodeErrorKind::Digits(_)
                        | DecodeErrorKind::MapKey(_)
                        | DecodeErrorKind::Memory(_)
                        | DecodeErrorKind::Unhashable(_)
                ),
                "{serializer:?} does not read what it wrote of {value}: {error}"
            );
            None
        }
    }
}
