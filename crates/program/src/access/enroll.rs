//! Login with a code, the lab's end: the object `ferrolab.Login` at a nameserver's port.
//!
//! It answers `login` and `renew` alone, and no directory names it. The port may be plain, and
//! others may listen or stand in between, so nothing secret travels:
//!
//! | message | content | its HMAC proves that |
//! |---|---|---|
//! | request | id of the code, nonce, signing request, token's hash | the client knows the code |
//! | answer | certificates of authority and client, user | the lab knows it, and the request |
//!
//! - The client makes its private key and its token. A listener gets neither.
//! - The key of both HMACs is made from the code's 128 bits, which cannot be guessed. An attacker
//!   who changes a message, or answers in the lab's place, does not have it.
//! - The code has the beginning of the authority's SHA-256. So even an attacker who has seen the
//!   code cannot hand out another authority.
//! - A code is used up under the lock of the users' file, before the answer is sent: a request that
//!   is replayed finds no code. A stolen request certifies the key of the client that made it.
//!
//! `renew` gives a login another certificate ([`renewal`]).
//!
//! The lab's id is a secret: a nameserver knows by it the lab's own daemons. Clients get a name
//! that is made from it, and from which it cannot be found.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use remote::{
    Answer, Exception, Metadata, MethodCall, Object, Operation, Peer, Reply, Request, Session,
    Signature, Value,
};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tracing::{info, warn};

use super::code::{from_hex, hex};
use super::messages::{LoginAnswer, LoginRequest};
use super::renewal::{self, Found, NotRenewed, RenewalAnswer, RenewalRequest};
use super::users::{Login, Users, UsersError};
use crate::audit::{Audit, AuditLine, LOGIN};
use crate::authority::{AuthorityFiles, Subject};
use crate::open;

/// The object's id.
pub(crate) const LOGIN_OBJECT: &str = "ferrolab.Login";
/// Logins and renewals that are carried out at the same time; others wait.
const AT_ONCE: usize = 32;
/// Days for which a client's certificate is valid.
const CERTIFICATE_DAYS: i32 = 90;

/// The object that answers logins.
#[derive(Debug)]
pub(crate) struct LoginObject {
    service: Arc<LoginService>,
}

/// The lab's end of all logins.
#[derive(Debug)]
struct LoginService {
    /// `state/access`.
    folder: PathBuf,
    /// The name of the lab for clients; not its id.
    lab: String,
    /// Logins are done one at a time.
    turn: tokio::sync::Mutex<()>,
    /// The places of those that are carried out, looked at, or wait for their turn.
    places: Arc<Semaphore>,
    /// Records logins, and those that are refused.
    audit: Option<Audit>,
}

impl LoginObject {
    /// The object for logins in the lab with this id, whose users are in `folder`
    /// (`state/access`).
    pub(crate) fn new(folder: PathBuf, lab: &str, audit: Option<Audit>) -> Self {
        LoginObject { service: Arc::new(LoginService::new(folder, public_name(lab), audit)) }
    }
}

/// The name of the lab with this id for clients, from which its id cannot be found.
fn public_name(lab: &str) -> String {
    hex(&Sha256::digest(format!("ferrolab lab {lab}")))
}

impl Object for LoginObject {
    fn metadata(&self) -> Result<Metadata, Exception> {
        Ok(Metadata::methods(["login", "renew"]))
    }

    fn is_internal(&self) -> bool {
        true
    }

    /// A code is for somebody who has no certificate yet.
    fn serves_uncertified(&self) -> bool {
        true
    }

    /// The same, and no rights.
    fn checks_access(&self) -> bool {
        true
    }

