//! The file of a lab's users: their groups, the hashes of their tokens, and the login codes.
//!
//! `state/access/users.json` is replaced as a whole, under a file lock: the command line changes
//! it, and a nameserver at a login. Daemons and nameservers read it ([`table`](super::table)).
//! Tokens and codes are not in it: a reader of the file cannot log in with it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lab_config::did_you_mean;
use serde::{Deserialize, Serialize};

use super::code::{CodeKeys, LoginCode};
use crate::files::{self, FileError};
use crate::state_file;

/// The file with the users.
const FILE: &str = "users.json";
/// The file that is locked while the users are changed.
const LOCK: &str = "users.lock";
/// Longest wait for the lock: a change takes milliseconds.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// Time that a login code is good for.
pub(crate) const CODE_LIFETIME: jiff::SignedDuration = jiff::SignedDuration::from_mins(15);
/// How long a withdrawn certificate is remembered after the time noted for it: a certificate ends
/// with a day, up to 24 h later, and clocks differ.
const WITHDRAWN_KEPT: SignedDuration = SignedDuration::from_hours(48);
/// Characters of a user's or a group's name.
const MAX_NAME_CHARS: usize = 64;
/// Machines on which one user is logged in; a further login ends the oldest one.
const MAX_LOGINS: usize = 100;

/// The users of a lab.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Users {
    #[serde(default)]
    pub(crate) users: BTreeMap<String, User>,
    /// Codes that have not been used yet.
    #[serde(default)]
    codes: Vec<CodeRecord>,
    /// Certificates of users who were removed, or whose logins were replaced.
    #[serde(default)]
    pub(crate) withdrawn: Vec<WithdrawnCertificate>,
    /// Users who were removed, and not added again: no certificate of this name is accepted,
    /// whatever its authority.
    #[serde(default)]
    pub(crate) removed: BTreeMap<String, Timestamp>,
}

/// A certificate that is not accepted any longer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WithdrawnCertificate {
    /// SHA-256 of the certificate, in hexadecimal digits.
    pub(crate) certificate: String,
    /// SHA-256 of its public key; earlier certificates of a renewed login have the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// The end of the certificate's time.
    pub(crate) until: Timestamp,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct User {
    #[serde(default)]
    pub(crate) groups: BTreeSet<String>,
    pub(crate) since: Timestamp,
    #[serde(default)]
    pub(crate) logins: Vec<Login>,
}

/// A machine on which a user has logged in: a token, and a certificate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Login {
    /// SHA-256 of the token, in hexadecimal digits.
    pub(crate) token: String,
    /// SHA-256 of the certificate, in hexadecimal digits; a browser has none.
    pub(crate) certificate: String,
    /// SHA-256 of its public key, once the certificate has been renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// The certificate of the last renewal, in PEM. Its client may not have got it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) renewed: Option<String>,
    pub(crate) since: Timestamp,
    /// The end of the certificate's time.
    pub(crate) until: Timestamp,
    /// The address that the login came from.
    pub(crate) from: String,
    /// Whether it is a browser's, by a link. The page's process keeps the token in its memory only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_browser: bool,
}

/// A login code that has not been used.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct CodeRecord {
    user: String,
    /// The public part, by which the client names it.
    id: String,
    /// The key that both ends prove with; made from the code, which it does not give away.
    key: String,
    until: Timestamp,
}

impl std::fmt::Debug for CodeRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CodeRecord").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Why the users cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UsersError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{0}")]
    Unusable(String),
    /// The change has turned out to be none.
    #[error("the users are as they were")]
    Unchanged,
    /// A login code that has been used, is too old, or never was one.
    #[error("the login code is not known")]
    UnknownCode,
    #[error("there is no user '{name}' in this lab{}", .help.as_ref().map(|help| format!(": {help}")).unwrap_or_default())]
    Unknown { name: String, help: Option<String> },
    #[error(
        "'{0}' cannot be a name: letters, digits and `. _ @ -` can be in it, at most {MAX_NAME_CHARS}, \
         the first one a letter or a digit"
    )]
    Name(String),
}

impl Users {
    /// The file in the folder `state/access`.
    pub(crate) fn file(folder: &Path) -> PathBuf {
        folder.join(FILE)
    }

    /// Reads the users; none where the file does not exist. A damaged file stays where it is.
    ///
    /// # Errors
    /// The file cannot be used.
    pub(crate) fn look(folder: &Path) -> Result<Users, UsersError> {
        let users = state_file::peek(&Self::file(folder));
        let users = users.map_err(|unusable| UsersError::Unusable(unusable.to_string()))?;
        Ok(users.unwrap_or_default())
    }

