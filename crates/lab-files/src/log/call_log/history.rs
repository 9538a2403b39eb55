//! Reading the call log back.
//!
//! The logs of a lab may be large: only the lines that are wanted are kept.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::line::{CallLine, PREFIX, SUFFIX};

/// Reads the last `most` of the lines that are wanted, of all daemons, by the time at which their
/// calls came. Unreadable lines are left out.
///
/// # Errors
/// The directory or a file cannot be read.
pub fn read(
    log_dir: &Path,
    most: usize,
    mut is_wanted: impl FnMut(&CallLine) -> bool,
) -> io::Result<Vec<CallLine>> {
    let mut files: Vec<(String, u32, PathBuf)> = Vec::new();
    let entries = match std::fs::read_dir(log_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        if let Some((daemon, age)) = name.to_str().and_then(parse) {
            files.push((daemon.to_owned(), age, entry.path()));
        }
    }
    // Of each daemon from the oldest rotated file to the current one.
    files.sort_by(|a, b| (&a.0, b.1).cmp(&(&b.0, a.1)));
    let mut lines = Vec::new();
    for of_daemon in files.chunk_by(|a, b| a.0 == b.0) {
        let mut last = VecDeque::new();
        for (_, _, path) in of_daemon {
            let file = match std::fs::File::open(path) {
                Ok(file) => file,
                // It has been rotated away meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            for line in BufReader::new(file).split(b'\n') {
                // The last line of a daemon that was killed may be torn.
                let Ok(line) = serde_json::from_slice::<CallLine>(&line?) else { continue };
                if is_wanted(&line) {
                    last.push_back(line);
                }
                if last.len() > most {
                    last.pop_front();
                }
            }
        }
        lines.extend(last);
    }
    lines.sort_by_key(|line| line.time);
    Ok(lines.split_off(lines.len().saturating_sub(most)))
}

/// The daemon in a file's name, and how often the file was rotated.
fn parse(name: &str) -> Option<(&str, u32)> {
    let (base, age) = match name.rsplit_once('.') {
        Some((base, age)) if age.parse::<u32>().is_ok() => (base, age.parse().ok()?),
        _ => (name, 0),
    };
    Some((base.strip_suffix(SUFFIX)?.strip_prefix(PREFIX)?, age))
}
