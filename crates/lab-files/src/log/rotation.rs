//! Log files that are rotated by size.
//!
//! The writer of such a file decides its size, and how many are kept.

use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use file_rotate::compression::Compression;
use file_rotate::suffix::AppendCount;
use file_rotate::{ContentLimit, FileRotate};

use crate::open;

/// A log file with those that were set aside: `NAME`, `NAME.1`, ... A file that somebody removes is
/// made anew, with the line that was about to be written.
pub(crate) struct RotatedFile {
    path: PathBuf,
    /// Size at which it is set aside.
    bytes: usize,
    /// Number of set-aside files that are kept.
    kept: usize,
    file: Option<FileRotate<AppendCount>>,
}

impl RotatedFile {
    pub(crate) fn new(path: &Path, bytes: usize, kept: usize) -> Self {
        RotatedFile { path: path.to_owned(), bytes, kept, file: None }
    }

    /// Appends a line, or several.
    ///
    /// # Errors
    /// The text was not written, or in part.
    pub(crate) fn append(&mut self, text: &[u8]) -> io::Result<()> {
        let written = match self.write_once(text) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.file.take().is_some() => {
                // The end of a torn line was removed too.
                self.write_once(text.strip_prefix(b"\n").unwrap_or(text))
            }
            written => written,
        };
        if written.is_err() {
            self.file = None;
        }
        written
    }

    /// Whether its last line has no end: the process or the host died while it was being written,
    /// or the disk was full.
    pub(crate) fn has_no_end(&self) -> bool {
        let last = || -> io::Result<u8> {
            let mut file = open::open_regular(&self.path)?;
            file.seek(SeekFrom::End(-1))?;
            let mut byte = [0];
            file.read_exact(&mut byte)?;
            Ok(byte[0])
        };
        // A file that is not there, or empty, has no line at all.
        last().is_ok_and(|byte| byte != b'\n')
    }

    fn write_once(&mut self, text: &[u8]) -> io::Result<()> {
        let (path, limit) = (&self.path, ContentLimit::BytesSurpassed(self.bytes));
        // Writing to a FIFO would block.
        if self.file.is_none() && std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            open::open_regular(path)?;
        }
        let open = || {
            let mut options = OpenOptions::new();
            // For its owner only.
            options.read(true).create(true).append(true).mode(0o600);
            let names = AppendCount::new(self.kept);
            FileRotate::new(path, names, limit, Compression::None, Some(options))
        };
        self.file.get_or_insert_with(open).write_all(text)?;
        // The library forgets a file that it cannot open, and then writes nowhere.
        std::fs::metadata(path).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_removed_is_made_anew_with_the_next_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        let mut log = RotatedFile::new(&path, 1000, 1);
        log.append(b"one\n").unwrap();
        for line in ["two\n", "\nthree\n"] {
            std::fs::remove_file(&path).unwrap();
            log.append(line.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), line.trim_start());
        }
        assert!(!log.has_no_end());
        log.append(b"torn").unwrap();
        assert!(log.has_no_end());
    }
}
