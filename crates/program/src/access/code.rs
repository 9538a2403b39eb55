//! Login codes: 128 bits of secret, and the pin of the lab's authority.
//!
//! A code is read out, mailed or pasted, and is good for one login. It never travels through the
//! nameserver's port: both ends make keys from its secret, and prove with these that they know it.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

/// Bytes of the secret.
const SECRET_BYTES: usize = 16;
/// Bytes of the pin: the beginning of the SHA-256 of the authority's certificate.
pub(super) const PIN_BYTES: usize = 16;
/// Bytes of HMAC's key for SHA-256.
const HMAC_KEY_BYTES: usize = 64;
/// Bytes of a SHA-256.
const DIGEST_BYTES: usize = 32;
/// Digits of a code: no `i`, `l`, `o` and `u`, which are read as others.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A login code.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct LoginCode {
    secret: [u8; SECRET_BYTES],
    pin: [u8; PIN_BYTES],
}

/// The keys of a code, in hexadecimal digits.
#[derive(Clone)]
pub(crate) struct CodeKeys {
    /// The public part, by which a client names the code.
    pub(super) id: String,
    /// The key of both ends' proofs.
    pub(super) key: String,
}

impl LoginCode {
    /// A new code, for a lab whose authority has this pin.
    ///
    /// # Errors
    /// The system has no randomness.
    pub(crate) fn new(pin: [u8; PIN_BYTES]) -> Result<Self, getrandom::Error> {
        let mut secret = [0; SECRET_BYTES];
        getrandom::fill(&mut secret)?;
        Ok(LoginCode { secret, pin })
    }

    /// Reads a code; `None` if `text` is not one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut bytes = Vec::new();
        let (mut bits, mut count) = (0_u32, 0);
        for letter in text.bytes().filter(|letter| !b"- ".contains(letter)) {
            let letter = match letter.to_ascii_lowercase() {
                b'o' => b'0',
                b'i' | b'l' => b'1',
                other => other,
            };
            let digit = DIGITS.iter().position(|known| *known == letter)?;
            bits = bits << 5 | u32::try_from(digit).ok()?;
            count += 5;
            if count >= 8 {
                count -= 8;
                bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
            }
        }
        let (secret, pin) = bytes.split_at_checked(SECRET_BYTES)?;
        Some(LoginCode { secret: secret.try_into().ok()?, pin: pin.try_into().ok()? })
    }

    /// Whether the certificate with this SHA-256 is that of the authority of the code's lab.
    pub(crate) fn is_of(&self, authority: &[u8; 32]) -> bool {
        self.pin == pin_of(authority)
    }

    pub(crate) fn keys(&self) -> CodeKeys {
        let derived = |purpose: &[u8]| {
            hex(&Sha256::new_with_prefix(purpose).chain_update(self.secret).finalize())
        };
        let mut id = derived(b"ferrolab login code id");
        id.truncate(2 * SECRET_BYTES);
        CodeKeys { id, key: derived(b"ferrolab login code key") }
    }
}

impl fmt::Display for LoginCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut bits, mut count) = (0_u32, 0);
        let mut digit = |bits: u32| -> fmt::Result {
            let digit = DIGITS.get(usize::try_from(bits & 31).unwrap_or_default());
            write!(f, "{}", char::from(*digit.unwrap_or(&b'0')))
        };
        for byte in self.secret.iter().chain(&self.pin) {
            bits = bits << 8 | u32::from(*byte);
            count += 8;
            while count >= 5 {
                count -= 5;
                digit(bits >> count)?;
            }
        }
        if count > 0 { digit(bits << (5 - count)) } else { Ok(()) }
    }
}

impl fmt::Debug for LoginCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginCode(..)")
    }
}

impl CodeKeys {
    /// The proof of knowing the code, over the parts of a message. Each part has its length before
    /// it, so that no two messages have the same bytes.
    pub(super) fn proof(&self, parts: &[&str]) -> String {
        hex(&self.mac(parts).finalize().into_bytes())
    }

    /// Whether `proof` is the one over these parts, in constant time.
    pub(super) fn is_proof(&self, proof: &str, parts: &[&str]) -> bool {
        from_hex(proof).is_some_and(|proof| self.mac(parts).verify_slice(&proof).is_ok())
    }

    fn mac(&self, parts: &[&str]) -> Hmac<Sha256> {
        // HMAC fills a shorter key with zeros.
        let mut key = [0; HMAC_KEY_BYTES];
        let (begin, _) = key.split_at_mut(DIGEST_BYTES);
        begin.copy_from_slice(&Sha256::digest(self.key.as_bytes()));
        let mut mac = <Hmac<Sha256> as Mac>::new(&key.into());
        for part in parts {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac
    }
}

/// The pin of an authority by the SHA-256 of its certificate.
pub(crate) fn pin_of(authority: &[u8; 32]) -> [u8; PIN_BYTES] {
    let mut pin = [0; PIN_BYTES];
    for (pin, byte) in pin.iter_mut().zip(authority) {
        *pin = *byte;
    }
    pin
}

/// Hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    text.len().is_multiple_of(2).then(|| digits.map(byte).collect())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_it_was_printed_and_as_people_write_it() {
        let code = LoginCode::new(pin_of(&[7; 32])).unwrap();
        let text = code.to_string();
        assert_eq!(text.len(), 52);
        let spaced = format!("{} {}-{}", &text[..10], &text[10..20].to_uppercase(), &text[20..]);
        for written in [text.clone(), spaced, text.replace('0', "o").replace('1', "L")] {
            assert_eq!(LoginCode::parse(&written), Some(code.clone()), "{written}");
        }
        for wrong in
            ["", "k7q2", &text[1..], &format!("{text}0000"), &text.replace(&text[..1], "ü")]
        {
            assert_eq!(LoginCode::parse(wrong), None, "{wrong}");
        }
        assert!(code.is_of(&[7; 32]) && !code.is_of(&[8; 32]));
        assert_eq!(format!("{code:?}"), "LoginCode(..)");
    }

    #[test]
    fn a_proof_is_of_one_code_and_of_one_message() {
        let keys = LoginCode::new([0; PIN_BYTES]).unwrap().keys();
        let proof = keys.proof(&["ab", "c"]);
        assert!(keys.is_proof(&proof, &["ab", "c"]));
        let other = LoginCode::new([0; PIN_BYTES]).unwrap().keys();
        assert_ne!(keys.id, other.id);
        assert!(!other.is_proof(&proof, &["ab", "c"]));
        for parts in [&["a", "bc"][..], &["abc"], &["ab", "c", ""], &[]] {
            assert!(!keys.is_proof(&proof, parts));
        }
        for wrong in ["", "0", "zz", &proof[2..]] {
            assert!(!keys.is_proof(wrong, &["ab", "c"]), "{wrong}");
        }
    }
}
