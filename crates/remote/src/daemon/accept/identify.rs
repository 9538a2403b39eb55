//! The identity of a client that connects: by its certificate, its token, or the operating system.
//!
//! The daemon's users say whose a credential is, and whether it is still accepted.

use std::net::SocketAddr;

use wire::value::Value;

use crate::blocking::run_blocking;
use crate::identity::{Identity, IdentitySource};
use crate::session::Peer;
use crate::tls::ClientCertificate;
use crate::token::TokenHash;
use crate::users::{self, Credential, Login, UserDirectory, Verdict};

/// Reason of a refusal: the token could have been read on its way.
const TOKEN_IN_PLAIN: &str = "a token is not accepted here, since others can read it on its way to \
    this host: connect with TLS (`ferrolab login HOST --shell` prints the settings), or on the lab's \
    host by `localhost`. It may have been read now: `ferrolab user rotate NAME` replaces it";

/// A client before its handshake.
pub(super) struct Arrival {
    pub(super) peer: Peer,
    pub(super) entrance: Entrance,
    /// The address of this host that it came to.
    pub(super) reached_at: Option<SocketAddr>,
}

/// Facts about a client that its connection itself tells, before Pyro5's handshake.
#[derive(Clone, Debug, Default)]
pub(super) struct Entrance {
    /// Whether it is a connection with TLS.
    pub(super) is_encrypted: bool,
    /// The client's certificate, verified.
    pub(super) certificate: Option<ClientCertificate>,
    /// Why the client is refused, in words for it.
    pub(super) refusal: Option<EntranceRefusal>,
    /// The id of the user whose process is at the other end of a Unix socket.
    pub(super) unix_user: Option<u32>,
}

/// Why a client is refused before its handshake is read, in words for it.
#[derive(Clone, Debug)]
pub(super) enum EntranceRefusal {
    /// It has no TLS, and must have it.
    Plain(String),
    /// It has not shown the certificate that it must show. Where it gets one, it is served.
    Certificate(String),
}

/// A client whose identity is settled.
pub(super) struct KnownClient {
    pub(super) identity: Identity,
    pub(super) login: Option<Login>,
    /// The data of its handshake, without a token.
    pub(super) handshake: Value,
}

impl Arrival {
    /// Whether nobody but the host's administrator can read what the client sends.
    fn is_private(&self) -> bool {
        let is_loopback = |address: SocketAddr| address.ip().is_loopback();
        match self.peer {
            Peer::Tcp(address) => {
                let is_local = is_loopback(address) && self.reached_at.is_none_or(is_loopback);
                self.entrance.is_encrypted || is_local
            }
            Peer::Unix { .. } | Peer::Daemon(_) => true,
        }
    }
}

/// Settles the identity of a client with this handshake data.
///
/// # Errors
/// Its credential is not accepted; the reason is for the client.
pub(super) fn identify(
    users: Option<&dyn UserDirectory>,
    arrival: &Arrival,
    data: Value,
) -> Result<KnownClient, String> {
    let has_credential = users::token_in(&data).is_some() || arrival.entrance.certificate.is_some();
    let users = users.filter(|users| has_credential && users.has_tokens());
    let token = users.and_then(|users| Some((users, users::token_in(&data)?)));
    let by_certificate = match &arrival.entrance.certificate {
        None => None,
        Some(certificate) => by_certificate(users, certificate)?,
    };
    let acts_for_user = users::acts_for_user(&data);
    let by_token = match token {
        Some(_) if by_certificate.is_some() && !acts_for_user => None,
        Some(_) if !arrival.is_private() => return Err(TOKEN_IN_PLAIN.to_owned()),
        Some((users, token)) => {
            let credential = Credential::Token(TokenHash::of(token.as_bytes()));
            match users.judge(&credential) {
                Verdict::User(name) => {
                    let identity = Identity { name, source: IdentitySource::Token };
                    let login = Login::new(credential).elsewhere(users::is_for_other_host(&data));
                    Some((identity, Some(login)))
                }
                Verdict::Foreign => None,
                Verdict::Refused(reason) => return Err(reason),
            }
        }
        None => None,
    };
    if acts_for_user && by_token.is_none() && by_certificate.is_some() {
        return Err("this daemon does not know the user of this token".to_owned());
    }
    let handshake = if token.is_some() { users::without_token(data) } else { data };
    let known =
        if acts_for_user { by_token.or(by_certificate) } else { by_certificate.or(by_token) };
    let (identity, login) = known.unwrap_or_else(|| (by_system(arrival), None));
    Ok(KnownClient { identity, login, handshake })
}

/// The identity of a client with this certificate. Its authority need not be the lab's.
fn by_certificate(
    users: Option<&dyn UserDirectory>,
    certificate: &ClientCertificate,
) -> Result<Option<(Identity, Option<Login>)>, String> {
    let Some(name) = certificate.common_name() else { return Ok(None) };
    let source = IdentitySource::Certificate;
    let Some(users) = users else {
        return Ok(Some((Identity { name: name.into(), source }, None)));
    };
    let credential = Credential::Certificate(certificate.clone());
    let name = match users.judge(&credential) {
        Verdict::User(name) => name,
        Verdict::Foreign => name.into(),
        Verdict::Refused(reason) => return Err(reason),
    };
    Ok(Some((Identity { name, source }, Some(Login::new(credential)))))
}

/// The identity of a client that has shown nothing.
fn by_system(arrival: &Arrival) -> Identity {
    #[cfg(unix)]
    if let Some(id) = arrival.entrance.unix_user {
        // The host's user database may be in the network.
        return run_blocking(|| Identity::unix_user(id));
    }
    arrival.peer.anonymous()
}