    /// Changes the users under the lock; the file is written if `change` succeeds. The second value
    /// tells of a damaged file, which is set aside: its users have to be made anew.
    ///
    /// # Errors
    /// That of `change`, or the file cannot be locked or written.
    pub(crate) fn change<T>(
        folder: &Path,
        change: impl FnOnce(&mut Users) -> Result<T, UsersError>,
    ) -> Result<(T, Option<String>), UsersError> {
        make_folder(folder)?;
        let _lock = files::lock(&folder.join(LOCK), LOCK_TIMEOUT)?;
        let file = Self::file(folder);
        files::sweep(&file);
        let (mut users, damage) = match state_file::read::<Users>(&file) {
            Ok(users) => (users.unwrap_or_default(), None),
            // Written at once: without a file tokens would not even be looked at.
            Err(unusable) => {
                files::replace_private(&file, b"{}")?;
                (Users::default(), Some(unusable.to_string()))
            }
        };
        let now = Timestamp::now();
        users.codes.retain(|code| code.until > now);
        users.withdrawn.retain(|withdrawn| now.duration_since(withdrawn.until) < WITHDRAWN_KEPT);
        let changed = change(&mut users)?;
        let bytes = serde_json::to_vec_pretty(&users)
            .map_err(|error| UsersError::Unusable(error.to_string()))?;
        files::replace_private(&file, &bytes)?;
        Ok((changed, damage))
    }

    /// Adds a user, or groups of a known one, with a code for a login. True if the user is new.
    ///
    /// # Errors
    /// A name cannot be one.
    pub(crate) fn add(
        &mut self,
        name: &str,
        groups: &[String],
        code: &LoginCode,
    ) -> Result<bool, UsersError> {
        for name in groups.iter().map(String::as_str).chain([name]) {
            check_name(name)?;
        }
        let now = Timestamp::now();
        let is_new = !self.users.contains_key(name);
        let user = self.users.entry(name.to_owned()).or_insert_with(|| User {
            groups: BTreeSet::new(),
            since: now,
            logins: Vec::new(),
        });
        user.groups.extend(groups.iter().cloned());
        self.removed.remove(name);
        self.codes.push(CodeRecord {
            user: name.to_owned(),
            id: code.keys().id,
            key: code.keys().key,
            until: now + CODE_LIFETIME,
        });
        Ok(is_new)
    }

    /// Removes a user, with tokens, certificates and unused codes.
    ///
    /// # Errors
    /// There is no user with this name.
    pub(crate) fn remove(&mut self, name: &str) -> Result<User, UsersError> {
        let user = self.users.remove(name).ok_or_else(|| self.unknown(name))?;
        self.codes.retain(|code| code.user != name);
        self.withdraw(&user.logins);
        self.removed.insert(name.to_owned(), Timestamp::now());
        Ok(user)
    }

    /// Withdraws the tokens, certificates and unused codes of a user, and makes room for a new
    /// login by `code`.
    ///
    /// # Errors
    /// There is no user with this name.
    pub(crate) fn rotate(&mut self, name: &str, code: &LoginCode) -> Result<(), UsersError> {
        let Some(user) = self.users.get_mut(name) else { return Err(self.unknown(name)) };
        let logins = std::mem::take(&mut user.logins);
        self.codes.retain(|code| code.user != name);
        self.withdraw(&logins);
        self.add(name, &[], code).map(drop)
    }

    /// Removes the logins of browsers that `is_over` says of; whether there was one.
    pub(crate) fn end_browsers(&mut self, is_over: impl Fn(&Login) -> bool) -> bool {
        let mut ended = false;
        for user in self.users.values_mut() {
            let before = user.logins.len();
            user.logins.retain(|login| !login.is_browser || !is_over(login));
            ended |= user.logins.len() < before;
        }
        ended
    }

    fn withdraw(&mut self, logins: &[Login]) {
        let with_certificate = logins.iter().filter(|login| !login.is_browser);
        self.withdrawn.extend(with_certificate.map(|login| WithdrawnCertificate {
            certificate: login.certificate.clone(),
            key: login.key.clone(),
            until: login.until,
        }));
    }

    fn unknown(&self, name: &str) -> UsersError {
        let help = did_you_mean(name, self.users.keys().map(String::as_str));
        UsersError::Unknown { name: name.to_owned(), help }
    }

    /// The user and the keys of an unused code.
    pub(crate) fn code(&self, id: &str) -> Option<(&str, CodeKeys)> {
        let now = Timestamp::now();
        let code = self.codes.iter().find(|code| code.id == id && code.until > now)?;
        Some((&code.user, CodeKeys { id: code.id.clone(), key: code.key.clone() }))
    }