    fn call(&self, session: &Arc<Session>, request: Request) -> Answer {
        const LOGIN: Signature = Signature { name: "login", parameters: &["request"], required: 1 };
        let call = match request.operation {
            Operation::Call(call) if call.method == "login" => call,
            Operation::Call(call) if call.method == "renew" => {
                return self.renew(call, session.peer.clone());
            }
            operation => return Answer::exception(operation.unexposed()),
        };
        let request = match LOGIN.bind(call) {
            Ok([request]) => LoginRequest::from_value(&request.unwrap_or(Value::None)),
            Err(exception) => return Answer::exception(exception),
        };
        let Some(request) = request else {
            return Answer::exception(Exception::value_error("this is no request for a login"));
        };
        let (service, from) = (Arc::clone(&self.service), session.peer.clone());
        let places = Arc::clone(&service.places);
        Answer::Pending(Box::pin(to_the_end(places, async move {
            let served = Arc::clone(&service).serve(request, from.clone()).await;
            service.record("", served.as_ref().map(|answer| &*answer.user), &from);
            served.map(|answer| answer.to_value())
        })))
    }
}

impl LoginObject {
    fn renew(&self, call: MethodCall, from: Peer) -> Answer {
        const RENEW: Signature = Signature { name: "renew", parameters: &["request"], required: 1 };
        let request = match RENEW.bind(call) {
            Ok([request]) => RenewalRequest::from_value(&request.unwrap_or(Value::None)),
            Err(exception) => return Answer::exception(exception),
        };
        let Some(request) = request else {
            return Answer::exception(Exception::value_error("this is no request for a renewal"));
        };
        let service = Arc::clone(&self.service);
        let places = Arc::clone(&service.places);
        Answer::Pending(Box::pin(to_the_end(places, async move {
            let renewed = Arc::clone(&service).renew(request, from.clone()).await;
            service.record("renew", renewed.as_ref().map(|(user, _)| &**user), &from);
            renewed.map(|(_, answer)| answer.to_value())
        })))
    }
}

/// Carries a login or a renewal out, and records it, also where its connection ends meanwhile:
/// nobody can hide a login from the audit by closing the connection. One that waits for a place is
/// not begun, and ends with its connection: connections that are closed leave no more than there
/// are places.
async fn to_the_end(
    places: Arc<Semaphore>,
    serving: impl Future<Output = Result<Value, Exception>> + Send + 'static,
) -> Result<Reply, Exception> {
    let place = places.acquire_owned().await.map_err(|_| failed())?;
    let carried_out = async move {
        let served = serving.await;
        drop(place);
        served
    };
    let done = tokio::spawn(carried_out).await;
    done.unwrap_or_else(|_| Err(failed())).map(Reply::from)
}

impl LoginService {
    fn new(folder: PathBuf, lab: String, audit: Option<Audit>) -> Self {
        let (turn, places) = (tokio::sync::Mutex::default(), Arc::new(Semaphore::new(AT_ONCE)));
        LoginService { folder, lab, turn, places, audit }
    }

    /// Gives a login of a user, who is the first value, another certificate. A request that is
    /// repeated gets the same one.
    async fn renew(
        self: Arc<Self>,
        request: RenewalRequest,
        from: Peer,
    ) -> Result<(String, RenewalAnswer), Exception> {
        let shown = remote::certificate_der(&request.certificate).unwrap_or_default();
        // Anybody can send wrong requests: these wait for a place, and nobody's turn for them.
        let (service, asked, known) = (Arc::clone(&self), request.clone(), shown.clone());
        let looked = tokio::task::spawn_blocking(move || service.look(&asked, &known)).await;
        if let Some(answered) = looked.unwrap_or_else(|_| Err(failed()))? {
            return Ok(answered);
        }
        let _turn = self.turn.lock().await;
        let service = Arc::clone(&self);
        let done = tokio::task::spawn_blocking(move || service.reissue(&request, &shown, &from));
        done.await.unwrap_or_else(|_| Err(failed()))
    }

    /// The answer to a request for a renewal that needs no other certificate than there is; `None`
    /// where one is to be issued.
    fn look(
        &self,
        request: &RenewalRequest,
        shown: &[u8],
    ) -> Result<Option<(String, RenewalAnswer)>, Exception> {
        let mut known = Users::look(&self.folder).map_err(|_| unreadable())?;
        match renewal::find(&mut known, request, shown, CERTIFICATE_DAYS) {
            Ok(Found::Renewed(user, answer)) => Ok(Some((user.to_owned(), answer))),
            Ok(Found::Due(..)) => Ok(None),
            Err(reason) => Err(not_renewed(reason)),
        }
    }

