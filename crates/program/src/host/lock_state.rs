//! State file of a daemon's locks: epochs rise over restarts, and locks with a token outlive them.
//!
//! The file has the hash of a token, never the token. It is written at each change of such locks,
//! so that a crash loses no lock that is older than a moment. The time of a lock does not run while
//! the daemon is down: its owner could not come back.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use lab_config::{DaemonClass, Service};
use remote::{ClientCertificate, Credential, Daemon, KeptLock, TokenHash};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::paths::LockFiles;
use crate::{files, state_file};

/// Shortest time between two writes of new locks. That one has ended is written at once.
const WRITE_INTERVAL: Duration = Duration::from_millis(500);

/// Time until the file is tried again after it could not be written.
const RETRY_TIME: Duration = Duration::from_secs(5);

/// Epochs that one life of a daemon may use; a thousand grants a second last for months.
const EPOCHS_PER_LIFE: u64 = 10_000_000_000;

/// Lives that a state file may tell of; their epochs still fit a double of JSON.
const MAX_LIVES: u64 = 900_000;

/// The state file of a daemon's locks.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct LockMemory {
    /// How many lives it has had.
    lives: u64,
    /// Locks with a token; 0.1.0 neither knows nor keeps them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) kept: Vec<KeptLockRow>,
}

/// Facts about a daemon's locks from its lives before.
#[derive(Debug)]
pub(super) struct Inherited {
    /// The first epoch of this life: above all that it has had before.
    pub(super) first_epoch: u64,
    /// The loss with a file that cannot be used, in words.
    pub(super) lost: Option<String>,
    /// The locks that were kept by a token at the end of the last life.
    pub(super) kept: Vec<KeptLockRow>,
    /// Writer of the locks of this life; `None` in a daemon without locks.
    pub(super) writer: Option<KeptLockWriter>,
}

/// Begins a life of a daemon.
pub(super) fn begin_life(config: &lab_config::Daemon, files: &LockFiles) -> Inherited {
    match config.class {
        DaemonClass::Plain => {
            Inherited { first_epoch: 1, lost: None, kept: Vec::new(), writer: None }
        }
        DaemonClass::Lockable => {
            let (before, lost) = count_life(&files.state);
            let first_epoch = before.lives.saturating_mul(EPOCHS_PER_LIFE).saturating_add(1);
            let (lives, kept) = (before.lives + 1, before.kept);
            let memory = LockMemory { lives, kept: kept.clone() };
            let writer = Some(KeptLockWriter::new(files.state.clone(), memory));
            Inherited { first_epoch, lost, kept, writer }
        }
    }
}

/// The row of a lock in the state file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct KeptLockRow {
    service: String,
    user: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    address: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    credential: Option<CredentialRow>,
    /// When its owner got it, in seconds since 1970.
    since: u64,
    /// SHA-256 of the token, in base64.
    token_hash: String,
    epoch: u64,
    /// How long it outlives its owner's connection, in seconds.
    ttl: f64,
    /// How long it is kept for an owner who does not come back, in seconds.
    left: f64,
    /// Whether the instances that its owner drove were released when the process was stopped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    rested: bool,
}

/// The credential that an owner has shown, in base64.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CredentialRow {
    /// SHA-256 of a login's token.
    TokenHash(String),
    /// A certificate in DER.
    Certificate(String),
}

/// Writer of the locks that outlive this process.
#[derive(Debug)]
pub(super) struct KeptLockWriter {
    file: PathBuf,
    memory: LockMemory,
    /// Locks of services that could not be made, for the next process.
    unmade: Vec<KeptLockRow>,
    /// The locks of this process at the last write.
    kept: Vec<KeptLock>,
    has_failed: bool,
}

/// Restores the locks of the process before, each whose service still has a lock. The result is
/// those whose services are `configured` and could not be made.
pub(super) fn restore(
    daemon: &Daemon,
    rows: &[KeptLockRow],
    configured: &[Service],
) -> Vec<KeptLockRow> {
    let mut unmade = Vec::new();
    for row in rows {
        let service = &row.service;
        let is_configured = || configured.iter().any(|configured| configured.name == *service);
        match (row.read(), seconds(row.left)) {
            (Some(lock), Some(left)) if daemon.restore_lock(&lock, left) => {
                info!(service, user = row.user, "a lock is kept for its owner, who has its token");
            }
            (Some(_), Some(_)) if !has_lock(daemon, service) && is_configured() => {
                warn!(
                    service,
                    user = row.user,
                    "a lock is kept for the daemon's next process: there is no such object in this one"
                );
                unmade.push(row.clone());
            }
            _ => warn!(service, user = row.user, "a lock of the daemon's last process is not kept"),
        }
    }
    unmade
}

