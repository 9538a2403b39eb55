//! Login with a code, the lab's end: the object `ferrolab.Login` at a nameserver's port.
//!
//! It answers `login` and nothing else, and no directory names it. The port may be plain, and
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
//! The lab's id is a secret: a nameserver knows by it the lab's own daemons. Clients get a name
//! that is made from it, and from which it cannot be found.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use remote::{
    Answer, Exception, Metadata, Object, Operation, Peer, Reply, Request, Session, Signature, Value,
};
use sha2::{Digest, Sha256};
use tracing::{info, warn};

use super::code::{from_hex, hex};
use super::messages::{LoginAnswer, LoginRequest};
use super::users::{Login, Users, UsersError};
use crate::audit::{Audit, AuditLine, LOGIN};
use crate::authority::{AuthorityFiles, Subject};
use crate::open;

/// The object's id.
pub(crate) const LOGIN_OBJECT: &str = "ferrolab.Login";
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
    /// Records logins, and those that are refused.
    audit: Option<Audit>,
}

impl LoginObject {
    /// The object for logins in the lab with this id, whose users are in `folder`
    /// (`state/access`).
    pub(crate) fn new(folder: PathBuf, lab: &str, audit: Option<Audit>) -> Self {
        let (lab, turn) = (public_name(lab), tokio::sync::Mutex::default());
        LoginObject { service: Arc::new(LoginService { folder, lab, turn, audit }) }
    }
}

/// The name of the lab with this id for clients, from which its id cannot be found.
fn public_name(lab: &str) -> String {
    hex(&Sha256::digest(format!("ferrolab lab {lab}")))
}

impl Object for LoginObject {
    fn metadata(&self) -> Result<Metadata, Exception> {
        Ok(Metadata::methods(["login"]))
    }

    fn is_internal(&self) -> bool {
        true
    }

    /// A code is for somebody who has no rights yet.
    fn checks_access(&self) -> bool {
        true
    }

    fn call(&self, session: &Arc<Session>, request: Request) -> Answer {
        const LOGIN: Signature = Signature { name: "login", parameters: &["request"], required: 1 };
        let call = match request.operation {
            Operation::Call(call) if call.method == "login" => call,
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
        Answer::Pending(Box::pin(async move {
            let served = Arc::clone(&service).serve(request, from.clone()).await;
            service.record(&served, &from);
            served.map(|answer| Reply::from(answer.to_value()))
        }))
    }
}

impl LoginService {
    fn record(&self, served: &Result<LoginAnswer, Exception>, from: &Peer) {
        let Some(audit) = &self.audit else { return };
        let line = AuditLine { from: from.to_string(), ..AuditLine::now(LOGIN) };
        audit.record(match served {
            Ok(answer) => AuditLine { who: answer.user.clone(), ..line },
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
        // Wrong codes are found without the lock, and wait for nobody. Anybody can send them, so
        // the file is read where that keeps no other client waiting.
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
        let files = AuthorityFiles::in_folder(self.folder.clone());
        let authority = files.open().map_err(|error| failed(&error))?;
        let now = Timestamp::now();
        let certificate = authority
            .issue(Subject::Client { name: &user }, CERTIFICATE_DAYS, &ClientKey(key))
            .map_err(|error| failed(&error))?;
        let until = now + jiff::SignedDuration::from_hours(24 * i64::from(CERTIFICATE_DAYS));
        let ca = open::read_text(&files.certificate()).map_err(|error| failed(&error))?;
        let der = remote::certificate_der(&certificate).map_err(|error| failed(&error))?;
        let login = Login {
            token: request.token.clone(),
            certificate: hex(&Sha256::digest(&der)),
            since: now,
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

/// The same for every code that does not work, whatever the reason.
fn unknown_code() -> Exception {
    Exception::new(
        "builtins.PermissionError",
        "this login code is not known here: it was used already, is older than 15 minutes, or is of \
         another lab; ask for a new one (`ferrolab user rotate NAME` or `user add NAME` there)",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{LoginCode, new_code};

    #[tokio::test]
    async fn ten_thousand_wrong_codes_are_refused_and_a_good_one_works_once() {
        let folder = tempfile::tempdir().unwrap();
        let service = Arc::new(LoginService {
            folder: folder.path().join("access"),
            lab: "lab".to_owned(),
            turn: tokio::sync::Mutex::default(),
            audit: None,
        });
        let code = new_code(&service.folder).unwrap();
        Users::change(&service.folder, |users| users.add("ada", &[], &code)).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let csr =
            rcgen::CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
        let request = |code: &LoginCode| {
            LoginRequest::new(&code.keys(), csr.clone(), "0".repeat(64)).unwrap()
        };
        let ask = |request: LoginRequest| {
            let service = Arc::clone(&service);
            async move { service.serve(request, Peer::Unix { process: None }).await }
        };
        for _ in 0..10_000 {
            let wrong = new_wrong_code();
            assert!(ask(request(&wrong)).await.is_err());
        }
        // The id of a code is public; a proof with another secret does not count.
        let forged = LoginRequest { code: code.keys().id, ..request(&new_wrong_code()) };
        assert!(ask(forged).await.is_err());
        let good = request(&code);
        let answer = ask(good.clone()).await.unwrap();
        assert!(answer.is_proven(&code.keys(), &good) && answer.user == "ada");
        assert!(ask(good).await.is_err(), "a request that is replayed");
    }

    #[test]
    fn clients_do_not_get_the_id_of_the_lab() {
        let object = LoginObject::new(PathBuf::new(), "8a1f", None);
        assert!(!object.service.lab.contains("8a1f") && object.service.lab.len() == 64);
        assert_eq!(object.service.lab, public_name("8a1f"));
        assert_ne!(object.service.lab, public_name("8a1e"));
    }

    fn new_wrong_code() -> LoginCode {
        LoginCode::new([0; 16]).unwrap()
    }
}
