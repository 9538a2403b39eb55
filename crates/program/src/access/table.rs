//! The users as a running daemon or nameserver knows them.
//!
//! The process reads the file of the users itself, and looks every [`LOOK_INTERVAL`] whether it has
//! been replaced: a removed user is out within a second even where the supervisor hangs. At each
//! credential it looks once more, so that a change counts for new connections at once.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use remote::{ClientCertificate, Credential, Daemon, TokenHash, UserDirectory, Verdict};
use sha2::{Digest, Sha256};
use tracing::{info, warn};

use super::code::{from_hex, hex};
use super::users::{Users, WithdrawnCertificate};

/// Reason of a refusal.
const UNKNOWN_TOKEN: &str = "this token is not known here, or was withdrawn: log in again, with a new \
    code of the person who runs the lab (`ferrolab user rotate NAME` prints one)";
/// The same, while the file cannot be read.
const DAMAGED: &str = "the users of this lab cannot be read, so no token and no certificate is \
    accepted: `ferrolab user list` on its host says why";
/// Time between two looks at the file.
const LOOK_INTERVAL: Duration = Duration::from_millis(400);
/// Looks after a change at which open connections are judged again: a handshake that was judged
/// before it has ended by then.
const ROUNDS_AFTER_CHANGE: u32 = 15;

/// The users of a lab, as their file has them.
#[derive(Debug)]
pub(crate) struct UserTable {
    /// `state/access`.
    folder: PathBuf,
    state: RwLock<Arc<TableState>>,
}

#[derive(Debug, Default)]
struct TableState {
    /// The version of the file that was read; `None` where it does not exist.
    version: Option<FileVersion>,
    tokens: Vec<(TokenHash, Arc<str>)>,
    users: Users,
    /// Whether the file cannot be read.
    is_damaged: bool,
}

/// A version of a file: each replacement has another inode or time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileVersion {
    inode: u64,
    modified: (i64, i64),
    bytes: u64,
}

impl UserTable {
    /// The users in this folder (`state/access`).
    pub(crate) fn open(folder: PathBuf) -> Arc<Self> {
        let table = UserTable { folder, state: RwLock::default() };
        table.refresh();
        Arc::new(table)
    }

    /// Has `daemon` know its clients by these users, and ends connections of removed ones, for as
    /// long as the returned future runs.
    pub(crate) fn serve(
        self: Arc<Self>,
        daemon: &Daemon,
    ) -> impl Future<Output = ()> + Send + use<> {
        daemon.set_users(Arc::clone(&self) as Arc<dyn UserDirectory>);
        let daemon = daemon.clone();
        async move {
            let (mut seen, mut rounds) = (None, 0);
            let mut look = tokio::time::interval(LOOK_INTERVAL);
            look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                look.tick().await;
                self.refresh();
                let version = self.state().version;
                if seen != Some(version) {
                    seen = Some(version);
                    rounds = ROUNDS_AFTER_CHANGE;
                    daemon.access_gate().forget_rights();
                }
                if rounds > 0 {
                    rounds -= 1;
                    daemon.end_refused_sessions();
                }
            }
        }
    }

    /// The folder of the users.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether there is a file: users have been added at some time.
    fn is_used(&self) -> bool {
        self.state().version.is_some()
    }

    /// Reads the file if it has been replaced; whether it was.
    pub(crate) fn refresh(&self) -> bool {
        let version = self.version();
        if version == self.state().version {
            return false;
        }
        let mut is_damaged = false;
        let users = Users::look(&self.folder).unwrap_or_else(|error| {
            // A file that cannot be read may withdraw whatever is shown. The next change sets it
            // aside.
            warn!(%error, "{DAMAGED}");
            is_damaged = true;
            Users::default()
        });
        let of_each = |user: &str| -> Arc<str> { user.into() };
        let mut state = TableState { version, is_damaged, ..TableState::default() };
        for (name, user) in &users.users {
            let name = of_each(name);
            for login in &user.logins {
                let token = from_hex(&login.token).and_then(|hash| <[u8; 32]>::try_from(hash).ok());
                state.tokens.extend(token.map(|hash| (TokenHash::from(hash), Arc::clone(&name))));
            }
        }
        info!(users = users.users.len(), "the users of this lab were read");
        state.users = users;
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(state);
        true
    }

    fn version(&self) -> Option<FileVersion> {
        let metadata = fs::symlink_metadata(Users::file(&self.folder)).ok()?;
        let (inode, bytes) = (metadata.ino(), metadata.len());
        Some(FileVersion { inode, modified: (metadata.mtime(), metadata.mtime_nsec()), bytes })
    }

    fn state(&self) -> Arc<TableState> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl UserDirectory for UserTable {
    fn groups_of(&self, user: &str) -> Vec<String> {
        let state = self.state();
        let user = state.users.users.get(user);
        user.map(|user| user.groups.iter().cloned().collect()).unwrap_or_default()
    }

    fn has_tokens(&self) -> bool {
        // The first user may have been added since the last look.
        self.is_used() || self.refresh() && self.is_used()
    }

    fn judge(&self, credential: &Credential) -> Verdict {
        // A login that is newer than the last look, or a user who was removed since.
        self.refresh();
        self.state().judge(credential)
    }
}

