//! What is inside of an X.509 certificate, as far as the stricter library does not look.
//!
//! ```text
//! Certificate    SEQUENCE { TBSCertificate, algorithm, signature BIT STRING }
//! TBSCertificate SEQUENCE { [0] version?, serial, algorithm, issuer, validity, subject,
//!                           SubjectPublicKeyInfo, [1]?, [2]?, [3] SEQUENCE OF Extension? }
//! Extension      SEQUENCE { OBJECT IDENTIFIER, critical BOOLEAN?, OCTET STRING }
//! ```
//!
//! Owns the parts of certificates of X.509 version 1, the common name of those without alternative
//! names, and which ones may issue others: OpenSSL's one-liners make all kinds, and Python takes
//! them. Whom to accept for it is not decided here.

const BOOLEAN: u8 = 0x01;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const EXPLICIT_VERSION: u8 = 0xa0;
const EXPLICIT_EXTENSIONS: u8 = 0xa3;

const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x1e];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];

/// Of the key usages' bits: may sign certificates.
const SIGN_CERTIFICATES: u8 = 0x04;

/// The parts of a certificate that are of use here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    /// All that the issuer has signed.
    pub(super) signed: &'a [u8],
    /// What the signature was made with, in both places that say so.
    pub(super) algorithms: [&'a [u8]; 2],
    pub(super) signature: &'a [u8],
    /// X.509 version 1: without a version, and without extensions.
    pub(super) is_version_1: bool,
    pub(super) issuer: &'a [u8],
    pub(super) subject: &'a [u8],
    /// Not valid before this, nor after that, as the certificate has them.
    pub(super) validity: [&'a [u8]; 2],
    /// The whole SubjectPublicKeyInfo.
    pub(super) public_key: &'a [u8],
    /// The subject's common name.
    pub(super) common_name: Option<&'a str>,
    /// Whether it names the hosts that it is for.
    pub(super) has_alternative_names: bool,
    pub(super) issuing: Issuing,
}

/// Whether a certificate may issue others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Issuing {
    /// By what it says of itself, or because nothing could be said yet (version 1).
    Any,
    /// Only some, by limits that are the stricter library's to look at.
    Limited,
    Not,
}

/// Takes a certificate apart; `None` where it is none.
pub(super) fn parts(der: &[u8]) -> Option<Parts<'_>> {
    let mut outer = Items(item(der)?.0.content(SEQUENCE)?);
    let tbs = outer.next()?;
    let signed_with = outer.next()?.content(SEQUENCE)?;
    // Whole bytes only: no signature has bits left over.
    let signature = outer.next()?.content(BIT_STRING)?.strip_prefix(&[0])?;

    let mut inner = Items(tbs.content(SEQUENCE)?);
    let mut serial = inner.next()?;
    let is_version_1 = serial.tag != EXPLICIT_VERSION;
    if !is_version_1 {
        serial = inner.next()?;
    }
    let _ = serial;
    let to_sign_with = inner.next()?.content(SEQUENCE)?;
    let issuer = inner.next()?;
    let mut validity = Items(inner.next()?.content(SEQUENCE)?);
    let subject = inner.next()?;
    let public_key = inner.next()?;
    let further: Vec<Item<'_>> = inner.by_ref().collect();
    if !inner.0.is_empty() || !outer.0.is_empty() {
        return None;
    }
    let extensions = match further.iter().find(|item| item.tag == EXPLICIT_EXTENSIONS) {
        None => Vec::new(),
        Some(explicit) => extensions(explicit.content)?,
    };
    Some(Parts {
        signed: tbs.whole,
        algorithms: [to_sign_with, signed_with],
        signature,
        is_version_1: is_version_1 && further.is_empty(),
        issuer: issuer.whole,
        subject: subject.whole,
        validity: [validity.next()?.whole, validity.next()?.whole],
        public_key: public_key.whole,
        common_name: common_name(subject.content(SEQUENCE)?),
        has_alternative_names: extensions.iter().any(|found| found.id == ALTERNATIVE_NAMES),
        issuing: issuing(is_version_1, &extensions),
    })
}

/// A key's algorithm, and the key itself, of a whole SubjectPublicKeyInfo.
pub(super) fn key(public_key: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut parts = Items(item(public_key)?.0.content(SEQUENCE)?);
    let algorithm = parts.next()?.content(SEQUENCE)?;
    Some((algorithm, parts.next()?.content(BIT_STRING)?.strip_prefix(&[0])?))
}

struct Extension<'a> {
    id: &'a [u8],
    is_critical: bool,
    value: &'a [u8],
}

