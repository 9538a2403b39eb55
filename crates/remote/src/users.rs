//! Users of a daemon, by the credentials that their clients show: tokens and certificates.
//!
//! A credential is judged when a client connects, and again when users have changed: then the
//! connections of removed ones end.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;
use wire::value::Value;

use crate::tls::ClientCertificate;
use crate::token::TokenHash;

/// The entry of a handshake by which its client acts for a user on another host.
pub const ELSEWHERE: &str = "elsewhere";
/// The handshake data of a Pyro5 client that has set none.
const NO_TOKEN: &str = "hello";

/// Proof of an identity, as a daemon keeps it: from this nobody can make the proof itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// The hash of a token in the handshake.
    Token(TokenHash),
    /// A client certificate that TLS has verified.
    Certificate(ClientCertificate),
}

/// The judgement on a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is this user's.
    User(Arc<str>),
    /// It is no credential of these users: handshake data for a driver, or a certificate of another
    /// authority.
    Foreign,
    /// It is not accepted, or not any longer; the reason is for the client.
    Refused(String),
}

/// The users that a daemon knows. Called when a client connects, so it must not block.
pub trait UserDirectory: Send + Sync {
    /// Whether a text in a handshake is a token.
    fn has_tokens(&self) -> bool;

    /// The groups of a user.
    fn groups_of(&self, _user: &str) -> Vec<String> {
        Vec::new()
    }

    /// Judges a credential, by the users as they are now.
    fn judge(&self, credential: &Credential) -> Verdict;
}

/// The token in the data of a handshake: a text, or the entry `token` of a dict.
pub(crate) fn token_in(data: &Value) -> Option<&str> {
    let text = match data {
        Value::Str(text) => text,
        Value::Dict(data) => data.get("token")?.as_str()?,
        _ => return None,
    };
    (!text.is_empty() && text != NO_TOKEN).then_some(text)
}

/// Whether the client of a handshake acts for the user of its token, whatever certificate it shows:
/// the page has that of its host.
pub(crate) fn acts_for_user(data: &Value) -> bool {
    data.as_dict().is_some_and(|data| data.get(ELSEWHERE).is_some())
}

/// Whether the client of a handshake acts for a user on another host: the page does. It can only
/// give rights away by that.
pub(crate) fn is_for_other_host(data: &Value) -> bool {
    let said = data.as_dict().and_then(|data| data.get(ELSEWHERE));
    said.and_then(Value::as_bool) == Some(true)
}

/// The data of a handshake without its token, which drivers and logs must not see.
pub(crate) fn without_token(data: Value) -> Value {
    match data {
        Value::Dict(mut data) => {
            data.remove("token");
            Value::Dict(data)
        }
        _ => NO_TOKEN.into(),
    }
}

/// Why `users` refuse now a credential that they have accepted before.
pub(crate) fn refusal(users: &dyn UserDirectory, credential: &Credential) -> Option<String> {
    match (users.judge(credential), credential) {
        (Verdict::User(_), _) | (Verdict::Foreign, Credential::Certificate(_)) => None,
        (Verdict::Refused(reason), _) => Some(reason),
        (Verdict::Foreign, Credential::Token(_)) => {
            Some("this daemon has no users any more".to_owned())
        }
    }
}

/// The login of a connection: its credential, and whether that has been withdrawn.
#[derive(Debug)]
pub(crate) struct Login {
    credential: Arc<Credential>,
    reason: OnceLock<String>,
    revoked: CancellationToken,
    /// Whether its client says that the user is on another host, and wants no rights of this one.
    is_elsewhere: bool,
}

impl Login {
    pub(crate) fn new(credential: Credential) -> Self {
        let credential = Arc::new(credential);
        Login {
            credential,
            reason: OnceLock::new(),
            revoked: CancellationToken::new(),
            is_elsewhere: false,
        }
    }

    /// Withdraws the connection's rights if `users` refuse its credential now.
    pub(crate) fn judge_again(&self, users: &dyn UserDirectory) {
        if let Some(reason) = refusal(users, &self.credential) {
            // One that has lost its rights does not get them back.
            let _ = self.reason.set(reason);
            self.revoked.cancel();
        }
    }

    /// The same, of a user on another host where `is_elsewhere`.
    pub(crate) fn elsewhere(self, is_elsewhere: bool) -> Self {
        Login { is_elsewhere, ..self }
    }

    /// Whether its user is on another host than its client.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.is_elsewhere
    }

    /// Its credential.
    pub(crate) fn credential(&self) -> Arc<Credential> {
        Arc::clone(&self.credential)
    }

    /// Why the connection has no rights any more.
    pub(crate) fn revocation(&self) -> Option<&str> {
        self.reason.get().map(String::as_str)
    }

    /// Waits until the connection's rights are withdrawn.
    pub(crate) async fn revoked(&self) {
        self.revoked.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use wire::value::Dict;

    use super::*;

    #[test]
    fn a_token_is_a_text_or_an_entry_of_a_dict_and_goes_no_further() {
        let dict = |token: Value| {
            let mut dict = Dict::with_capacity(2);
            dict.insert("name", "microscope");
            dict.insert("token", token);
            Value::Dict(dict)
        };
        for (data, expected) in [
            (Value::from("secret"), Some("secret")),
            (dict("secret".into()), Some("secret")),
            ("hello".into(), None),
            ("".into(), None),
            (Value::None, None),
            (dict(Value::None), None),
            (5.into(), None),
        ] {
            assert_eq!(token_in(&data), expected, "{data}");
            let left = without_token(data).to_string();
            assert!(!left.contains("secret"), "{left}");
        }
    }
}
