//! What is inside of an X.509 certificate, as far as the stricter library does not look.
//!
//! ```text
//! Certificate    SEQUENCE { TBSCertificate, algorithm, signature }
//! TBSCertificate SEQUENCE { [0] version?, serial, algorithm, issuer, validity, subject,
//!                           SubjectPublicKeyInfo, ..., [3] extensions? }
//! ```
//!
//! Owns the public key of certificates of X.509 version 1, and the common name of those without
//! alternative names: OpenSSL's one-liners make both, and Python takes both.

const SEQUENCE: u8 = 0x30;
const EXPLICIT_VERSION: u8 = 0xa0;
const EXPLICIT_EXTENSIONS: u8 = 0xa3;
const COMMON_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x03];
const ALTERNATIVE_NAMES: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x11];

/// The parts of a certificate that are of use here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    /// The whole SubjectPublicKeyInfo.
    pub(super) public_key: &'a [u8],
    /// The subject's common name.
    pub(super) common_name: Option<&'a str>,
    /// Whether it names the hosts that it is for.
    pub(super) has_alternative_names: bool,
}

/// Takes a certificate apart; `None` where it is none.
pub(super) fn parts(der: &[u8]) -> Option<Parts<'_>> {
    let (certificate, _) = item(der)?;
    let (tbs, _) = item(certificate.content(SEQUENCE)?)?;
    let mut rest = tbs.content(SEQUENCE)?;
    let mut next = || -> Option<Item<'_>> {
        let (found, behind) = item(rest)?;
        rest = behind;
        Some(found)
    };
    let first = next()?;
    if first.tag == EXPLICIT_VERSION {
        next()?; // the serial number
    }
    let (_algorithm, _issuer, _validity) = (next()?, next()?, next()?);
    let subject = next()?;
    let public_key = next()?;
    let mut has_alternative_names = false;
    while let Some(further) = next() {
        has_alternative_names |=
            further.tag == EXPLICIT_EXTENSIONS && contains(further.content, ALTERNATIVE_NAMES);
    }
    Some(Parts {
        public_key: public_key.whole,
        common_name: common_name(subject.content(SEQUENCE)?),
        has_alternative_names,
    })
}

/// The name in a sequence of sets of (attribute, value).
fn common_name(mut names: &[u8]) -> Option<&str> {
    let mut found = None;
    while let Some((set, rest)) = item(names) {
        names = rest;
        let Some((pair, _)) = item(set.content) else { continue };
        if let Some(value) = pair.content.strip_prefix(COMMON_NAME)
            && let Some((text, _)) = item(value)
        {
            found = std::str::from_utf8(text.content).ok();
        }
    }
    found
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// One element of DER.
struct Item<'a> {
    tag: u8,
    content: &'a [u8],
    whole: &'a [u8],
}

impl<'a> Item<'a> {
    fn content(&self, tag: u8) -> Option<&'a [u8]> {
        (self.tag == tag).then_some(self.content)
    }
}

/// The first element of `bytes`, and what is behind it.
fn item(bytes: &[u8]) -> Option<(Item<'_>, &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first >= 0x80 {
        // No certificate is longer than three bytes can say.
        let digits = usize::from(first & 0x7f);
        if !(1..=3).contains(&digits) {
            return None;
        }
        let (bytes, behind) = rest.split_at_checked(digits)?;
        length = bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        rest = behind;
    }
    let (content, behind) = rest.split_at_checked(length)?;
    let whole = bytes.get(..bytes.len() - behind.len())?;
    Some((Item { tag, content, whole }, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_has_no_parts() {
        for bytes in [&b""[..], b"\x30", b"\x30\x80", b"\x30\x03\x30\x01\x02", b"\x30\x84aaaa"] {
            assert_eq!(parts(bytes), None, "{bytes:?}");
        }
    }
}
