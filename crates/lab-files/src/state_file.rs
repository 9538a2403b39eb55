//! State files: how a file that Ferrolab has written for itself is read again.
//!
//! A file that cannot be used is set aside: a damaged one, and a directory, a link or a FIFO in its
//! place. So the next write has a free place, a person can still look at it, and the reader has a
//! sentence for `status` and the log. Opening a file never blocks.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use crate::open;

/// Largest state file in bytes. The longest holds a copy of the configuration, at most 1 MiB.
const MAX_BYTES: u64 = 16 << 20;
/// Names that are tried for a file that is set aside.
const NAMES_TRIED: u32 = 1000;

/// A state file that cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub struct Unusable {
    path: PathBuf,
    reason: String,
    /// The new path of the file, or why it has none.
    aside: Option<Result<PathBuf, String>>,
}

/// Reads a state file that holds an object; `None` where it does not exist. A file that cannot be
/// used is set aside: only for the process that writes it, too.
///
/// # Errors
/// It cannot be used.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Unusable> {
    setting_aside(path, peek(path))
}

/// As [`read`], a state file that holds a list.
///
/// # Errors
/// It cannot be used.
pub fn read_list<T: DeserializeOwned>(path: &Path) -> Result<Option<Vec<T>>, Unusable> {
    setting_aside(path, parse(path, b'['))
}

/// As [`read`], a file whose bytes `parse` takes, `most` of them; false where it does not exist.
///
/// # Errors
/// It cannot be used, or `parse` says how it is damaged.
pub fn read_bytes_with(
    path: &Path,
    most: u64,
    parse: impl FnOnce(&[u8]) -> Result<(), String>,
) -> Result<bool, Unusable> {
    let unusable = |reason: String| Unusable { path: path.to_path_buf(), reason, aside: None };
    let parsed = match contents(path, most) {
        Ok(None) => return Ok(false),
        Ok(Some(bytes)) => {
            parse(&bytes).map_err(|reason| unusable(format!("is damaged ({reason})")))
        }
        Err(unusable) => Err(unusable),
    };
    setting_aside(path, parsed).map(|()| true)
}

fn setting_aside<T>(path: &Path, read: Result<T, Unusable>) -> Result<T, Unusable> {
    read.map_err(|unusable| {
        let aside = set_aside(path).map_err(|error| error.to_string());
        Unusable { aside: Some(aside), ..unusable }
    })
}

/// As [`read`], for a process that only looks: the file stays where it is.
///
/// # Errors
/// It cannot be used.
pub fn peek<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Unusable> {
    parse(path, b'{')
}

/// The content of a file that begins with `first`. The reader of an object takes a list for one,
/// too, an empty one for the defaults.
fn parse<T: DeserializeOwned>(path: &Path, first: u8) -> Result<Option<T>, Unusable> {
    let unusable = |reason: String| Unusable { path: path.to_path_buf(), reason, aside: None };
    let Some(bytes) = contents(path, MAX_BYTES)? else { return Ok(None) };
    match bytes.trim_ascii_start().first() {
        None => return Err(unusable("is empty".to_owned())),
        Some(begins) if *begins != first => {
            let expected = if first == b'[' { "a list" } else { "an object" };
            return Err(unusable(format!("is damaged (it is not {expected} of JSON)")));
        }
        Some(_) => {}
    }
    match serde_json::from_slice(&bytes) {
        Ok(state) => Ok(Some(state)),
        Err(error) => Err(unusable(format!("is damaged ({error})"))),
    }
}

/// The bytes of a file; `None` where it does not exist.
fn contents(path: &Path, most: u64) -> Result<Option<Vec<u8>>, Unusable> {
    let unusable = |reason: String| Unusable { path: path.to_path_buf(), reason, aside: None };
    // Writing replaces a state file, so that a link is nobody's arrangement.
    if path.is_symlink() {
        return Err(unusable("is a link, not a file".to_owned()));
    }
    match read_bytes(path, most) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unusable(format!("cannot be read ({error})"))),
    }
}