    /// Issues another certificate for the login of a request.
    fn reissue(
        &self,
        request: &RenewalRequest,
        shown: &[u8],
        from: &Peer,
    ) -> Result<(String, RenewalAnswer), Exception> {
        // The outcome of a request that changes nothing: the file stays as it is.
        let mut unchanged = None;
        let changed = Users::change(&self.folder, |users| {
            let found = renewal::find(users, request, shown, CERTIFICATE_DAYS);
            let (user, login) = match found {
                Ok(Found::Due(user, login)) => (user, login),
                // Another request was first.
                Ok(Found::Renewed(user, answer)) => {
                    unchanged = Some(Ok((user.to_owned(), answer)));
                    return Err(UsersError::Unchanged);
                }
                Err(reason) => {
                    unchanged = Some(Err(not_renewed(reason)));
                    return Err(UsersError::Unchanged);
                }
            };
            let failed = |error: &dyn std::fmt::Display| UsersError::Unusable(error.to_string());
            let key = remote::certificate_key(shown).map_err(|error| failed(&error))?;
            login.key = Some(hex(&Sha256::digest(&key)));
            let (certificate, until) = self.issue(user, key)?;
            let der = remote::certificate_der(&certificate).map_err(|error| failed(&error))?;
            login.certificate = hex(&Sha256::digest(&der));
            login.until = until;
            let answer = RenewalAnswer::of(login, certificate.clone(), request);
            login.renewed = Some(certificate);
            info!(user, %from, "the certificate of a login was renewed");
            Ok((user.to_owned(), answer))
        });
        match (unchanged, changed) {
            (Some(answered), _) => answered,
            (None, Ok((renewed, _))) => Ok(renewed),
            (None, Err(error)) => {
                warn!(%error, %from, "the certificate of a login cannot be renewed");
                Err(failed())
            }
        }
    }

    /// A certificate for this key of a user, in PEM, and the end of its time.
    fn issue(&self, user: &str, key: Vec<u8>) -> Result<(String, Timestamp), UsersError> {
        let failed = |error: &dyn std::fmt::Display| UsersError::Unusable(error.to_string());
        let files = AuthorityFiles::in_folder(self.folder.clone());
        let authority = files.open().map_err(|error| failed(&error))?;
        let now = Timestamp::now();
        let certificate = authority
            .issue(Subject::Client { name: user }, CERTIFICATE_DAYS, &ClientKey(key))
            .map_err(|error| failed(&error))?;
        let lifetime = jiff::SignedDuration::from_hours(24 * i64::from(CERTIFICATE_DAYS));
        Ok((certificate, now + lifetime))
    }

    /// Records a call of `member` in the audit: its user, or why it was refused.
    fn record(&self, member: &str, served: Result<&str, &Exception>, from: &Peer) {
        let Some(audit) = &self.audit else { return };
        let (from_text, member) = (from.to_string(), member.to_owned());
        let line = AuditLine { from: from_text, member, ..AuditLine::now(LOGIN) };
        audit.record(match served {
            Ok(user) => AuditLine { who: user.to_owned(), ..line },
            Err(refused) => AuditLine {
                who: from.anonymous().name.to_string(),
                outcome: format!("refused: {}", refused.message()),
                ..line
            },
        });
    }

    async fn serve(
        self: Arc<Self>,
        request: LoginRequest,
        from: Peer,
    ) -> Result<LoginAnswer, Exception> {
        // Wrong codes are found without the lock, and wait for a place only. Anybody can send them,
        // so the file is read where that keeps no other client waiting.
        let folder = self.folder.clone();
        let looked = tokio::task::spawn_blocking(move || Users::look(&folder).ok()).await;
        let known = looked.ok().flatten();
        if known.is_none_or(|users| users.code(&request.code).is_none()) {
            return Err(unknown_code());
        }
        let _turn = self.turn.lock().await;
        let service = Arc::clone(&self);
        let done = tokio::task::spawn_blocking(move || service.log_in(&request, &from)).await;
        done.unwrap_or_else(|_| {
            Err(Exception::new("builtins.RuntimeError", "the login has failed in this lab"))
        })
    }

