//! Login with a code, the user's end. [`enroll`](super::enroll) describes the exchange.

use std::time::Duration;

use jiff::Timestamp;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use remote::{ClientTls, ConnectError, Error, Location, Proxy, TokenHash, Uri, Value};

use sha2::{Digest, Sha256};

use super::code::{LoginCode, hex};
use super::enroll::LOGIN_OBJECT;
use super::logins::{LoginFiles, StoredLogin};
use super::messages::{LoginAnswer, LoginRequest};
use crate::files::FileError;
use crate::paths::Paths;

/// Time for the connection, and for the answer.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of a token.
const TOKEN_BYTES: usize = 16;

/// Why a login has failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    #[error("there is no nameserver of Ferrolab at {0}: {1}")]
    Connect(String, Box<Error>),
    #[error("the lab at {0} refuses: {1}")]
    Refused(String, String),
    #[error(
        "what answers at {0} is not the lab that the code is of: it does not know the code, or hands \
         out another authority; nothing was stored. Ask the lab's operator, and give them this text"
    )]
    FalseLab(String),
    #[error("cannot make or read a key: {0}")]
    Key(String),
    #[error(transparent)]
    File(#[from] FileError),
}

impl LoginError {
    /// The failure of a request to the nameserver at `place`.
    pub(super) fn of(place: &str, error: Error) -> Self {
        match error {
            Error::Remote(exception) => LoginError::Refused(place.to_owned(), exception.message()),
            Error::Connect { source: ConnectError::Refused(reason), .. } => {
                LoginError::Refused(place.to_owned(), reason)
            }
            error => LoginError::Connect(place.to_owned(), Box::new(error)),
        }
    }
}

/// Logs in at the nameserver `host`:`port` with a code, and stores the login.
///
/// # Errors
/// Nothing is stored then.
pub(crate) async fn log_in(
    paths: &Paths,
    host: &str,
    port: u16,
    code: &LoginCode,
) -> Result<StoredLogin, LoginError> {
    let place = format!("{host}:{port}");
    let failed = |error: &dyn std::fmt::Display| LoginError::Key(error.to_string());
    let key = KeyPair::generate().map_err(|error| failed(&error))?;
    let mut token = [0; TOKEN_BYTES];
    getrandom::fill(&mut token).map_err(|error| failed(&error))?;
    let token = hex(&token);
    let mut params = CertificateParams::default();
    // The lab says what the name is.
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "login");
    let signing_request = params
        .serialize_request(&key)
        .and_then(|request| request.pem())
        .map_err(|error| failed(&error))?;
    let keys = code.keys();
    let hash = hex(TokenHash::of(token.as_bytes()).bytes());
    let request =
        LoginRequest::new(&keys, signing_request, hash).map_err(|error| failed(&error))?;

    let asked = ask((host, port), "login", request.to_value(), LOGIN_TIMEOUT).await;
    let answer = asked.map_err(|error| LoginError::of(&place, error))?;
    let answer = LoginAnswer::from_value(&answer)
        .filter(|answer| answer.is_proven(&keys, &request))
        .filter(|answer| {
            remote::certificate_der(&answer.authority)
                .is_ok_and(|authority| code.is_of(&Sha256::digest(&authority).into()))
        });
    let answer = answer.ok_or_else(|| LoginError::FalseLab(place))?;
    let until: Timestamp = answer.until.parse().unwrap_or_default();
    let stored = StoredLogin::new(paths, (host, port), answer.user, answer.lab, until);
    stored.store(&LoginFiles {
        authority: answer.authority,
        certificate: answer.certificate,
        key: key.serialize_pem(),
        token,
    })?;
    Ok(stored)
}

/// Asks the nameserver, with TLS where it speaks that, without a look at its certificate: both ends
/// prove themselves in the messages. `timeout` is for all of it.
pub(super) async fn ask(
    (host, port): (&str, u16),
    method: &str,
    request: Value,
    timeout: Duration,
) -> Result<Value, Error> {
    let location = Location::Tcp { host: host.to_owned(), port };
    let uri = Uri::Pyro { object: LOGIN_OBJECT.to_owned(), location: location.clone() };
    let late = Error::Timeout { uri: uri.to_string(), operation: method.to_owned(), timeout };
    let asking = async {
        let has_tls = remote::speaks_tls(&location, timeout).await;
        let mut proxy = Proxy::from(uri).with_timeout(timeout);
        if has_tls {
            proxy = match ClientTls::unverified() {
                Ok(tls) => proxy.with_tls(tls),
                Err(_) => proxy,
            };
        }
        proxy.call(method, vec![request], vec![]).await
    };
    tokio::time::timeout(timeout, asking).await.unwrap_or(Err(late))
}