impl TableState {
    fn judge(&self, credential: &Credential) -> Verdict {
        match credential {
            // Without users a handshake's data means what its driver takes it for.
            Credential::Token(_) if self.version.is_none() => Verdict::Foreign,
            Credential::Certificate(shown) => self.judge_certificate(shown),
            Credential::Token(token) => {
                let mut user = None;
                // All are compared, so that the time does not tell whose token is like this one.
                for (known, name) in &self.tokens {
                    if known == token {
                        user = Some(name);
                    }
                }
                match user {
                    Some(name) => Verdict::User(Arc::clone(name)),
                    None => Verdict::Refused(UNKNOWN_TOKEN.to_owned()),
                }
            }
        }
    }
}

impl TableState {
    /// Certificates that were not withdrawn are accepted: TLS has verified them, and the lab's
    /// operator can issue some without adding a user.
    fn judge_certificate(&self, shown: &ClientCertificate) -> Verdict {
        let fingerprint = hex(&Sha256::digest(shown.as_der()));
        let key = shown.public_key().map(|key| hex(&Sha256::digest(key)));
        let name = shown.common_name().unwrap_or_default();
        let is_withdrawn = |known: &WithdrawnCertificate| {
            known.certificate == fingerprint || known.key.is_some() && known.key == key
        };
        if self.users.removed.contains_key(&name) || self.users.withdrawn.iter().any(is_withdrawn) {
            return Verdict::Refused(format!(
                "the certificate of '{name}' was withdrawn: log in again, with a new code of the \
                 person who runs the lab (`ferrolab user add {name}` prints one)"
            ));
        }
        if self.is_damaged {
            return Verdict::Refused(DAMAGED.to_owned());
        }
        Verdict::Foreign
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::users::tests::{add, login};

    #[test]
    fn a_token_is_known_from_its_login_until_its_user_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let table = UserTable::open(folder.path().join("access"));
        let judge = |token: &str| table.judge(&Credential::Token(TokenHash::of(token.as_bytes())));
        let is_refused = |token: &str| matches!(judge(token), Verdict::Refused(_));
        // Without users the data of a handshake is nobody's token.
        assert_eq!((judge("a"), table.has_tokens()), (Verdict::Foreign, false));
        add(&table.folder, "ada", "a");
        // An unknown token has the file read anew.
        table.refresh();
        assert_eq!(judge("a"), Verdict::User("ada".into()));
        add(&table.folder, "grace", "g");
        assert_eq!(judge("g"), Verdict::User("grace".into()));
        for wrong in ["", "b", "aa", &login("a").token] {
            assert!(is_refused(wrong), "{wrong}");
        }
        Users::change(&table.folder, |users| users.remove("ada")).unwrap();
        assert!(table.refresh());
        assert!(is_refused("a") && !is_refused("g"));
        for damage in [&b"{\"users\": 5}"[..], b"", b"[]"] {
            crate::files::replace(&Users::file(&table.folder), damage).unwrap();
            assert!(table.refresh());
            assert!(is_refused("g") && table.has_tokens(), "nobody is let in by a damaged file");
        }
        Users::change(&table.folder, |users| users.remove("grace")).unwrap_err();
        add(&table.folder, "grace", "h");
        assert!(is_refused("g") && !is_refused("h"));
    }
}
