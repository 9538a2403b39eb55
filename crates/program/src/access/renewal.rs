//! Renewal of a login's certificate before it ends: the messages, and what the lab does.
//!
//! The client has the token of its login, and the lab the token's hash. Both make keys from the
//! hash and prove with these who they are, as at a [login](super::enroll): nothing secret travels,
//! and neither TLS nor a certificate that is still good is needed. The private key stays, so that
//! only one file of the client changes.
//!
//! A request that is replayed, or repeated because its answer was lost, gets the certificate that
//! was issued for the first one. Another one, for the same key, is issued after a day at the
//! earliest.

use jiff::{SignedDuration, Timestamp};
use remote::Value;
use sha2::{Digest, Sha256};

use super::code::{CodeKeys, hex};
use super::messages::{dict, text};
use super::users::{Login, Users};

/// Time that a certificate must have been in use before it is renewed.
const BETWEEN_RENEWALS: SignedDuration = SignedDuration::from_hours(24);
/// Bytes of a nonce.
const NONCE_BYTES: usize = 16;

/// A client's request for another certificate for its key.
#[derive(Clone, Debug)]
pub(super) struct RenewalRequest {
    /// The public name of the login, made from the hash of its token.
    pub(super) login: String,
    nonce: String,
    /// The certificate that is to be renewed, in PEM. It may have expired.
    pub(super) certificate: String,
    proof: String,
}

/// The lab's answer to it.
#[derive(Clone, Debug)]
pub(super) struct RenewalAnswer {
    /// The new certificate, in PEM.
    pub(super) certificate: String,
    /// The end of its time, in RFC 3339.
    pub(super) until: String,
    pub(super) proof: String,
}

/// The keys of both ends for the login with this hash of a token, in hexadecimal digits.
pub(super) fn keys_of(token: &str) -> CodeKeys {
    let derived = |purpose: &str| hex(&Sha256::digest(format!("{purpose}{token}")));
    let mut id = derived("ferrolab login id ");
    id.truncate(2 * NONCE_BYTES);
    CodeKeys { id, key: derived("ferrolab login key ") }
}

impl RenewalRequest {
    /// A request with its proof.
    ///
    /// # Errors
    /// The system has no randomness.
    pub(super) fn new(keys: &CodeKeys, certificate: String) -> Result<Self, getrandom::Error> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce)?;
        let (login, nonce, proof) = (keys.id.clone(), hex(&nonce), String::new());
        let request = RenewalRequest { login, nonce, certificate, proof };
        let proof = keys.proof(&request.parts());
        Ok(RenewalRequest { proof, ..request })
    }

    fn parts(&self) -> [&str; 4] {
        ["ferrolab renewal request", &self.login, &self.nonce, &self.certificate]
    }

    /// Whether a client made it that knows the login's token.
    pub(super) fn is_proven(&self, keys: &CodeKeys) -> bool {
        keys.is_proof(&self.proof, &self.parts())
    }

    pub(super) fn to_value(&self) -> Value {
        let RenewalRequest { login, nonce, certificate, proof } = self;
        dict([("login", login), ("nonce", nonce), ("certificate", certificate), ("proof", proof)])
    }

    /// Reads a request; `None` if `value` is not one.
    pub(super) fn from_value(value: &Value) -> Option<Self> {
        let (login, nonce) = (text(value, "login")?, text(value, "nonce")?);
        let (certificate, proof) = (text(value, "certificate")?, text(value, "proof")?);
        Some(RenewalRequest { login, nonce, certificate, proof })
    }
}

impl RenewalAnswer {
    /// The answer to `request` with this certificate of its login, and its proof.
    pub(super) fn of(login: &Login, certificate: String, request: &RenewalRequest) -> Self {
        let (until, proof) = (login.until.to_string(), String::new());
        let answer = RenewalAnswer { certificate, until, proof };
        let proof = keys_of(&login.token).proof(&answer.parts(request));
        RenewalAnswer { proof, ..answer }
    }

    fn parts<'a>(&'a self, request: &'a RenewalRequest) -> [&'a str; 4] {
        ["ferrolab renewal answer", &request.proof, &self.certificate, &self.until]
    }

    /// Whether it answers `request`, and comes from the lab of the login.
    pub(super) fn is_proven(&self, keys: &CodeKeys, request: &RenewalRequest) -> bool {
        keys.is_proof(&self.proof, &self.parts(request))
    }

    pub(super) fn to_value(&self) -> Value {
        let RenewalAnswer { certificate, until, proof } = self;
        dict([("certificate", certificate), ("until", until), ("proof", proof)])
    }

    /// Reads an answer; `None` if `value` is not one.
    pub(super) fn from_value(value: &Value) -> Option<Self> {
        let (certificate, until) = (text(value, "certificate")?, text(value, "until")?);
        Some(RenewalAnswer { certificate, until, proof: text(value, "proof")? })
    }
}

/// The user and the login of a request.
pub(super) enum Found<'a> {
    /// The login is to have another certificate.
    Due(&'a str, &'a mut Login),
    /// It was renewed within the last day: the answer once more.
    Renewed(&'a str, RenewalAnswer),
}

/// Why a certificate is not renewed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotRenewed {
    /// The login is not known: its user was removed, or has logged in anew.
    UnknownLogin,
    /// The certificate is not the login's.
    OtherCertificate,
    /// It was issued within the last day, at the login itself.
    TooEarly,
}

/// The login of a request, if `days` are what a new certificate lasts.
///
/// # Errors
/// The certificate is not to be renewed.
pub(super) fn find<'a>(
    users: &'a mut Users,
    request: &RenewalRequest,
    certificate: &[u8],
    days: i32,
) -> Result<Found<'a>, NotRenewed> {
    let logins = users.users.iter_mut().flat_map(|(name, user)| {
        let name = name.as_str();
        user.logins.iter_mut().map(move |login| (name, login))
    });
    let mut of_machines = logins.filter(|(_, login)| !login.is_browser);
    let found = of_machines.find(|(_, login)| keys_of(&login.token).id == request.login);
    let (user, login) = found.ok_or(NotRenewed::UnknownLogin)?;
    if !request.is_proven(&keys_of(&login.token)) {
        return Err(NotRenewed::UnknownLogin);
    }
    let is_its_key = || {
        let key = remote::certificate_key(certificate).map(|key| hex(&Sha256::digest(key)));
        login.key.is_some() && login.key == key.ok()
    };
    if login.certificate != hex(&Sha256::digest(certificate)) && !is_its_key() {
        return Err(NotRenewed::OtherCertificate);
    }
    let lifetime = SignedDuration::from_hours(24 * i64::from(days));
    if login.until.duration_since(Timestamp::now()) > lifetime - BETWEEN_RENEWALS {
        let renewed = login.renewed.clone().ok_or(NotRenewed::TooEarly)?;
        return Ok(Found::Renewed(user, RenewalAnswer::of(login, renewed, request)));
    }
    Ok(Found::Due(user, login))
}
