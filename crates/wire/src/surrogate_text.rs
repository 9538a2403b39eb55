//! Text with lone surrogates: halves of surrogate pairs, which Python's `str` can hold and UTF-8
//! cannot.
//!
//! They come from file names that are not UTF-8, and from texts that were cut inside of a pair.
//! serpent writes them as escapes and marshal as three bytes each; json and msgpack cannot write
//! them, and neither can Pyro5's.

/// A `str` with at least one lone surrogate.
///
/// The bytes are UTF-8 but for surrogates, which have three bytes each, as Python's error handler
/// `surrogatepass` writes them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SurrogateText {
    bytes: Vec<u8>,
}

impl SurrogateText {
    /// Takes bytes in this form; `None` for others, also for UTF-8 without surrogates.
    pub fn from_bytes(bytes: Vec<u8>) -> Option<SurrogateText> {
        let mut rest = bytes.as_slice();
        let mut found = false;
        while let Err(error) = std::str::from_utf8(rest) {
            let (_, tail) = rest.split_at_checked(error.valid_up_to())?;
            let [0xed, 0xa0..=0xbf, 0x80..=0xbf, tail @ ..] = tail else { return None };
            found = true;
            rest = tail;
        }
        found.then_some(SurrogateText { bytes })
    }

    /// Begins such a text with `before` and a surrogate.
    pub(crate) fn begin(before: String, surrogate: u16) -> SurrogateText {
        let mut text = SurrogateText { bytes: before.into_bytes() };
        text.push_surrogate(surrogate);
        text
    }

    pub(crate) fn push_surrogate(&mut self, surrogate: u16) {
        let low = |shift: u32| 0x80 | (surrogate >> shift & 0x3f) as u8;
        self.bytes.extend_from_slice(&[0xed, low(6), low(0)]);
    }

    pub(crate) fn push_str(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// The bytes, as Python's `text.encode("utf-8", "surrogatepass")` gives them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The size in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// `false`: there is at least one surrogate.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The text in pieces: each the UTF-8 text before a surrogate, and the surrogate; `None` after
    /// the last one.
    pub fn pieces(&self) -> impl Iterator<Item = (&str, Option<u16>)> {
        let mut rest = Some(self.bytes.as_slice());
        std::iter::from_fn(move || {
            let bytes = rest.take()?;
            let end = std::str::from_utf8(bytes).err().map_or(bytes.len(), |e| e.valid_up_to());
            let (head, tail) = bytes.split_at_checked(end)?;
            let head = std::str::from_utf8(head).ok()?;
            let [_, middle, last, tail @ ..] = tail else { return Some((head, None)) };
            rest = Some(tail);
            let surrogate = 0xd000 | u16::from(middle & 0x3f) << 6 | u16::from(last & 0x3f);
            Some((head, Some(surrogate)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_with_lone_surrogates_are_taken() {
        let cases: [(&[u8], Option<&[(&str, Option<u16>)]>); 7] = [
            (b"\xed\xa0\x80", Some(&[("", Some(0xd800)), ("", None)])),
            (b"a\xed\xbf\xbfb", Some(&[("a", Some(0xdfff)), ("b", None)])),
            (
                b"\xed\xa0\xbd\xed\xb8\x80",
                Some(&[("", Some(0xd83d)), ("", Some(0xde00)), ("", None)]),
            ),
            (b"plain", None),
            (b"\xed\xa0", None),
            (b"\xed\xa0\x80\xff", None),
            (b"\xff\xed\xa0\x80", None),
        ];
        for (bytes, expected) in cases {
            let text = SurrogateText::from_bytes(bytes.to_vec());
            let pieces = text.as_ref().map(|text| text.pieces().collect::<Vec<_>>());
            assert_eq!(pieces.as_deref(), expected, "{}", bytes.escape_ascii());
        }
        let mut text = SurrogateText::begin("é".into(), 0xd800);
        text.push_str("x");
        text.push_surrogate(0xdfff);
        assert_eq!(text.as_bytes(), b"\xc3\xa9\xed\xa0\x80x\xed\xbf\xbf");
    }
}
