//! Snapshot of the log: its files in order, each up to its present end.
//!
//! Each line is read once, also when files are rotated meanwhile, and no more than a line is in
//! memory. Must not know the filters.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{LONGEST_LINE, Line};
use crate::open;

/// The files of a log, the oldest first.
#[derive(Debug, Default)]
pub struct Snapshot {
    files: Vec<Part>,
}

/// One file.
#[derive(Debug)]
struct Part {
    file: File,
    device: u64,
    inode: u64,
    length: u64,
}

/// Where a line begins; the default is the beginning of everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    file: usize,
    offset: u64,
}

/// The files of the log at `path`, the oldest first; those that exist.
pub fn files(path: &Path, rotated: usize) -> Vec<PathBuf> {
    names(path, rotated).filter(|file| file.is_file()).collect()
}

fn names(path: &Path, rotated: usize) -> impl DoubleEndedIterator<Item = PathBuf> {
    let numbered = |number: usize| {
        let mut name = path.as_os_str().to_os_string();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    (1..=rotated).rev().map(numbered).chain([path.to_path_buf()])
}

impl Snapshot {
    /// Opens the log at `path` and up to `rotated` rotated files.
    ///
    /// # Errors
    /// A file that is there cannot be opened.
    pub fn open(path: &Path, rotated: usize) -> io::Result<Snapshot> {
        let mut files: Vec<Part> = Vec::new();
        // From the newest: a file that is rotated meanwhile appears again under its next name, and
        // is recognised. In the other order it would be missed.
        for name in names(path, rotated).rev() {
            let file = match open::open_regular(&name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened?,
            };
            let metadata = file.metadata()?;
            let (device, inode, length) = (metadata.dev(), metadata.ino(), metadata.len());
            let is_known = files.iter().any(|part| (part.device, part.inode) == (device, inode));
            if metadata.is_file() && !is_known {
                files.push(Part { file, device, inode, length });
            }
        }
        files.reverse();
        Ok(Snapshot { files })
    }

    /// Gives the lines from a place on to `each`, until that breaks off.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn read(
        &self,
        from: Place,
        mut each: impl FnMut(Line) -> ControlFlow<()>,
    ) -> io::Result<()> {
        self.scan(from, |_, bytes| each(Line::from_bytes(bytes)))
    }

    /// Where the last line begins that is wanted; only lines with `text` in them are looked at.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn last(&self, text: &str, wanted: impl Fn(&Line) -> bool) -> io::Result<Option<Place>> {
        let finder = memchr::memmem::Finder::new(text);
        let mut last = None;
        self.scan(Place::default(), |place, bytes| {
            if finder.find(bytes).is_some() && wanted(&Line::from_bytes(bytes)) {
                last = Some(place);
            }
            ControlFlow::Continue(())
        })?;
        Ok(last)
    }

    fn scan(
        &self,
        from: Place,
        mut each: impl FnMut(Place, &[u8]) -> ControlFlow<()>,
    ) -> io::Result<()> {
        let mut bytes = Vec::new();
        for (number, part) in self.files.iter().enumerate().skip(from.file) {
            let mut offset = if number == from.file { from.offset } else { 0 };
            let mut file = &part.file;
            file.seek(SeekFrom::Start(offset))?;
            let mut reader = BufReader::new(file.take(part.length.saturating_sub(offset)));
            loop {
                bytes.clear();
                let count =
                    (&mut reader).take(LONGEST_LINE as u64).read_until(b'\n', &mut bytes)?;
                if count == 0 {
                    break;
                }
                if each(Place { file: number, offset }, &bytes).is_break() {
                    return Ok(());
                }
                offset += count as u64;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    fn lines(log: &Snapshot, from: Place) -> Vec<String> {
        let mut found = Vec::new();
        log.read(from, |line| {
            found.push(line.raw);
            ControlFlow::Continue(())
        })
        .unwrap();
        found
    }

    fn written(files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            File::create(directory.path().join(name)).unwrap().write_all(text.as_bytes()).unwrap();
        }
        let path = directory.path().join("a.log");
        (directory, path)
    }

    #[test]
    fn files_come_oldest_first_and_end_where_they_ended() {
        let (_directory, path) =
            written(&[("a.log", "new"), ("a.log.1", "old\r\n"), ("a.log.2", "older\n")]);
        let log = Snapshot::open(&path, 5).unwrap();
        fs::rename(&path, path.with_extension("log.3")).unwrap();
        File::create(&path).unwrap().write_all(b"newest\n").unwrap();
        assert_eq!(lines(&log, Place::default()), ["older", "old", "new"]);
        let mut count = 0;
        log.read(Place::default(), |_| {
            count += 1;
            ControlFlow::Break(())
        })
        .unwrap();
        assert_eq!(count, 1, "it breaks off");
    }

    #[test]
    fn a_file_with_two_names_is_read_once() {
        let (_directory, path) = written(&[("a.log", "new\n"), ("a.log.2", "old\n")]);
        // As it looks to who opens a log while it is set aside.
        fs::hard_link(&path, path.with_extension("log.1")).unwrap();
        assert_eq!(lines(&Snapshot::open(&path, 5).unwrap(), Place::default()), ["old", "new"]);
    }

    #[test]
    fn the_last_line_of_a_kind_is_a_place() {
        let (_directory, path) =
            written(&[("a.log.1", "a\nstart 1\nb\nstart 2\nc\n"), ("a.log", "d\nno start\n")]);
        let log = Snapshot::open(&path, 5).unwrap();
        let last = log.last("start", |line| line.raw.starts_with("start")).unwrap().unwrap();
        assert_eq!(lines(&log, last), ["start 2", "c", "d", "no start"]);
        assert_eq!(log.last("end", |_| true).unwrap(), None);
    }

    #[test]
    fn an_endless_line_comes_in_parts() {
        let (_directory, path) = written(&[("a.log", &"x".repeat(2 * LONGEST_LINE + 7))]);
        let found = lines(&Snapshot::open(&path, 5).unwrap(), Place::default());
        let lengths: Vec<_> = found.iter().map(String::len).collect();
        assert_eq!(lengths, [LONGEST_LINE, LONGEST_LINE, 7]);
    }
}
