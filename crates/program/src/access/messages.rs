//! The two messages of a login: dicts of texts, each with a proof over all of them.
//!
//! [`enroll`](super::enroll) says why they prove what they do.

use remote::{Dict, Value};

use super::code::{CodeKeys, hex};

/// Bytes of the longest text in a message: certificates and signing requests have about 1 KiB.
const MAX_TEXT_BYTES: usize = 16 * 1024;
/// Bytes of a nonce.
const NONCE_BYTES: usize = 16;

/// A client's request for a login.
#[derive(Clone, Debug)]
pub(super) struct LoginRequest {
    /// The public part of the code.
    pub(super) code: String,
    pub(super) nonce: String,
    /// A certificate signing request, in PEM.
    pub(super) signing_request: String,
    /// SHA-256 of the client's token, in hexadecimal digits.
    pub(super) token: String,
    pub(super) proof: String,
}

/// The lab's answer to it.
#[derive(Clone, Debug)]
pub(super) struct LoginAnswer {
    pub(super) user: String,
    /// The id of the lab.
    pub(super) lab: String,
    /// The authority's certificate, in PEM.
    pub(super) authority: String,
    /// The client's certificate, in PEM.
    pub(super) certificate: String,
    /// The end of the certificate's time, in RFC 3339.
    pub(super) until: String,
    pub(super) proof: String,
}

impl LoginRequest {
    /// A request with its proof.
    ///
    /// # Errors
    /// The system has no randomness.
    pub(super) fn new(
        keys: &CodeKeys,
        signing_request: String,
        token: String,
    ) -> Result<Self, getrandom::Error> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce)?;
        let (code, nonce) = (keys.id.clone(), hex(&nonce));
        let request = LoginRequest { code, nonce, signing_request, token, proof: String::new() };
        let proof = keys.proof(&request.parts());
        Ok(LoginRequest { proof, ..request })
    }

    fn parts(&self) -> [&str; 5] {
        let LoginRequest { code, nonce, signing_request, token, .. } = self;
        ["ferrolab login request", code, nonce, signing_request, token]
    }

    /// Whether a client made it that knows the code.
    pub(super) fn is_proven(&self, keys: &CodeKeys) -> bool {
        keys.is_proof(&self.proof, &self.parts())
    }

    pub(super) fn to_value(&self) -> Value {
        dict([
            ("code", &self.code),
            ("nonce", &self.nonce),
            ("signing_request", &self.signing_request),
            ("token", &self.token),
            ("proof", &self.proof),
        ])
    }

    /// Reads a request; `None` if `value` is not one.
    pub(super) fn from_value(value: &Value) -> Option<Self> {
        Some(LoginRequest {
            code: text(value, "code")?,
            nonce: text(value, "nonce")?,
            signing_request: text(value, "signing_request")?,
            token: text(value, "token")?,
            proof: text(value, "proof")?,
        })
    }
}

impl LoginAnswer {
    /// The same, with its proof: that it answers `request`, and comes from who knows the code.
    pub(super) fn proven(self, keys: &CodeKeys, request: &LoginRequest) -> Self {
        let proof = keys.proof(&self.parts(request));
        LoginAnswer { proof, ..self }
    }

    fn parts<'a>(&'a self, request: &'a LoginRequest) -> [&'a str; 7] {
        let LoginAnswer { user, lab, authority, certificate, until, .. } = self;
        ["ferrolab login answer", &request.proof, user, lab, authority, certificate, until]
    }

    /// Whether it answers `request`, and comes from who knows the code.
    pub(super) fn is_proven(&self, keys: &CodeKeys, request: &LoginRequest) -> bool {
        keys.is_proof(&self.proof, &self.parts(request))
    }

    pub(super) fn to_value(&self) -> Value {
        dict([
            ("user", &self.user),
            ("lab", &self.lab),
            ("authority", &self.authority),
            ("certificate", &self.certificate),
            ("until", &self.until),
            ("proof", &self.proof),
        ])
    }

    /// Reads an answer; `None` if `value` is not one.
    pub(super) fn from_value(value: &Value) -> Option<Self> {
        Some(LoginAnswer {
            user: text(value, "user")?,
            lab: text(value, "lab")?,
            authority: text(value, "authority")?,
            certificate: text(value, "certificate")?,
            until: text(value, "until")?,
            proof: text(value, "proof")?,
        })
    }
}

pub(super) fn dict<const N: usize>(entries: [(&str, &String); N]) -> Value {
    let mut dict = Dict::with_capacity(N);
    for (name, text) in entries {
        dict.insert(name, text.as_str());
    }
    Value::Dict(dict)
}

pub(super) fn text(value: &Value, name: &str) -> Option<String> {
    let Value::Dict(dict) = value else { return None };
    let text = dict.get(name)?.as_str()?;
    (text.len() <= MAX_TEXT_BYTES).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::code::{LoginCode, PIN_BYTES};

    #[test]
    fn a_changed_message_is_not_proven() {
        let keys = LoginCode::new([7; PIN_BYTES]).unwrap().keys();
        let request = LoginRequest::new(&keys, "csr".into(), "token".into()).unwrap();
        let texts = ["ada", "lab", "authority", "certificate", "until"].map(str::to_owned);
        let [user, lab, authority, certificate, until] = texts;
        let proof = String::new();
        let answer = LoginAnswer { user, lab, authority, certificate, until, proof };
        let answer = answer.proven(&keys, &request);
        let other = LoginRequest::new(&keys, "csr".into(), "token".into()).unwrap();
        assert!(!answer.is_proven(&keys, &other), "it answers another request");
        for message in [request.to_value(), answer.to_value()] {
            let is_proven = |value: &Value| match LoginRequest::from_value(value) {
                Some(request) => request.is_proven(&keys),
                None => LoginAnswer::from_value(value).unwrap().is_proven(&keys, &request),
            };
            assert!(is_proven(&message));
            let Value::Dict(dict) = &message else { panic!("a dict") };
            for (name, _) in dict.iter() {
                let mut changed = dict.clone();
                changed.insert(name.as_str().unwrap(), "other");
                assert!(!is_proven(&Value::Dict(changed)), "{name}");
            }
        }
        let mut long = Dict::with_capacity(1);
        long.insert("code", "x".repeat(MAX_TEXT_BYTES + 1));
        for wrong in [Value::None, Value::Dict(Dict::with_capacity(0)), Value::Dict(long)] {
            assert!(LoginRequest::from_value(&wrong).is_none());
        }
    }
}
