//! Serializers: any bytes give a value or an error; a value that was read can be printed, and what
//! is written of it comes to read the same ever after.

use wire::serializer::Serializer;
use wire::value::Value;
use wire::{DecodeErrorKind, EncodeError, Limits};

/// Reads `data` as a value and as a call of `serializer`.
pub fn serializer(serializer: Serializer, data: &[u8]) {
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
    // What a serializer loses is gone in two rounds (the signs of a complex's zeros go one by one
    // in serpent, as they do in Python).
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

/// Writes and reads it; `None` where this serializer does not take it.
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
            // What has to become a dict to be written takes levels; Python's own reader refuses
            // some of what its writer writes, too.
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
