//! Replacing files so that a power cut leaves the old contents or the new, never a torn mixture.
//!
//! Owns the order of the steps: a temporary file in the same directory, fsync, rename, fsync of
//! the directory. It refuses to know what is in a file.

use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::open;

/// Interval of attempts on a lock that another process holds.
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

/// A step of reading or replacing a file that failed, with the file's name.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}", path.display())]
pub struct FileError {
    /// The failed operation, as a verb: "write", "rename".
    pub operation: &'static str,
    /// The file it was tried on.
    pub path: PathBuf,
    /// Why it failed.
    #[source]
    pub source: io::Error,
}

/// Replaces a file that users may read and edit, or makes it.
///
/// The mode of an existing file is kept; a new one gets what the umask allows. A symbolic link
/// is followed, so that a configuration linked into a repository stays linked.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    put(path, None, |file| file.write_all(bytes))
}

/// As [`replace`], with contents that are too large to have at once.
pub fn replace_with(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), FileError> {
    put(path, None, write)
}

/// Waits until nobody else holds the lock of this name, and holds it until the returned file is
/// dropped, or this process ends. A holder may hang, so this waits no longer than `patience`.
///
/// # Errors
/// The file cannot be made or locked, or another process holds it; which one, where that is known.
pub fn lock(path: &Path, patience: Duration) -> Result<File, FileError> {
    let failed = |source| FileError { operation: "lock", path: path.to_path_buf(), source };
    // A FIFO without a reader is an error, and nothing to wait for.
    let mut options = File::options();
    options.create(true).append(true).custom_flags(open::NONBLOCK);
    let file = options.open(path).map_err(failed)?;
    let deadline = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                return Err(failed(held(path, &file, patience)));
            }
            Err(TryLockError::WouldBlock) => thread::sleep(BETWEEN_TRIES),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
    }
}

fn held(path: &Path, file: &File, patience: Duration) -> io::Error {
    let (seconds, path) = (patience.as_secs_f64(), path.display());
    let text = match open::lock_holder(file) {
        Some(pid) => format!(
            "process {pid} has held it for {seconds} s: `ps -f {pid}` shows what it is; end it if \
             it hangs"
        ),
        None => format!(
            "another process has held it for {seconds} s: `fuser -v {path}` shows which; end it if \
             it hangs"
        ),
    };
    io::Error::new(io::ErrorKind::TimedOut, text)
}

/// Removes what a replacement of `path` has left behind that was killed in the middle of it. Only
/// for who holds the lock under which it is replaced.
pub fn sweep(path: &Path) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let prefix = format!(".{name}.");
    // A leftover that cannot be listed or removed does no harm.
    for entry in fs::read_dir(directory(path)).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(&prefix) && name.ends_with(".tmp") {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Replaces a state file, which only its owner may read (mode 0600).
pub fn replace_private(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    put(path, Some(0o600), |file| file.write_all(bytes))
}

/// Replaces a file that a user edits and keeps its last version as `NAME.previous`. Contents that
/// are secret are for its owner only (mode 0600).
///
/// Does nothing if the contents are the same already, so that saving twice does not push the
/// real last version out.
pub fn replace_keeping_previous(
    path: &Path,
    bytes: &[u8],
    is_secret: impl Fn(&[u8]) -> bool,
) -> Result<(), FileError> {
    let replace = |path: &Path, bytes: &[u8]| match is_secret(bytes) {
        true => replace_private(path, bytes),
        false => replace(path, bytes),
    };
    match open::read_regular(path) {
        Ok(current) if current == bytes => return Ok(()),
        Ok(current) => replace(&previous(path), &current)?,
        Err(source) if source.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(FileError { operation: "read", path: path.into(), source }),
    }
    replace(path, bytes)
}

/// Takes the rights of all but its owner from a file.
pub fn close_to_others(path: &Path) -> Result<(), FileError> {
    let failed = |source| FileError { operation: "close to others", path: path.into(), source };
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
    match mode & 0o077 {
        0 => Ok(()),
        _ => fs::set_permissions(path, Permissions::from_mode(mode & 0o700)).map_err(failed),
    }
}

/// Where [`replace_keeping_previous`] keeps the last version of a file.
pub fn previous(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".previous");
    path.with_file_name(name)
}

