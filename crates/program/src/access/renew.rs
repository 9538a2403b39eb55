//! Renewal of a stored login's certificate, the user's end. [`renewal`](super::renewal) describes
//! the exchange.
//!
//! A certificate that ends at night would end a measurement. So each of Ferrolab's clients renews
//! it in the last third of its time, before it connects. A lab that is away is asked again by the
//! next client, at most once an hour.

use std::fs;
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};
use remote::TokenHash;

use super::code::hex;
use super::login::{LoginError, ask};
use super::logins::StoredLogin;
use super::renewal::{RenewalAnswer, RenewalRequest, keys_of};
use crate::open;
use crate::paths::Paths;

/// A certificate is renewed when it lasts no longer: a third of its 90 days.
pub(crate) const RENEWAL_DUE: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Time between two attempts by themselves.
const BETWEEN_ATTEMPTS: Duration = Duration::from_secs(3600);
/// Time for an attempt by itself: a command waits for it.
const QUICK: Duration = Duration::from_secs(3);

/// Renews the certificate of a login, and stores it.
///
/// # Errors
/// The one before stays.
pub(crate) async fn renew(login: &StoredLogin, timeout: Duration) -> Result<Timestamp, LoginError> {
    let place = format!("{}:{}", login.host, login.port);
    let failed = |error: &dyn std::fmt::Display| LoginError::Key(error.to_string());
    let certificate = open::read_text(&login.certificate()).map_err(|error| failed(&error))?;
    let token = login.token().ok_or_else(|| failed(&"its token cannot be read"))?;
    let keys = keys_of(&hex(TokenHash::of(token.as_bytes()).bytes()));
    let request = RenewalRequest::new(&keys, certificate).map_err(|error| failed(&error))?;
    let asked = ask((&login.host, login.port), "renew", request.to_value(), timeout).await;
    let answer = asked.map_err(|error| LoginError::of(&place, error))?;
    let answer = RenewalAnswer::from_value(&answer)
        .filter(|answer| answer.is_proven(&keys, &request))
        .ok_or_else(|| LoginError::FalseLab(place.clone()))?;
    let until = answer.until.parse().map_err(|error| failed(&error))?;
    login.replace_certificate(&answer.certificate, until).map_err(LoginError::Key)?;
    Ok(until)
}

/// The logins that may count at a server ([`StoredLogin::for_server`]), with certificates that
/// last. Blocks: names are resolved, and a certificate is renewed.
pub(crate) fn logins_for(paths: &Paths, host: &str, port: u16) -> Vec<StoredLogin> {
    let found = StoredLogin::for_server(paths, host, port).into_iter();
    found.map(|login| renew_if_due(login, true)).collect()
}

/// The same for a caller with little time: a certificate that is still good is renewed beside it.
pub(crate) fn logins_for_reader(paths: &Paths, host: &str, port: u16) -> Vec<StoredLogin> {
    let found = StoredLogin::for_server(paths, host, port).into_iter();
    found.map(|login| renew_if_due(login, false)).collect()
}

/// Renews the certificate of a login if it is due and was not tried within the last hour. A failure
/// leaves the certificate that is there; in its last week [`StoredLogin::soon_ends`] tells. Waits
/// for it if `waits`, or if the certificate has ended.
fn renew_if_due(mut login: StoredLogin, waits: bool) -> StoredLogin {
    if login.until.duration_since(Timestamp::now()) > RENEWAL_DUE || !begins_attempt(&login) {
        return login;
    }
    // Its own thread: the caller's may be one of a runtime.
    let renewing = login.clone();
    let renewed = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        runtime.block_on(renew(&renewing, QUICK)).ok()
    });
    if !waits && login.until > Timestamp::now() {
        return login;
    }
    login.until = renewed.join().ok().flatten().unwrap_or(login.until);
    login
}

/// Notes an attempt; false where the last one was less than an hour ago. The Python client notes
/// its attempts in the same file.
fn begins_attempt(login: &StoredLogin) -> bool {
    let file = login.attempt_file();
    let last = fs::metadata(&file).and_then(|metadata| metadata.modified());
    let since = last.ok().map(|last| SystemTime::now().duration_since(last));
    // A time in the future is of a clock that was wrong.
    if matches!(since, Some(Ok(since)) if since < BETWEEN_ATTEMPTS) {
        return false;
    }
    crate::files::replace_private(&file, b"").is_ok()
}