fn has_lock(daemon: &Daemon, service: &str) -> bool {
    daemon.locks().iter().any(|lock| lock.id == service)
}

impl KeptLockWriter {
    /// The writer of `file`, which has `memory` now.
    pub(super) fn new(file: PathBuf, memory: LockMemory) -> Self {
        KeptLockWriter { file, memory, unmade: Vec::new(), kept: Vec::new(), has_failed: false }
    }

    /// The same, with locks of services that could not be made.
    pub(super) fn with_unmade(self, unmade: Vec<KeptLockRow>) -> Self {
        KeptLockWriter { unmade, ..self }
    }

    /// Writes the file at each change until `over`, and once more then.
    pub(super) async fn follow(mut self, daemon: Daemon, over: CancellationToken) -> Self {
        let mut changes = daemon.lock_changes();
        let mut written: Vec<KeptLock> = Vec::new();
        // The rows of the process before, which are restored by now or not at all.
        let mut is_stale = !self.memory.kept.is_empty();
        let mut next_write = Instant::now();
        loop {
            changes.borrow_and_update();
            let kept = daemon.kept_locks();
            let is_due = Instant::now() >= next_write;
            // A lock that has ended must not come back after a crash: only new ones wait.
            let rows = if is_due { kept.clone() } else { still_kept(&written, &kept) };
            if (is_due && is_stale) || rows.len() < written.len() || (is_due && rows != written) {
                is_stale = !self.write(&rows).await;
                written = rows;
                if is_stale {
                    next_write = Instant::now() + RETRY_TIME;
                } else if is_due {
                    // Ends in between put no new lock off.
                    next_write = Instant::now() + WRITE_INTERVAL;
                }
            }
            let waits = is_stale || written != kept;
            let next_change = async {
                tokio::select! {
                    changed = changes.changed() => changed.is_ok(),
                    () = tokio::time::sleep_until(next_write.into()), if waits => true,
                }
            };
            if over.run_until_cancelled(next_change).await != Some(true) {
                break;
            }
        }
        let kept = daemon.kept_locks();
        // An owner who is away has less time now than at the last write.
        if is_stale || !kept.is_empty() || written != kept {
            self.write(&kept).await;
        }
        self
    }

    /// Marks the locks whose owners have left nothing unreleased, and writes the file.
    /// `has_released` tells of a service and a session whether what that has driven is released by
    /// now; `None` if it has driven nothing. A lock whose owner has not come back stays as it was.
    pub(super) async fn mark_rested(mut self, has_released: impl Fn(&str, u64) -> Option<bool>) {
        let mut is_changed = false;
        for lock in &self.kept {
            let Some(session) = lock.session else { continue };
            let is_rested = has_released(&lock.id, session).unwrap_or(lock.is_rested);
            let rows = self.memory.kept.iter_mut();
            for row in rows.filter(|row| row.service == lock.id && row.epoch == lock.epoch) {
                is_changed |= is_rested != row.rested;
                row.rested = is_rested;
            }
        }
        if is_changed {
            self.save().await;
        }
    }

    /// Writes these locks; whether that succeeded.
    async fn write(&mut self, kept: &[KeptLock]) -> bool {
        let now = Instant::now();
        let rows = kept.iter().map(|lock| KeptLockRow::of(lock, now));
        self.memory.kept = rows.chain(self.unmade.iter().cloned()).collect();
        self.kept = kept.to_vec();
        self.save().await
    }

    /// Writes the file; whether that succeeded.
    async fn save(&mut self) -> bool {
        let (memory, file) = (self.memory.clone(), self.file.clone());
        let written = tokio::task::spawn_blocking(move || memory.write(&file)).await;
        let failure = written.unwrap_or_else(|error| Err(error.to_string())).err();
        let had_failed = std::mem::replace(&mut self.has_failed, failure.is_some());
        match failure {
            Some(error) if !had_failed => warn!(file = %self.file.display(), error,
                "locks with a token would not outlive this process of the daemon, and those that have \
                 ended could come back; it is tried again"),
            None if had_failed => info!(file = %self.file.display(),
                "locks with a token are written again"),
            _ => {}
        }
        !self.has_failed
    }
}

