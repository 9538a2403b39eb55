//! Users of a lab: their file, what a running process knows of them, how they log in, and the rules
//! of what they may do.

mod browser;
mod code;
mod decisions;
mod enroll;
mod login;
mod logins;
mod messages;
mod renew;
mod renewal;
mod rules;
mod table;
mod users;

use std::path::Path;

use crate::authority::{AuthorityError, AuthorityFiles};

pub(crate) use browser::{end_browser, end_browsers, log_in_browser};
pub(crate) use code::LoginCode;
pub(crate) use decisions::{AccessClient, LabAccess};
pub(crate) use enroll::{LOGIN_OBJECT, LoginObject};
pub(crate) use login::log_in;
pub(crate) use logins::StoredLogin;
pub(crate) use renew::{RENEWAL_DUE, logins_for, logins_for_reader, renew};
pub(crate) use rules::{reading_rules, rules};
pub(crate) use table::UserTable;
pub(crate) use users::{CODE_LIFETIME, Login, User, Users, UsersError};

/// Pyro5's port of nameservers.
pub(crate) const DEFAULT_PORT: u16 = 9090;

/// Why there is no new login code.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NewCodeError {
    #[error("cannot open the lab's authority: {0}")]
    Authority(#[from] AuthorityError),
    #[error("cannot read the lab's authority: {0}")]
    Certificate(#[from] remote::TlsError),
    #[error("the system has no randomness: {0}")]
    Random(#[from] getrandom::Error),
}

/// Names that clients of this host may have: users in `folder` (`state/access`), and those of the
/// operating system; `None` where the users cannot be read. And the groups of the former.
pub(crate) fn known_names(folder: &Path) -> (Option<Vec<String>>, Vec<String>) {
    let Ok(Users { users, .. }) = Users::look(folder) else { return (None, Vec::new()) };
    let groups = users.values().flat_map(|user| user.groups.iter().cloned()).collect();
    let users = users.into_keys();
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let accounts = accounts.lines().filter_map(|line| line.split(':').next());
    (Some(users.chain(accounts.map(str::to_owned)).collect()), groups)
}

/// A new login code for the lab whose users and authority are in `folder` (`state/access`).
///
/// # Errors
/// The authority cannot be made or read.
pub(crate) fn new_code(folder: &Path) -> Result<LoginCode, NewCodeError> {
    let files = AuthorityFiles::in_folder(folder.to_path_buf());
    files.open()?;
    let facts = remote::read_certificate(&files.certificate())?;
    Ok(LoginCode::new(code::pin_of(&facts.sha256))?)
}
