//! Versions of the drivers that a daemon has imported, and whether their files have changed since.
//!
//! The worker says which files it has imported; here they are read. A driver's package is its
//! version where it was installed; a file in a folder has a hash, and the commit of its repository.

mod git;
mod package;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use py_worker::{SourceFile, WorkerSet};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tracing::{info, warn};

use self::package::Package;

/// Longest wait for the files of drivers to be looked at: they may be on a disk that hangs.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);
/// A file that is larger, in bytes, is compared by its time and size only.
const MAX_HASHED: u64 = 8 << 20;
/// Digits of a hash that are shown; `sha256sum` prints more of the same.
const SHOWN_DIGITS: usize = 16;

/// A driver's version; in `ps --json` and in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct DriverRow {
    /// The file of the service's class.
    pub(crate) file: String,
    /// The installed package that it belongs to, if it does.
    pub(crate) distribution: Option<String>,
    pub(crate) version: Option<String>,
    /// The beginning of the file's SHA-256, where it belongs to no package.
    pub(crate) hash: Option<String>,
    /// The commit of the file's git repository, where it is in one.
    pub(crate) commit: Option<String>,
    /// The change since the import, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stale: Option<String>,
}

/// A driver as it was imported.
#[derive(Debug)]
struct ImportedDriver {
    files: Arc<[SourceFile]>,
    /// The SHA-256 of each file; `None` where it had changed before it was read.
    hashes: Vec<Option<[u8; 32]>>,
    package: Option<Package>,
    row: DriverRow,
}

/// The drivers of a daemon by service; clones share them.
#[derive(Clone, Debug)]
pub(super) struct Drivers {
    imported: Arc<Mutex<BTreeMap<String, Arc<ImportedDriver>>>>,
    rows: watch::Sender<BTreeMap<String, DriverRow>>,
}

impl Drivers {
    pub(super) fn new() -> Self {
        Drivers { imported: Arc::default(), rows: watch::Sender::default() }
    }

    /// The versions, by service, now and whenever they change.
    pub(super) fn rows(&self) -> watch::Receiver<BTreeMap<String, DriverRow>> {
        self.rows.subscribe()
    }

