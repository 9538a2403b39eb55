//! Chain of a writer's lines: where it ends, and what has been left at its end.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::line;
use crate::open;

/// Bytes at the end of a file that are looked at: many times a line.
const TAIL_BYTES: u64 = 256 * 1024;

/// The end of a chain: the number of its last line, and its hash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) seq: u64,
    pub(super) hash: String,
    /// The month of its file.
    #[serde(default)]
    pub(super) month: String,
}

/// The hash that a line had, as it was written down elsewhere.
#[derive(Clone, Debug)]
pub struct Anchor {
    /// As file names have it; empty for the supervisor.
    pub writer: String,
    /// The number of the line.
    pub seq: u64,
    /// Its hash, as hexadecimal digits.
    pub hash: String,
    /// Where it was written down.
    pub source: &'static str,
}

/// The end of a file.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// Its last line.
    pub(super) head: Option<Head>,
    /// Bytes after it that are no line: its writer died, or the disk was full.
    pub(super) torn: Vec<u8>,
    /// Whether it ends without a line's end.
    pub(super) has_no_end: bool,
}

/// Reads the end of a file; nothing of one that is not there.
///
/// # Errors
/// The file cannot be read.
pub(super) fn tail(path: &Path) -> io::Result<Tail> {
    let mut file = match open::open_regular(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Tail::default()),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let mut torn = bytes.split_off(end);
    let has_no_end = !torn.is_empty();
    let last = line::open(&torn);
    if last.is_some() {
        torn.clear();
    }
    let last = last.or_else(|| bytes.rsplit(|byte| *byte == b'\n').find_map(line::open));
    let head =
        last.map(|sealed| Head { seq: sealed.line.seq, hash: sealed.hash, month: String::new() });
    Ok(Tail { head, torn, has_no_end })
}