fn extensions(explicit: &[u8]) -> Option<Vec<Extension<'_>>> {
    let mut list = Items(item(explicit)?.0.content(SEQUENCE)?);
    let found = list.by_ref().map(|extension| {
        let mut parts = Items(extension.content(SEQUENCE)?);
        let id = parts.next()?.content(OBJECT_IDENTIFIER)?;
        let mut value = parts.next()?;
        let mut is_critical = false;
        if value.tag == BOOLEAN {
            is_critical = value.content != [0];
            value = parts.next()?;
        }
        Some(Extension { id, is_critical, value: value.content(OCTET_STRING)? })
    });
    let found = found.collect::<Option<Vec<_>>>()?;
    list.0.is_empty().then_some(found)
}

/// As OpenSSL, and so Python, has it: who says nothing of itself may issue nothing, but for those
/// of version 1, which cannot say.
fn issuing(is_version_1: bool, extensions: &[Extension<'_>]) -> Issuing {
    let value = |id| extensions.iter().find(|found| found.id == id).map(|found| found.value);
    let may_sign = value(KEY_USAGE).map(|usage| {
        let bits = item(usage).and_then(|(bits, _)| bits.content(BIT_STRING));
        // Behind the number of bits that are not used.
        bits.and_then(|bits| bits.get(1)).is_some_and(|bits| bits & SIGN_CERTIFICATES != 0)
    });
    let is_authority = value(BASIC_CONSTRAINTS).map(|constraints| {
        let content = item(constraints).and_then(|(list, _)| list.content(SEQUENCE));
        content
            .and_then(|content| item(content))
            .is_some_and(|(first, _)| first.tag == BOOLEAN && first.content != [0])
    });
    let known = [KEY_USAGE, BASIC_CONSTRAINTS];
    let limits = |found: &Extension<'_>| {
        let limiting = found.id == NAME_CONSTRAINTS || found.id == EXTENDED_KEY_USAGE;
        limiting || found.is_critical && !known.contains(&found.id)
    };
    match (is_authority, may_sign) {
        (Some(false), _) | (_, Some(false)) => Issuing::Not,
        (None, None) if !is_version_1 => Issuing::Not,
        _ if extensions.iter().any(limits) => Issuing::Limited,
        _ => Issuing::Any,
    }
}

/// The name in a sequence of sets of (attribute, value).
fn common_name(names: &[u8]) -> Option<&str> {
    let mut found = None;
    for set in Items(names) {
        let Some((pair, _)) = item(set.content) else { continue };
        let mut pair = Items(pair.content);
        if let (Some(attribute), Some(text)) = (pair.next(), pair.next())
            && attribute.content(OBJECT_IDENTIFIER) == Some(COMMON_NAME)
        {
            found = std::str::from_utf8(text.content).ok();
        }
    }
    found
}

/// One element of DER.
#[derive(Clone, Copy)]
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

/// Elements one behind the other; what is none ends them.
struct Items<'a>(&'a [u8]);

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        let (found, behind) = item(self.0)?;
        self.0 = behind;
        Some(found)
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

    #[test]
    fn who_may_issue_certificates() {
        let extension = |id, value| Extension { id, is_critical: true, value };
        let authority = || extension(BASIC_CONSTRAINTS, b"\x30\x03\x01\x01\xff");
        let no_authority = || extension(BASIC_CONSTRAINTS, b"\x30\x00");
        let signs = || extension(KEY_USAGE, b"\x03\x02\x01\x06");
        let signs_not = || extension(KEY_USAGE, b"\x03\x02\x07\x80");
        let names = || extension(NAME_CONSTRAINTS, b"\x30\x00");
        let cases = [
            (true, vec![], Issuing::Any),
            (false, vec![], Issuing::Not),
            (false, vec![authority()], Issuing::Any),
            (false, vec![authority(), signs()], Issuing::Any),
            (false, vec![signs()], Issuing::Any),
            (false, vec![authority(), signs_not()], Issuing::Not),
            (false, vec![no_authority()], Issuing::Not),
            (false, vec![no_authority(), signs()], Issuing::Not),
            (false, vec![extension(BASIC_CONSTRAINTS, b"nonsense")], Issuing::Not),
            (false, vec![authority(), names()], Issuing::Limited),
            (false, vec![authority(), extension(b"what is it", b"")], Issuing::Limited),
        ];
        for (number, (is_version_1, extensions, expected)) in cases.into_iter().enumerate() {
            assert_eq!(issuing(is_version_1, &extensions), expected, "case {number}");
        }
    }
}
