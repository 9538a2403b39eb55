//! Lock file that admits one process at a time. The kernel releases it when the holder dies.
//!
//! The file is never deleted: two processes could then lock two files of the same name, and both
//! would believe that they are alone.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

/// Pause between two looks at a lock that another process holds.
const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Attempts before a lock counts as held. [`InstanceLock::wait_free`] of another process holds the
/// lock for a moment, and so does a child between fork and exec.
const LOCK_ATTEMPTS: u32 = 10;

/// The held lock. Dropping it, or the death of the process, releases it.
#[derive(Debug)]
pub struct InstanceLock {
    _file: File,
}

impl InstanceLock {
    /// Takes the lock; `None` if another process, or another part of this one, holds it. Creates
    /// the file if it does not exist, but not its directory.
    pub fn acquire(path: &Path) -> io::Result<Option<Self>> {
        for _ in 1..LOCK_ATTEMPTS {
            if let Some(lock) = Self::attempt(path)? {
                return Ok(Some(lock));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Self::attempt(path)
    }

    /// Waits until the lock is free; false if it is still held after `timeout`.
    pub async fn wait_free(path: &Path, timeout: Duration) -> io::Result<bool> {
        Self::wait_until(path, timeout, || false).await
    }

    /// Waits until the process `pid` no longer holds the lock: it is free, or another process has
    /// taken it meanwhile.
    pub async fn wait_released_by(path: &Path, pid: u32, timeout: Duration) -> io::Result<bool> {
        let taken_by_another = || Self::holder(path).is_some_and(|holder| holder != pid);
        Self::wait_until(path, timeout, taken_by_another).await
    }

    async fn wait_until(
        path: &Path,
        timeout: Duration,
        is_enough: impl Fn() -> bool,
    ) -> io::Result<bool> {
        let deadline = Instant::now() + timeout;
        loop {
            match open_at_once(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
                Err(error) => return Err(error),
                // A shared lock, so that two waiting processes do not block each other.
                Ok(file) => match file.try_lock_shared() {
                    Ok(()) => return Ok(true),
                    Err(TryLockError::WouldBlock) if is_enough() => return Ok(true),
                    Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                        return Ok(false);
                    }
                    Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_POLL_INTERVAL).await,
                    Err(TryLockError::Error(error)) => return Err(error),
                },
            }
        }
    }

    /// The pid that the last holder wrote into the file. For messages only, never for signals: its
    /// process may have ended long ago.
    pub fn holder(path: &Path) -> Option<u32> {
        let mut text = String::new();
        open_at_once(path).ok()?.take(32).read_to_string(&mut text).ok()?;
        text.trim().parse().ok()
    }

    fn attempt(path: &Path) -> io::Result<Option<Self>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        match file.try_lock() {
            Ok(()) if is_still_at(&file, path)? => {}
            // The file was deleted or replaced between opening and locking it.
            Ok(()) | Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // The pid is for messages only, so a full disk does not refuse the lock.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Some(Self { _file: file }))
    }
}

/// Opens a lock file for reading. A FIFO in its place would block without this flag.
fn open_at_once(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    options.open(path)
}

#[cfg(unix)]
fn is_still_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let ours = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(there) => Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(not(unix))]
fn is_still_at(_file: &File, _path: &Path) -> io::Result<bool> {
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_holder_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let short = Duration::from_millis(30);
        assert!(InstanceLock::wait_free(&path, short).await.unwrap(), "no file yet");
        let lock = InstanceLock::acquire(&path).unwrap().expect("free");
        assert_eq!(InstanceLock::holder(&path), Some(std::process::id()));
        assert!(InstanceLock::acquire(&path).unwrap().is_none());
        assert!(!InstanceLock::wait_free(&path, short).await.unwrap());

        let us = std::process::id();
        assert!(!InstanceLock::wait_released_by(&path, us, short).await.unwrap());
        let taken = InstanceLock::wait_released_by(&path, us + 1, short).await.unwrap();
        assert!(taken, "another process holds it");

        let waiting = tokio::spawn({
            let path = path.clone();
            async move { InstanceLock::wait_free(&path, Duration::from_secs(120)).await }
        });
        drop(lock);
        assert!(waiting.await.unwrap().unwrap());
        assert!(InstanceLock::acquire(&path).unwrap().is_some());
    }

    #[test]
    fn errors_are_told_apart_from_being_held() {
        let dir = tempfile::tempdir().unwrap();
        let error = InstanceLock::acquire(&dir.path().join("missing/lock")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(InstanceLock::holder(dir.path()), None);
    }
}
