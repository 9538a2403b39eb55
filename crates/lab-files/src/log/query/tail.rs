//! Follower of the current log file.
//!
//! Finds the next file after a rotation without losing the last lines of the old one. Must not know
//! when to look.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::{LONGEST_LINE, Line};
use crate::open;

/// Bytes of one read.
const CHUNK: usize = 64 * 1024;

/// Position of a reader that follows the log.
pub struct Tail {
    path: PathBuf,
    open: Option<(File, u64)>,
    /// A line whose end is not written yet.
    begun: Vec<u8>,
    chunk: Vec<u8>,
}

impl Tail {
    /// From the beginning of the current file on.
    pub fn new(path: PathBuf) -> Self {
        Tail { path, open: None, begun: Vec::new(), chunk: vec![0; CHUNK] }
    }

    /// Reads the lines that were written since the last call.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn read(&mut self, mut each: impl FnMut(Line)) -> io::Result<()> {
        self.read_open(&mut each)?;
        let metadata = match std::fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            metadata => metadata?,
        };
        let same = match &self.open {
            None => false,
            Some((file, position)) => {
                file.metadata()?.ino() == metadata.ino() && metadata.len() >= *position
            }
        };
        if !same {
            // Once more: lines may have come between the last look and the rotation.
            self.read_open(&mut each)?;
            if !self.begun.is_empty() {
                each(Line::from_bytes(&self.begun));
                self.begun.clear();
            }
            self.open = Some((open::open_regular(&self.path)?, 0));
            self.read_open(&mut each)?;
        }
        Ok(())
    }

    fn read_open(&mut self, each: &mut impl FnMut(Line)) -> io::Result<()> {
        let Some((file, position)) = &mut self.open else { return Ok(()) };
        loop {
            let count = match file.read(&mut self.chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                count => count?,
            };
            if count == 0 {
                return Ok(());
            }
            *position += count as u64;
            self.begun.extend_from_slice(self.chunk.get(..count).unwrap_or_default());
            let end = match memchr::memrchr(b'\n', &self.begun) {
                Some(end) => end + 1,
                None if self.begun.len() >= LONGEST_LINE => self.begun.len(),
                None => continue,
            };
            for bytes in self.begun.drain(..end).as_slice().split_inclusive(|byte| *byte == b'\n') {
                let line = Line::from_bytes(bytes);
                if !line.raw.is_empty() {
                    each(line);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::Path;

    use super::*;

    fn write(path: &Path, text: &str) {
        File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn news(tail: &mut Tail) -> Vec<String> {
        let mut found = Vec::new();
        tail.read(|line| found.push(line.raw)).unwrap();
        found
    }

    #[test]
    fn it_goes_on_over_a_rotation_and_an_emptied_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        let mut tail = Tail::new(path.clone());
        assert_eq!(news(&mut tail), [""; 0]);
        let mut file = File::create(&path).unwrap();
        file.write_all(b"a\nb\nbeg").unwrap();
        assert_eq!(news(&mut tail), ["a", "b"]);
        file.write_all(b"un\n\n").unwrap();
        assert_eq!(news(&mut tail), ["begun"]);
        file.write_all(b"last\ntorn").unwrap();
        std::fs::rename(&path, directory.path().join("a.log.1")).unwrap();
        write(&path, "first of the next\n");
        assert_eq!(news(&mut tail), ["last", "torn", "first of the next"]);
        write(&path, "short\n");
        assert_eq!(news(&mut tail), ["short"], "`logs clean` has emptied it");
        assert_eq!(news(&mut tail), [""; 0]);
    }

    #[test]
    fn a_large_file_is_read_in_pieces() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        let line = "y".repeat(1000);
        write(&path, &format!("{line}\n").repeat(1000));
        let mut tail = Tail::new(path);
        let found = news(&mut tail);
        assert_eq!(found.len(), 1000);
        assert!(found.iter().all(|text| *text == line));
        assert!(tail.begun.capacity() < 4 * CHUNK, "{}", tail.begun.capacity());
    }
}
