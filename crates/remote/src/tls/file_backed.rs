//! Settings that are read from files, and read anew when a file has changed.
//!
//! A file that cannot be used leaves the settings that are in force as they are. A certificate and
//! its key are two files, which nobody replaces at one instant: a failure counts when the next look
//! fails too.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, TryLockError};
use std::time::{Duration, Instant, SystemTime};

use tracing::{info, warn};

use super::TlsError;

/// Reader of the files.
type Read<T> = Box<dyn Fn() -> Result<T, TlsError> + Send + Sync>;

/// A value that is made from files.
pub(super) struct FileBacked<T> {
    /// Files, and folders of files.
    paths: Vec<PathBuf>,
    read: Read<T>,
    current: RwLock<Arc<T>>,
    last_look: Mutex<LastLook>,
}

/// The last look at the files.
struct LastLook {
    at: Instant,
    stamps: Vec<Stamp>,
    verdict: FilesVerdict,
}

/// Whether the files that were seen last are in force.
#[derive(Debug, PartialEq, Eq)]
enum FilesVerdict {
    InForce,
    /// They could not be used, at one look so far.
    Doubtful,
    /// They cannot be used; the text names the file.
    Unusable(String),
}

/// A state of a file: each change of it makes another one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    bytes: u64,
    modified: Option<SystemTime>,
    /// Inode, and the time of its last change in seconds and nanoseconds: `cp -p` keeps the other.
    inode: (u64, i64, i64),
}

impl<T> FileBacked<T> {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// A file cannot be used; the error names it.
    pub(super) fn open(
        paths: Vec<PathBuf>,
        read: impl Fn() -> Result<T, TlsError> + Send + Sync + 'static,
    ) -> Result<Self, TlsError> {
        let stamps = stamps(&paths);
        let current = RwLock::new(Arc::new(read()?));
        let look = LastLook { at: Instant::now(), stamps, verdict: FilesVerdict::InForce };
        Ok(FileBacked { paths, read: Box::new(read), current, last_look: Mutex::new(look) })
    }

    /// The value in force.
    pub(super) fn current(&self) -> Arc<T> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks whether a file has changed, and takes the new ones up. Blocks: the files may be in the
    /// network. While another thread looks, it does nothing.
    pub(super) fn look(&self) {
        let mut last = match self.last_look.try_lock() {
            Ok(last) => last,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let stamps = stamps(&self.paths);
        last.at = Instant::now();
        let is_changed = stamps != last.stamps;
        if !is_changed && last.verdict != FilesVerdict::Doubtful {
            return;
        }
        last.stamps = stamps;
        let first = self.paths.first().map(|path| path.display().to_string()).unwrap_or_default();
        last.verdict = match (self.read)() {
            Ok(value) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
                info!(file = first, "the changed files for TLS are in force");
                FilesVerdict::InForce
            }
            Err(_) if is_changed && last.verdict != FilesVerdict::Doubtful => {
                FilesVerdict::Doubtful
            }
            Err(error) => {
                warn!(%error, "the changed files for TLS cannot be used: those before stay in force");
                FilesVerdict::Unusable(error.to_string())
            }
        };
    }

    /// Whether there are files, and no look at them for `interval`.
    pub(super) fn is_due(&self, interval: Duration) -> bool {
        let last = self.last_look.try_lock();
        !self.paths.is_empty() && last.is_ok_and(|last| last.at.elapsed() >= interval)
    }

    /// Why the changed files are not in force; the text names one.
    pub(super) fn trouble(&self) -> Option<String> {
        let last = self.last_look.lock().unwrap_or_else(PoisonError::into_inner);
        match &last.verdict {
            FilesVerdict::InForce | FilesVerdict::Doubtful => None,
            FilesVerdict::Unusable(error) => Some(error.clone()),
        }
    }
}

/// The states of files, and of all files in folders.
fn stamps(paths: &[PathBuf]) -> Vec<Stamp> {
    let mut files = Vec::new();
    for path in paths {
        files.push(path.clone());
        if path.is_dir() {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            files.extend(entries.map(|entry| entry.path()));
        }
    }
    files.sort();
    files.iter().map(|path| stamp(path)).collect()
}

fn stamp(path: &Path) -> Stamp {
    // A link counts by its target: certificates are often replaced by another link.
    let metadata = fs::metadata(path).ok();
    Stamp {
        path: path.to_path_buf(),
        bytes: metadata.as_ref().map_or(0, fs::Metadata::len),
        modified: metadata.as_ref().and_then(|metadata| metadata.modified().ok()),
        inode: metadata.as_ref().map(inode).unwrap_or_default(),
    }
}

#[cfg(unix)]
fn inode(metadata: &fs::Metadata) -> (u64, i64, i64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
}

#[cfg(not(unix))]
fn inode(_: &fs::Metadata) -> (u64, i64, i64) {
    (0, 0, 0)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn write(path: &Path, content: &str) {
        fs::File::create(path).unwrap().write_all(content.as_bytes()).unwrap();
    }

    /// A file with a number.
    fn number(path: &Path) -> FileBacked<u32> {
        let file = path.to_path_buf();
        let read = move || {
            let text = fs::read_to_string(&file).unwrap_or_default();
            text.parse().map_err(|_| TlsError::Unusable(format!("'{text}' is no number")))
        };
        FileBacked::open(vec![path.to_path_buf()], read).unwrap()
    }

    #[test]
    fn a_changed_file_is_taken_up_and_a_broken_one_leaves_the_last_good_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        write(&path, "1");
        let number = number(&path);
        // The content, the value in force after one look, and the trouble after another one.
        for (content, value, trouble) in [
            (Some("1"), 1, None),
            (Some("22"), 22, None),
            (Some("many"), 22, Some("'many' is no number")),
            (Some("few!"), 22, Some("'few!' is no number")),
            (None, 22, Some("'' is no number")),
            (Some("4"), 4, None),
        ] {
            let replaced = folder.path().join("new");
            match content {
                Some(content) => {
                    write(&replaced, content);
                    fs::rename(&replaced, &path).unwrap();
                }
                None => fs::remove_file(&path).unwrap(),
            }
            number.look();
            assert_eq!((*number.current(), number.trouble()), (value, None), "{content:?}");
            number.look();
            let found = (*number.current(), number.trouble());
            assert_eq!(found, (value, trouble.map(str::to_owned)), "{content:?}");
        }
    }

    #[test]
    fn a_file_that_is_wrong_in_another_way_at_each_look_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        write(&path, "1");
        let number = number(&path);
        for content in ["a", "bb"] {
            write(&path, content);
            number.look();
        }
        assert_eq!(number.trouble().as_deref(), Some("'bb' is no number"));
        write(&path, "333");
        number.look();
        assert_eq!((*number.current(), number.trouble()), (333, None));
    }
}