    fn log_in(&self, request: &LoginRequest, from: &Peer) -> Result<LoginAnswer, Exception> {
        let from = from.address().map_or_else(|| from.to_string(), |address| address.to_string());
        let changed = Users::change(&self.folder, |users| {
            let (user, keys) = users.code(&request.code).ok_or(UsersError::UnknownCode)?;
            if !request.is_proven(&keys) {
                return Err(UsersError::UnknownCode);
            }
            let user = user.to_owned();
            let (answer, login) = self.certify(user, request, &from)?;
            users.log_in(&request.code, login);
            Ok(answer.proven(&keys, request))
        });
        match changed {
            Ok((answer, _)) => {
                info!(user = answer.user, from, "logged in");
                Ok(answer)
            }
            Err(UsersError::UnknownCode) => Err(unknown_code()),
            Err(error) => {
                warn!(%error, from, "a login with a good code has failed");
                Err(Exception::new(
                    "builtins.RuntimeError",
                    format!(
                        "the login has failed in this lab, and its log says why; the code is still good: {error}"
                    ),
                ))
            }
        }
    }

    /// The certificate for the key of a request, and the login with it.
    fn certify(
        &self,
        user: String,
        request: &LoginRequest,
        from: &str,
    ) -> Result<(LoginAnswer, Login), UsersError> {
        let failed = |error: &dyn std::fmt::Display| UsersError::Unusable(error.to_string());
        let key = remote::read_signing_request(&request.signing_request)
            .map_err(|error| failed(&error))?;
        if from_hex(&request.token).is_none_or(|hash| hash.len() != 32) {
            return Err(failed(&"the request has no hash of a token"));
        }
        let (certificate, until) = self.issue(&user, key)?;
        let files = AuthorityFiles::in_folder(self.folder.clone());
        let ca = open::read_text(&files.certificate()).map_err(|error| failed(&error))?;
        let der = remote::certificate_der(&certificate).map_err(|error| failed(&error))?;
        let login = Login {
            token: request.token.clone(),
            certificate: hex(&Sha256::digest(&der)),
            key: None,
            renewed: None,
            since: Timestamp::now(),
            until,
            from: from.to_owned(),
            is_browser: false,
        };
        let answer = LoginAnswer {
            user,
            lab: self.lab.clone(),
            authority: ca,
            certificate,
            until: until.to_string(),
            proof: String::new(),
        };
        Ok((answer, login))
    }
}

/// The key of a client's signing request, as the authority takes it.
struct ClientKey(Vec<u8>);

impl rcgen::PublicKeyData for ClientKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

/// Why a request with a good proof has failed.
fn failed() -> Exception {
    let text = "this lab cannot issue a certificate now, and its log says why";
    Exception::new("builtins.RuntimeError", text)
}

/// Why no request for a renewal is looked at.
fn unreadable() -> Exception {
    let text = "the users of this lab cannot be read, so no certificate is renewed: `ferrolab user \
        list` on its host says why";
    Exception::new("builtins.RuntimeError", text)
}

fn not_renewed(reason: NotRenewed) -> Exception {
    match reason {
        NotRenewed::UnknownLogin => Exception::new(
            "builtins.PermissionError",
            "this login is not known here, or was withdrawn: log in again, with a new code of the \
             person who runs the lab (`ferrolab user rotate NAME` prints one)",
        ),
        NotRenewed::OtherCertificate => {
            Exception::new("builtins.PermissionError", "this certificate is not that of the login")
        }
        NotRenewed::TooEarly => Exception::value_error(
            "this login has a certificate that was issued within the last day",
        ),
    }
}

/// The same for every code that does not work, whatever the reason.
fn unknown_code() -> Exception {
    Exception::new(
        "builtins.PermissionError",
        "this login code is not known here: it was used already, is older than 15 minutes, or is of \
         another lab; ask for a new one (`ferrolab user rotate NAME` or `user add NAME` there)",
    )
}

#[cfg(test)]
mod tests;