/// The locks of `written` that are still kept, as they are now.
fn still_kept(written: &[KeptLock], kept: &[KeptLock]) -> Vec<KeptLock> {
    let was_written = |lock: &&KeptLock| {
        written.iter().any(|other| (&other.id, &other.token) == (&lock.id, &lock.token))
    };
    kept.iter().filter(was_written).cloned().collect()
}

impl KeptLockRow {
    fn of(lock: &KeptLock, now: Instant) -> Self {
        let since = lock.since.duration_since(SystemTime::UNIX_EPOCH);
        KeptLockRow {
            service: lock.id.clone(),
            user: lock.user.clone(),
            identity: lock.identity.as_deref().map(str::to_owned),
            address: lock.address.clone(),
            credential: lock.credential.as_ref().map(CredentialRow::of),
            since: since.map_or(0, |since| since.as_secs()),
            token_hash: BASE64_STANDARD.encode(lock.token.bytes()),
            epoch: lock.epoch,
            ttl: lock.ttl.as_secs_f64(),
            left: lock.left(now).as_secs_f64(),
            // While its owner is here, the process may end without releasing anything.
            rested: lock.is_rested && lock.session.is_none(),
        }
    }

    /// The lock; `None` where a field has a value that this program never writes.
    fn read(&self) -> Option<KeptLock> {
        let since = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(self.since))?;
        let credential = match &self.credential {
            Some(row) => Some(row.read()?),
            None => None,
        };
        Some(KeptLock {
            id: self.service.clone(),
            user: self.user.clone(),
            identity: self.identity.as_deref().map(Into::into),
            address: self.address.clone(),
            credential,
            since,
            token: hash(&self.token_hash)?,
            epoch: self.epoch,
            ttl: seconds(self.ttl)?,
            until: None,
            session: None,
            is_rested: self.rested,
        })
    }
}

impl CredentialRow {
    fn of(credential: &Credential) -> Self {
        match credential {
            Credential::Token(hash) => {
                CredentialRow::TokenHash(BASE64_STANDARD.encode(hash.bytes()))
            }
            Credential::Certificate(certificate) => {
                CredentialRow::Certificate(BASE64_STANDARD.encode(certificate.as_der()))
            }
        }
    }

    fn read(&self) -> Option<Credential> {
        match self {
            CredentialRow::TokenHash(text) => Some(Credential::Token(hash(text)?)),
            CredentialRow::Certificate(text) => {
                let der = BASE64_STANDARD.decode(text).ok()?;
                Some(Credential::Certificate(ClientCertificate::from_verified_der(der)))
            }
        }
    }
}

fn hash(text: &str) -> Option<TokenHash> {
    let bytes = BASE64_STANDARD.decode(text).ok()?;
    Some(TokenHash::from(<[u8; 32]>::try_from(bytes).ok()?))
}

fn seconds(number: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(number).ok()
}

/// Counts this life, and returns the file as it was before; and tells of a file that is lost.
fn count_life(file: &Path) -> (LockMemory, Option<String>) {
    let read = state_file::read(file).map(Option::unwrap_or_default);
    let (mut before, lost) = match read {
        Ok(memory @ LockMemory { lives, .. }) if lives <= MAX_LIVES => (memory, None),
        Ok(LockMemory { lives, .. }) => {
            let reason = format!("{} tells of {lives} lives of the daemon", file.display());
            (hours_since_1970(), Some(reason))
        }
        Err(unusable) => (hours_since_1970(), Some(unusable.to_string())),
    };
    let lost = lost.map(|reason| {
        format!("epochs of its locks go on far above, and no lock is kept by its token: {reason}")
    });
    if let Some(lost) = &lost {
        warn!("{lost}");
    }
    // A process that ends before it has restored the locks leaves them to the next one.
    let kept = std::mem::take(&mut before.kept);
    let now = LockMemory { lives: before.lives + 1, kept };
    let written = now.write(file);
    before.kept = now.kept;
    if let Err(error) = written {
        warn!(file = %file.display(), error,
            "cannot remember this life of the daemon; epochs may repeat after its next start");
    }
    (before, lost)
}