fn put(
    path: &Path,
    mode: Option<u32>,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), FileError> {
    let failed = |operation: &'static str, path: &Path| {
        let path = path.to_path_buf();
        move |source: io::Error| FileError { operation, path, source }
    };
    let path = &target(path).map_err(failed("follow the link", path))?;
    let directory = directory(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let prefix = format!(".{name}.");

    // The mode counts from the first byte on: a secret must not be readable for an instant.
    let at_birth = mode.unwrap_or(0o666);
    let mut file = tempfile::Builder::new()
        .prefix(&prefix)
        .suffix(".tmp")
        .permissions(Permissions::from_mode(at_birth))
        .tempfile_in(directory)
        .map_err(failed("make a temporary file in", directory))?;
    if mode.is_none()
        && let Ok(existing) = fs::metadata(path)
    {
        let kept = Permissions::from_mode(existing.permissions().mode() & 0o777);
        file.as_file().set_permissions(kept).map_err(failed("keep the mode of", path))?;
    }
    write(file.as_file_mut()).map_err(failed("write", path))?;
    file.as_file().sync_all().map_err(failed("flush to the disk", path))?;
    file.persist(path).map_err(|error| failed("replace", path)(error.error))?;
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(failed("flush the directory", directory))
}

fn target(path: &Path) -> io::Result<PathBuf> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => fs::canonicalize(path),
        _ => Ok(path.to_path_buf()),
    }
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn replaces_and_leaves_nothing_else_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.yaml");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(names(directory.path()), ["config.yaml"]);
    }

    #[test]
    fn keeps_the_mode_of_a_users_file_and_closes_a_state_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.yaml");
        replace(&path, b"one").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o664)).unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(mode(&path), 0o664);
        replace_private(&path, b"three").unwrap();
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn keeps_the_last_version_that_differed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.yaml");
        for text in ["one", "two", "two"] {
            replace_keeping_previous(&path, text.as_bytes(), |_| false).unwrap();
        }
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read(previous(&path)).unwrap(), b"one");
        assert_eq!(names(directory.path()), ["config.yaml", "config.yaml.previous"]);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        for (text, modes) in [("secret", [0o600, 0o644]), ("three", [0o600, 0o600])] {
            replace_keeping_previous(&path, text.as_bytes(), |text| text == b"secret").unwrap();
            assert_eq!([mode(&path), mode(&previous(&path))], modes, "{text}");
        }
    }

    #[test]
    fn follows_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let real = directory.path().join("real.yaml");
        let link = directory.path().join("config.yaml");
        replace(&real, b"one").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        replace(&link, b"two").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"two");
    }

    #[test]
    fn a_lock_that_is_held_says_by_whom() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.lock");
        let held = lock(&path, Duration::ZERO).unwrap();
        let error = lock(&path, Duration::from_millis(30)).unwrap_err();
        let said = error.source.to_string();
        let known = format!("process {} has held it for 0.03 s", std::process::id());
        let expected = if cfg!(target_os = "linux") { known.as_str() } else { "fuser -v" };
        assert!(said.contains(expected), "{said}");
        drop(held);
        lock(&path, Duration::ZERO).unwrap();
    }

    #[test]
    fn an_error_names_the_operation_and_the_path() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing");
        let error = replace(&missing.join("file"), b"").unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("cannot make a temporary file in /"), "{text}");
        assert!(text.ends_with("/missing"), "{text}");
        assert_eq!(error.source.kind(), io::ErrorKind::NotFound);
    }
}