    /// Uses a code up: the user has the login from now on.
    pub(crate) fn log_in(&mut self, id: &str, login: Login) {
        let Some(at) = self.codes.iter().position(|code| code.id == id) else { return };
        let code = self.codes.remove(at);
        let Some(user) = self.users.get_mut(&code.user) else { return };
        user.logins.push(login);
        let too_many = user.logins.len().saturating_sub(MAX_LOGINS);
        let ended: Vec<Login> = user.logins.drain(..too_many).collect();
        self.withdraw(&ended);
    }
}

fn make_folder(folder: &Path) -> Result<(), UsersError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source: io::Error| {
        FileError { operation: "make", path: folder.to_path_buf(), source }.into()
    })
}

fn check_name(name: &str) -> Result<(), UsersError> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._@-".contains(letter);
    let is_good = name.starts_with(|letter: char| letter.is_ascii_alphanumeric())
        && name.chars().all(is_plain)
        && name.len() <= MAX_NAME_CHARS
        // The names of clients that are not known.
        && !name.starts_with("anonymous@");
    if is_good { Ok(()) } else { Err(UsersError::Name(name.to_owned())) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::access::code::{PIN_BYTES, hex};

    /// Gives a new user a login with this token.
    pub(crate) fn add(folder: &Path, name: &str, token: &str) {
        let code = LoginCode::new([0; PIN_BYTES]).unwrap();
        let added = Users::change(folder, |users| {
            users.add(name, &[], &code)?;
            users.log_in(&code.keys().id, login(token));
            Ok(())
        });
        added.unwrap();
    }

    pub(crate) fn login(token: &str) -> Login {
        Login {
            token: hex(remote::TokenHash::of(token.as_bytes()).bytes()),
            certificate: String::new(),
            key: None,
            renewed: None,
            since: Timestamp::now(),
            until: Timestamp::now() + jiff::SignedDuration::from_hours(1),
            from: "10.0.0.3".to_owned(),
            is_browser: false,
        }
    }

    #[test]
    fn a_code_is_for_one_login_within_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let code = LoginCode::new([0; PIN_BYTES]).unwrap();
        let id = code.keys().id;
        let change = |change: &dyn Fn(&mut Users)| {
            Users::change(folder.path(), |users| {
                change(users);
                Ok(users.clone())
            })
            .unwrap()
            .0
        };
        let logins = |users: &Users| users.users["ada"].logins.len();
        assert!(
            change(&|users| assert!(users.add("ada", &[], &code).unwrap())).code(&id).is_some()
        );
        let users = change(&|users| users.log_in(&id, login("a")));
        assert_eq!((logins(&users), users.code(&id).is_some()), (1, false));
        let users = change(&|users| users.log_in(&id, login("b")));
        assert_eq!(logins(&users), 1, "a code is used once");
        change(&|users| {
            assert!(!users.add("ada", &["optics".to_owned()], &code).unwrap());
            users.codes[0].until = Timestamp::now();
        });
        let users = change(&|users| users.log_in(&id, login("b")));
        assert_eq!((logins(&users), users.code(&id).is_some()), (1, false));
        let users = change(&|users| users.rotate("ada", &code).unwrap());
        assert_eq!((logins(&users), users.users["ada"].groups.len()), (0, 1));
        let users = change(&|users| drop(users.remove("ada").unwrap()));
        assert_eq!((users.users.len(), users.codes.len()), (0, 0), "its code has gone too");
        assert!(users.removed.contains_key("ada") && users.withdrawn.len() == 1);
        let users = change(&|users| assert!(users.add("ada", &[], &code).unwrap()));
        assert!(users.removed.is_empty() && users.withdrawn.len() == 1);
        change(&|users| drop(users.remove("ada").unwrap()));
        let text =
            Users::change(folder.path(), |users| users.remove("ada")).unwrap_err().to_string();
        assert_eq!(text, "there is no user 'ada' in this lab");
    }

    #[test]
    fn names_are_plain() {
        let code = LoginCode::new([0; PIN_BYTES]).unwrap();
        let long = "x".repeat(65);
        for name in
            ["", " ada", "a b", "../x", "group:optics", "anonymous@10.0.0.3", "-x", &long, "ü"]
        {
            let error = Users::default().add(name, &[], &code).unwrap_err().to_string();
            assert!(error.contains("cannot be a name"), "{name}: {error}");
            assert!(Users::default().add("ada", &[name.to_owned()], &code).is_err(), "{name}");
        }
        for name in ["ada", "Ada.Lovelace", "ada@example.org", "7", "night-run_2"] {
            assert!(Users::default().add(name, &[], &code).is_ok(), "{name}");
        }
    }
}