    /// Reads the files of each driver after its import, for ever.
    pub(super) async fn follow(&self, workers: &WorkerSet) {
        let mut changes = workers.changes();
        loop {
            changes.borrow_and_update();
            for (service, files) in workers.sources() {
                self.note(service, files).await;
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    async fn note(&self, service: String, files: Arc<[SourceFile]>) {
        let is_same = |known: &Arc<ImportedDriver>| Arc::ptr_eq(&known.files, &files);
        let imported = || self.imported.lock().unwrap_or_else(PoisonError::into_inner);
        if imported().get(&service).is_some_and(is_same) {
            return;
        }
        if files.is_empty() {
            if imported().remove(&service).is_some() {
                self.rows.send_modify(|rows| drop(rows.remove(&service)));
            }
            return;
        }
        let read = tokio::task::spawn_blocking(move || ImportedDriver::read(files));
        let driver = match read.await {
            Ok(driver) => driver,
            Err(error) => return warn!(%error, "the files of a driver cannot be read"),
        };
        let DriverRow { file, distribution, version, hash, commit, .. } = &driver.row;
        info!(service, file, distribution, version, hash, commit, "the driver's version");
        self.rows.send_modify(|rows| drop(rows.insert(service.clone(), driver.row.clone())));
        imported().insert(service, Arc::new(driver));
    }

    /// Looks at the files of all drivers, and marks those that have changed.
    pub(super) async fn look(&self) {
        let imported = self.imported.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let look = tokio::task::spawn_blocking(move || {
            let look = |(service, driver): (String, Arc<ImportedDriver>)| (service, driver.stale());
            imported.into_iter().map(look).collect::<Vec<_>>()
        });
        let Ok(Ok(looked)) = tokio::time::timeout(LOOK_TIMEOUT, look).await else { return };
        self.rows.send_if_modified(|rows| {
            let mut is_changed = false;
            for (service, stale) in looked {
                if let Some(row) = rows.get_mut(&service).filter(|row| row.stale != stale) {
                    row.stale = stale;
                    is_changed = true;
                }
            }
            is_changed
        });
    }
}

impl ImportedDriver {
    fn read(files: Arc<[SourceFile]>) -> Self {
        let unchanged = |file: &&SourceFile| is_as_imported(file);
        let hashes =
            files.iter().map(|file| Some(file).filter(unchanged).and_then(|f| hash(&f.path)));
        let hashes: Vec<_> = hashes.collect();
        let first = files.first().map(|file| file.path.clone()).unwrap_or_default();
        let package = Package::of(&first);
        let is_loose = package.is_none();
        let row = DriverRow {
            file: first.display().to_string(),
            distribution: package.as_ref().map(|package| package.name.clone()),
            version: package.as_ref().map(|package| package.version.clone()),
            hash: hashes.first().copied().flatten().filter(|_| is_loose).map(shown),
            commit: Some(&first).filter(|_| is_loose).and_then(|file| git::commit_of(file)),
            stale: None,
        };
        ImportedDriver { files, hashes, package, row }
    }

    /// The change since the import.
    fn stale(&self) -> Option<String> {
        if let Some(package) = &self.package
            && let Some(now) = package.version_now()
            && now != package.version
        {
            let Package { name, version, .. } = package;
            return Some(format!("{name} {now} is installed, and {version} was imported"));
        }
        let pairs = self.files.iter().zip(&self.hashes);
        let changed = pairs.filter(|(file, known)| {
            !is_as_imported(file) && (known.is_none() || hash(&file.path) != **known)
        });
        let changed: Vec<&Path> = changed.map(|(file, _)| file.path.as_path()).collect();
        let first = changed.first()?.display();
        Some(match changed.len() {
            1 => format!("{first} has changed since it was imported"),
            count => format!("{first} and {} more file(s) have changed since", count - 1),
        })
    }
}

/// Whether a file has the time and the size that it had at its import.
fn is_as_imported(file: &SourceFile) -> bool {
    std::fs::metadata(&file.path).is_ok_and(|now| {
        let changed = now.mtime().saturating_mul(1_000_000_000).saturating_add(now.mtime_nsec());
        changed == file.changed_ns && now.len() == file.size
    })
}

/// The SHA-256 of a file.
fn hash(path: &Path) -> Option<[u8; 32]> {
    let mut content = Vec::new();
    let file = File::open(path).ok()?;
    file.take(MAX_HASHED + 1).read_to_end(&mut content).ok()?;
    (content.len() as u64 <= MAX_HASHED).then(|| Sha256::digest(&content).into())
}

fn shown(hash: [u8; 32]) -> String {
    let mut digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.truncate(SHOWN_DIGITS);
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &Path) -> SourceFile {
        let now = std::fs::metadata(path).unwrap();
        let changed_ns = now.mtime() * 1_000_000_000 + now.mtime_nsec();
        SourceFile { path: path.to_path_buf(), changed_ns, size: now.len() }
    }

    #[test]
    fn a_changed_file_is_stale_and_a_touched_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["one.py", "two.py"].map(|name| folder.path().join(name));
        for file in [&one, &two] {
            crate::files::replace(file, b"x = 1\n").unwrap();
        }
        let driver = ImportedDriver::read([source(&one), source(&two)].into());
        assert_eq!(driver.row.hash.as_deref(), Some("9e26bf369911c45c"));
        assert_eq!(driver.stale(), None);
        let later = std::time::SystemTime::now() + Duration::from_secs(60);
        File::options().write(true).open(&one).unwrap().set_modified(later).unwrap();
        assert_eq!(driver.stale(), None, "touched");
        crate::files::replace(&two, b"x = 22\n").unwrap();
        let stale = driver.stale().unwrap();
        assert_eq!(stale, format!("{} has changed since it was imported", two.display()));
        std::fs::remove_file(&one).unwrap();
        let stale = driver.stale().unwrap();
        assert_eq!(stale, format!("{} and 1 more file(s) have changed since", one.display()));
    }
}
