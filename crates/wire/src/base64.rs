//! Base64 as Python's `base64` module writes and reads it, for the `bytes` dicts of serpent.

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode::Indifferent;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};

/// Decoder that accepts missing padding, and any bits after the last whole byte.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(Indifferent),
);

/// Appends the base64 of `data`.
pub(crate) fn encode(data: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + data.len().div_ceil(3) * 4, 0);
    // The slice has the length of the text, so that encoding cannot fail.
    let _ = STANDARD.encode_slice(data, out.get_mut(start..).unwrap_or_default());
}

/// The data of a base64 text. As Python does, it skips characters outside the alphabet and ends at
/// the padding that completes a group of four.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    if let Ok(data) = LENIENT.decode(text) {
        return Some(data);
    }
    let mut letters = Vec::with_capacity(text.len());
    for (at, &byte) in text.iter().enumerate() {
        let more_padding = || text.get(at + 1..).unwrap_or_default().contains(&b'=');
        match byte {
            b'=' if letters.len() % 4 == 3 || letters.len() % 4 == 2 && more_padding() => break,
            b'+' | b'/' => letters.push(byte),
            byte if byte.is_ascii_alphanumeric() => letters.push(byte),
            _ => {}
        }
    }
    LENIENT.decode(letters).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_and_decodes() {
        let cases =
            [("", ""), ("a", "YQ=="), ("ab", "YWI="), ("abc", "YWJj"), ("abc\u{ff}", "YWJjw78=")];
        for (data, text) in cases {
            let mut out = b"x".to_vec();
            encode(data.as_bytes(), &mut out);
            assert_eq!(out, format!("x{text}").as_bytes());
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(data.as_bytes()));
        }
        let all: Vec<u8> = (0..=255).collect();
        let mut text = Vec::new();
        encode(&all, &mut text);
        assert_eq!(decode(&text), Some(all));
    }

    #[test]
    fn decodes_leniently_like_python() {
        assert_eq!(decode(b"YW\nJj"), Some(b"abc".to_vec()));
        assert_eq!(decode(b"YQ==YQ=="), Some(b"a".to_vec()));
        assert_eq!(decode(b"YWJjY"), None);
    }
}