impl LockMemory {
    /// Replaces the state file.
    pub(super) fn write(&self, file: &Path) -> Result<(), String> {
        let bytes = serde_json::to_vec(self).map_err(|error| error.to_string())?;
        files::replace_private(file, &bytes).map_err(|error| error.to_string())
    }
}

/// More than the lives that any daemon has had, and still small enough for a double.
fn hours_since_1970() -> LockMemory {
    let seconds = jiff::Timestamp::now().as_second();
    LockMemory { lives: u64::try_from(seconds / 3600).unwrap_or_default(), kept: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_lock_is_read_as_it_was_and_its_token_is_not_written() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let certificate = ClientCertificate::from_verified_der(vec![48, 0]);
        for credential in [
            None,
            Some(Credential::Token(TokenHash::of(b"login"))),
            Some(Credential::Certificate(certificate)),
        ] {
            let lock = KeptLock {
                id: "lab.laser".to_owned(),
                user: "ada".to_owned(),
                identity: Some("ada".into()),
                address: "[::1]:4711".to_owned(),
                credential,
                since: SystemTime::UNIX_EPOCH + second,
                token: TokenHash::of(b"swordfish"),
                epoch: 7,
                ttl: 60 * second,
                until: Some(now + 20 * second),
                session: None,
                is_rested: true,
            };
            let text = serde_json::to_string(&KeptLockRow::of(&lock, now)).unwrap();
            assert!(!text.contains("swordfish") && !text.contains("login"), "{text}");
            let row: KeptLockRow = serde_json::from_str(&text).unwrap();
            assert_eq!(seconds(row.left), Some(20 * second));
            assert_eq!(row.read(), Some(KeptLock { until: None, ..lock }));
        }
    }

    #[tokio::test]
    async fn a_lock_is_rested_only_where_all_that_its_owner_drove_is_released() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("locks.json");
        let lock = |id: &str, session, is_rested| KeptLock {
            id: id.to_owned(),
            user: "ada".to_owned(),
            identity: None,
            address: "[::1]:4711".to_owned(),
            credential: None,
            since: SystemTime::UNIX_EPOCH,
            token: TokenHash::of(b"swordfish"),
            epoch: 7,
            ttl: Duration::from_secs(60),
            until: None,
            session,
            is_rested,
        };
        let kept = [
            lock("released", Some(1), true),
            lock("lost", Some(1), true),
            lock("idle", Some(1), true),
            lock("idle after a crash", Some(1), false),
            lock("released after a crash", Some(1), false),
            lock("away since a stop", None, true),
            lock("away since a crash", None, false),
        ];
        let unmade = KeptLockRow::of(&lock("unmade", None, false), Instant::now());
        let mut writer = KeptLockWriter::new(file.clone(), LockMemory::default());
        writer = writer.with_unmade(vec![unmade]);
        assert!(writer.write(&kept).await);
        let rested = || {
            let memory: LockMemory = state_file::read(&file).unwrap().unwrap();
            let rested = memory.kept.into_iter().filter(|row| row.rested);
            rested.map(|row| row.service).collect::<Vec<_>>()
        };
        assert_eq!(rested(), ["away since a stop"]);
        // Those whose owners are not in this process are not asked for.
        let has_released = |service: &str, session| {
            assert_eq!(session, 1, "{service}");
            let has_driven = !service.starts_with("idle");
            has_driven.then(|| service.starts_with("released"))
        };
        writer.mark_rested(has_released).await;
        let expected = ["released", "idle", "released after a crash", "away since a stop"];
        assert_eq!(rested(), expected);
    }

    #[test]
    fn epochs_rise_from_life_to_life() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("locks.json");
        for life in 0..3 {
            let (before, lost) = count_life(&file);
            assert_eq!((before.lives, lost), (life, None));
        }
        for damage in [&b"{\"liv"[..], b"{\"lives\": 18446744073709551615}"] {
            files::replace_private(&file, damage).unwrap();
            let (LockMemory { lives: far_above, .. }, lost) = count_life(&file);
            assert!(far_above > 400_000 && lost.is_some(), "{far_above}");
            let (before, lost) = count_life(&file);
            assert_eq!((before.lives, lost), (far_above + 1, None));
        }
    }
}
