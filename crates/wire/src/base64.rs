//! Base64, standard alphabet with padding, as serpent's `bytes` dicts have it.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const INVALID: u8 = 0xff;

static VALUES: [u8; 256] = values();

/// Appends the base64 of `data`.
pub(crate) fn encode(data: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + data.len().div_ceil(3) * 4, b'=');
    let (quads, _) = out.get_mut(start..).unwrap_or_default().as_chunks_mut::<4>();
    let (triples, rest) = data.as_chunks::<3>();
    for (quad, [a, b, c]) in quads.iter_mut().zip(triples) {
        *quad = letters(*a, *b, *c);
    }
    let last = match *rest {
        [a] => letters(a, 0, 0),
        [a, b] => letters(a, b, 0),
        _ => return,
    };
    // One byte makes two letters, two bytes make three; padding follows.
    if let Some(quad) = quads.last_mut() {
        quad.iter_mut().zip(last).take(rest.len() + 1).for_each(|(place, letter)| *place = letter);
    }
}

/// The data of a base64 text; characters outside the alphabet are skipped, as Python does.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for (at, &letter) in text.iter().enumerate() {
        let value = value_of(letter);
        if value == INVALID {
            // Padding that completes a group ends the data.
            let padded = letter == b'=' && (count == 3 || count == 2 && pad_follows(text, at));
            if padded {
                break;
            }
            continue;
        }
        bits = bits << 6 | u32::from(value);
        count += 1;
        if count == 4 {
            let [_, a, b, c] = bits.to_be_bytes();
            out.extend_from_slice(&[a, b, c]);
            (bits, count) = (0, 0);
        }
    }
    match count {
        0 => {}
        2 => out.push((bits >> 4) as u8),
        3 => out.extend_from_slice(&[(bits >> 10) as u8, (bits >> 2) as u8]),
        _ => return None,
    }
    Some(out)
}

fn pad_follows(text: &[u8], at: usize) -> bool {
    text.get(at + 1..).unwrap_or_default().contains(&b'=')
}

fn letters(a: u8, b: u8, c: u8) -> [u8; 4] {
    let bits = u32::from_be_bytes([0, a, b, c]);
    [18, 12, 6, 0]
        .map(|shift| ALPHABET.get((bits >> shift & 0x3f) as usize).copied().unwrap_or_default())
}

fn value_of(letter: u8) -> u8 {
    VALUES.get(usize::from(letter)).copied().unwrap_or(INVALID)
}

const fn values() -> [u8; 256] {
    let mut values = [INVALID; 256];
    let mut value = 0;
    while value < 64 {
        values[ALPHABET[value as usize] as usize] = value;
        value += 1;
    }
    values
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