fn read_bytes(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = open::open_regular(path)?;
    let bytes = file.metadata()?.len();
    if bytes > most {
        return Err(io::Error::other(format!("it has {bytes} bytes, at most {most}")));
    }
    let mut content = Vec::new();
    file.take(most).read_to_end(&mut content)?;
    Ok(content)
}

/// Renames whatever is at `path`; its new path.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let stamp = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let candidate = |number: u32| match number {
        1 => path.with_file_name(format!("{name}.damaged-{stamp}")),
        _ => path.with_file_name(format!("{name}.damaged-{stamp}-{number}")),
    };
    // A link that leads nowhere has a name, too.
    let is_free = |path: &PathBuf| path.symlink_metadata().is_err();
    let aside = (1..NAMES_TRIED).map(candidate).find(is_free);
    let aside = aside.ok_or_else(|| io::Error::from(io::ErrorKind::AlreadyExists))?;
    std::fs::rename(path, &aside)?;
    Ok(aside)
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unusable { path, reason, aside } = self;
        write!(f, "the state file {} {reason}", path.display())?;
        match aside {
            None => Ok(()),
            Some(Ok(aside)) => write!(f, " and was set aside as {}", aside.display()),
            Some(Err(error)) => write!(f, " and cannot be set aside: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::files;

    type State = BTreeMap<String, u16>;

    fn make_fifo(path: &Path) {
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, path, mode).unwrap();
    }

    #[test]
    fn whatever_is_in_its_place_is_named_and_set_aside() {
        type Damage = fn(&Path);
        let damages: [(&str, Damage); 13] = [
            ("is empty", |path| files::replace(path, b"").unwrap()),
            ("is damaged (EOF while", |path| files::replace(path, b"{\"a\": 1").unwrap()),
            ("is damaged (it is not an object", |path| files::replace(path, b"[]").unwrap()),
            ("is damaged (invalid value", |path| files::replace(path, b"{\"a\": -1}").unwrap()),
            ("is damaged (trailing", |path| files::replace(path, b"{} {}").unwrap()),
            ("is damaged (", |path| files::replace(path, b"{\"\xff\": 1}").unwrap()),
            ("is damaged (", |path| {
                let deep = "{\"a\":".repeat(100_000);
                files::replace(path, deep.as_bytes()).unwrap();
            }),
            ("cannot be read (it has", |path| {
                fs::File::create(path).unwrap().set_len(MAX_BYTES + 1).unwrap();
            }),
            ("cannot be read (it is a directory", |path| {
                fs::create_dir_all(path.join("inner")).unwrap();
            }),
            ("cannot be read (it is a FIFO", make_fifo),
            ("is a link", |path| symlink("/nowhere/at/all", path).unwrap()),
            ("is a link", |path| symlink("/dev/zero", path).unwrap()),
            ("cannot be read (", |path| drop(UnixListener::bind(path).unwrap())),
        ];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        for (expected, damage) in damages {
            damage(&path);
            let looked = peek::<State>(&path).unwrap_err();
            assert!(looked.to_string().contains(expected), "{looked}, not {expected}");
            assert!(path.symlink_metadata().is_ok(), "it stays after a look");
            let told = read::<State>(&path).unwrap_err();
            assert!(told.to_string().contains("state.json.damaged-"), "{told}");
            let Some(Ok(aside)) = told.aside else { panic!("not set aside: {expected}") };
            assert!(aside.symlink_metadata().is_ok());
            assert_eq!(read::<State>(&path), Ok(None));
        }
        files::replace_private(&path, b"{\"a\": 7}").unwrap();
        assert_eq!(read::<State>(&path), Ok(Some(BTreeMap::from([("a".to_owned(), 7)]))));
        let kept = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(kept, 14, "each has a name that was free");
    }
}
