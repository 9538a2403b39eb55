//! Whole numbers and texts as bytes: little-endian words, and numbers of as many bytes as needed.

/// Appends a number in groups of seven bits, the lowest first.
pub(crate) fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Appends a number that may be negative: small ones need few bytes, of either sign.
pub(crate) fn put_signed(bytes: &mut Vec<u8>, number: i64) {
    put_number(bytes, (number.wrapping_shl(1) ^ (number >> 63)).cast_unsigned());
}

/// Appends a text after its length.
pub(crate) fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_number(bytes, text.len() as u64);
    bytes.extend_from_slice(text.as_bytes());
}

/// Reader of what the functions above write. `None` from any of its methods means that the bytes
/// are not what they should be.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    pub(crate) fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    /// A length or a count, of which each unit takes at least one of the bytes that follow.
    pub(crate) fn length(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok().filter(|length| *length <= self.0.len())
    }

    pub(crate) fn slice(&mut self, length: usize) -> Option<&'a [u8]> {
        let (slice, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(slice)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let length = self.length()?;
        str::from_utf8(self.slice(length)?).ok()
    }

    pub(crate) fn word(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.slice(8)?.try_into().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_hostile_bytes_are_refused() {
        for number in [0, 1, -1, 63, -64, 64, 1_000_000, i64::MAX, i64::MIN] {
            let mut bytes = Vec::new();
            put_signed(&mut bytes, number);
            assert_eq!(Reader(&bytes).signed(), Some(number));
            assert_eq!(Reader(&bytes[..bytes.len() - 1]).signed(), None);
        }
        let mut bytes = Vec::new();
        put_text(&mut bytes, "blue");
        assert_eq!(Reader(&bytes).text(), Some("blue"));
        for hostile in [&[0xff_u8; 12][..], &[5, b'a'], &[1, 0xff], &[0xff, 0xff, 0xff, 0x7f]] {
            assert_eq!(Reader(hostile).text(), None, "{hostile:?}");
        }
    }
}
