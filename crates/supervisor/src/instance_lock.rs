//! One instance per place: a lock on a file, which the kernel releases when its holder dies.
//!
//! Owns: the lock file. Refuses to know: what it guards. The file is never deleted: two processes
//! that lock two files of one name would both believe to be alone.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

/// How often a lock that is held is looked at.
const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How often a lock is tried before it counts as held: [`InstanceLock::wait_free`] of another
/// process holds it for a moment, and so does a process between our fork and its exec.
const LOCK_ATTEMPTS: u32 = 10;

/// The lock, held until it is dropped or the process dies.
#[derive(Debug)]
pub struct InstanceLock {
    _file: File,
}

impl InstanceLock {
    /// Takes the lock, or gives None if another process (or another part of this one) holds it.
    /// The file is made if need be; its directory is not.
    pub fn acquire(path: &Path) -> io::Result<Option<Self>> {
        for _ in 1..LOCK_ATTEMPTS {
            if let Some(lock) = Self::attempt(path)? {
                return Ok(Some(lock));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Self::attempt(path)
    }

    /// Waits until nobody holds the lock; false if somebody still does after `timeout`.
    pub async fn wait_free(path: &Path, timeout: Duration) -> io::Result<bool> {
        Self::wait_until(path, timeout, || false).await
    }

    /// Waits until the process `pid` does not hold the lock any more: nobody does, or another has
    /// been quick to take it.
    pub async fn wait_released_by(path: &Path, pid: u32, timeout: Duration) -> io::Result<bool> {
        let another = || Self::holder(path).is_some_and(|holder| holder != pid);
        Self::wait_until(path, timeout, another).await
    }

    async fn wait_until(
        path: &Path,
        timeout: Duration,
        enough: impl Fn() -> bool,
    ) -> io::Result<bool> {
        let deadline = Instant::now() + timeout;
        loop {
            match File::open(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
                Err(error) => return Err(error),
                // A shared lock, so that two who wait do not see each other.
                Ok(file) => match file.try_lock_shared() {
                    Ok(()) => return Ok(true),
                    Err(TryLockError::WouldBlock) if enough() => return Ok(true),
                    Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                        return Ok(false);
                    }
                    Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_POLL_INTERVAL).await,
                    Err(TryLockError::Error(error)) => return Err(error),
                },
            }
        }
    }

    /// The pid that the last holder wrote into the file: for messages to people, never for
    /// signals, since its process may be long gone.
    pub fn holder(path: &Path) -> Option<u32> {
        let mut text = String::new();
        File::open(path).ok()?.take(32).read_to_string(&mut text).ok()?;
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
            // Somebody has deleted or replaced the file between our opening and locking it.
            Ok(()) | Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Only for messages, so a full disk is no reason not to be the one.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Some(Self { _file: file }))
    }
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
        assert!(
            InstanceLock::wait_released_by(&path, us + 1, short).await.unwrap(),
            "we were quicker"
        );

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
