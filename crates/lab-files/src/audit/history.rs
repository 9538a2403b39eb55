//! Reading the audit back.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use super::files;
use super::line::{AuditLine, open};
use crate::log::merge::merge_by_time;
use crate::open;

/// Reads the last `most` of the lines that are wanted. Lines of one writer are in the order of
/// writing; those of several are merged by time. Lines that were changed are left out.
///
/// # Errors
/// The folder or a file cannot be read.
pub fn read(
    folder: &Path,
    most: usize,
    mut is_wanted: impl FnMut(&AuditLine) -> bool,
) -> io::Result<Vec<AuditLine>> {
    let mut histories = Vec::new();
    for months in files::list(folder)?.into_values() {
        let mut history = VecDeque::new();
        for path in months.into_values() {
            for text in BufReader::new(open::open_regular(&path)?).split(b'\n') {
                let Some(sealed) = open(&text?) else { continue };
                if is_wanted(&sealed.line) {
                    history.push_back(sealed.line);
                }
                if history.len() > most {
                    history.pop_front();
                }
            }
        }
        histories.push(history);
    }
    let mut lines = merge_by_time(histories, |line| line.time);
    Ok(lines.split_off(lines.len().saturating_sub(most)))
}
