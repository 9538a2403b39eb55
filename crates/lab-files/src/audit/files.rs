//! Names and order of audit files: `2026-11.jsonl` of the supervisor, `2026-11.bench.jsonl` of a
//! daemon.
//!
//! A writer goes on with its latest file when the clock has gone back to an earlier month, so that
//! the order of names is the order of lines.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;

const SUFFIX: &str = ".jsonl";
/// Characters of a month: `2026-11`.
const MONTH: usize = 7;

/// The month of a file, as its name begins.
pub(super) fn month(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%Y-%m").to_string()
}

/// The file of a writer and a month.
pub(super) fn path(folder: &Path, writer: &str, month: &str) -> PathBuf {
    let writer = if writer.is_empty() { String::new() } else { format!(".{writer}") };
    folder.join(format!("{month}{writer}{SUFFIX}"))
}

/// The files of each writer, by their months.
pub(super) type FilesByWriter = BTreeMap<String, BTreeMap<String, PathBuf>>;

/// All files of a folder, by their writers. None in a folder that is not there.
///
/// # Errors
/// The folder cannot be read.
pub(super) fn list(folder: &Path) -> io::Result<FilesByWriter> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    let mut files = FilesByWriter::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some((month, writer)) = name.to_str().and_then(parse) else { continue };
        files.entry(writer.to_owned()).or_default().insert(month.to_owned(), entry.path());
    }
    Ok(files)
}

/// The latest file of a writer, with its month.
///
/// # Errors
/// The folder cannot be read.
pub(super) fn latest(folder: &Path, writer: &str) -> io::Result<Option<(String, PathBuf)>> {
    Ok(list(folder)?.remove(writer).and_then(|mut months| months.pop_last()))
}

/// The month and the writer in a file's name.
fn parse(name: &str) -> Option<(&str, &str)> {
    let base = name.strip_suffix(SUFFIX)?;
    let (month, writer) = base.split_at_checked(MONTH)?;
    let is_digit = |at: usize| month.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    let is_month = [0, 1, 2, 3, 5, 6].into_iter().all(is_digit) && month.as_bytes()[4] == b'-';
    match writer.strip_prefix('.') {
        Some(writer) if is_month && !writer.is_empty() => Some((month, writer)),
        None if is_month && writer.is_empty() => Some((month, "")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_read_back() {
        for (month, writer) in [("2026-11", ""), ("2026-12", "bench"), ("1999-01", "a.b")] {
            let path = path(Path::new("/x"), writer, month);
            assert_eq!(parse(path.file_name().unwrap().to_str().unwrap()), Some((month, writer)));
        }
        for name in [
            "2026-11",
            "2026-1.jsonl",
            "2026-11x.jsonl",
            "2026-11..jsonl",
            "é026-11.jsonl",
            ".jsonl",
        ] {
            assert_eq!(parse(name), None, "{name}");
        }
    }
}
