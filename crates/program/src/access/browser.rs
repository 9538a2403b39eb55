//! Logins of browsers with a code, in the page's process.
//!
//! `ferrolab login` proves that it knows a code, and never sends it ([`enroll`](super::enroll)). A
//! browser sends the code itself, so the page takes codes over loopback and TLS only. The page's
//! process makes the token of the login and keeps it in memory: it ends with that process.

use std::path::Path;

use jiff::Timestamp;
use remote::TokenHash;

use super::code::{LoginCode, hex};
use super::users::{Login, Users, UsersError};

/// Bytes of a token.
const TOKEN_BYTES: usize = 16;
/// Message of a proof between two ends that are both this process.
const PROVEN: &[&str] = &["browser"];

/// The login of a browser: its user, and a new token.
#[derive(Debug)]
pub(crate) struct BrowserLogin {
    pub(crate) user: String,
    pub(crate) token: String,
}

/// Uses a code up for a browser at the address `from`. The users are in `folder` (`state/access`).
///
/// # Errors
/// The code is not good any more, or the file of the users cannot be used.
pub(crate) fn log_in_browser(
    folder: &Path,
    code: &LoginCode,
    from: &str,
) -> Result<BrowserLogin, UsersError> {
    let shown = code.keys();
    // Anybody can send wrong codes: these do not take the lock.
    if Users::look(folder)?.code(&shown.id).is_none() {
        return Err(UsersError::UnknownCode);
    }
    let mut token = [0; TOKEN_BYTES];
    getrandom::fill(&mut token).map_err(|error| UsersError::Unusable(error.to_string()))?;
    let token = hex(&token);
    let (user, _) = Users::change(folder, |users| {
        let (user, known) = users.code(&shown.id).ok_or(UsersError::UnknownCode)?;
        if !known.is_proof(&shown.proof(PROVEN), PROVEN) {
            return Err(UsersError::UnknownCode);
        }
        let (user, since) = (user.to_owned(), Timestamp::now());
        let login = Login {
            token: hash(&token),
            certificate: String::new(),
            key: None,
            renewed: None,
            since,
            until: since,
            from: from.to_owned(),
            is_browser: true,
        };
        users.log_in(&shown.id, login);
        Ok(user)
    })?;
    Ok(BrowserLogin { user, token })
}

/// Ends the login of a browser with this token; nothing where it is another login's.
///
/// # Errors
/// The file of the users cannot be used.
pub(crate) fn end_browser(folder: &Path, token: &str) -> Result<(), UsersError> {
    let hash = hash(token);
    end(folder, |login| login.token == hash)
}

/// Ends all logins of browsers: those of an earlier process, whose tokens are lost.
///
/// # Errors
/// The file of the users cannot be used.
pub(crate) fn end_browsers(folder: &Path) -> Result<(), UsersError> {
    end(folder, |_| true)
}

fn end(folder: &Path, is_over: impl Fn(&Login) -> bool) -> Result<(), UsersError> {
    // Most labs have none, and a file that nobody needs is not written.
    if !Users::look(folder)?.end_browsers(&is_over) {
        return Ok(());
    }
    Users::change(folder, |users| {
        users.end_browsers(is_over);
        Ok(())
    })
    .map(drop)
}

fn hash(token: &str) -> String {
    hex(TokenHash::of(token.as_bytes()).bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::code::PIN_BYTES;

    #[test]
    fn a_code_logs_one_browser_in_until_it_logs_out() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let code = LoginCode::new([0; PIN_BYTES]).unwrap();
        Users::change(folder, |users| users.add("ada", &[], &code)).unwrap();
        let logins = || Users::look(folder).unwrap().users["ada"].logins.len();
        let other = LoginCode::new([0; PIN_BYTES]).unwrap();
        assert!(matches!(log_in_browser(folder, &other, "::1"), Err(UsersError::UnknownCode)));
        let login = log_in_browser(folder, &code, "::1").unwrap();
        assert_eq!((login.user.as_str(), logins()), ("ada", 1));
        assert!(matches!(log_in_browser(folder, &code, "::1"), Err(UsersError::UnknownCode)));
        end_browser(folder, "another token").unwrap();
        assert_eq!(logins(), 1);
        end_browser(folder, &login.token).unwrap();
        assert_eq!(logins(), 0);
        let (code, machine) = (LoginCode::new([0; PIN_BYTES]).unwrap(), "m");
        crate::access::users::tests::add(folder, "ada", machine);
        Users::change(folder, |users| users.add("ada", &[], &code)).unwrap();
        log_in_browser(folder, &code, "::1").unwrap();
        end_browser(folder, machine).unwrap();
        assert_eq!(logins(), 2, "the login of a machine stays");
        end_browsers(folder).unwrap();
        assert_eq!(logins(), 1);
        let users = Users::look(folder).unwrap();
        assert!(users.withdrawn.is_empty());
    }
}
