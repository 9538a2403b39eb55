//! Log files that are rotated by size.
//!
//! The writer of such a file decides its size, and how many are kept.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use file_rotate::compression::Compression;
use file_rotate::suffix::AppendCount;
use file_rotate::{ContentLimit, FileRotate};

/// A log file with those that were set aside: `NAME`, `NAME.1`, ...
pub(crate) type Rotated = FileRotate<AppendCount>;

/// Opens the file at `path`, or makes it, for its owner only. It is set aside when it has more than
/// `bytes`, and so many of those are `kept`.
pub(crate) fn open(path: &Path, bytes: usize, kept: usize) -> Rotated {
    let mut options = OpenOptions::new();
    options.read(true).create(true).append(true).mode(0o600);
    let limit = ContentLimit::BytesSurpassed(bytes);
    FileRotate::new(path, AppendCount::new(kept), limit, Compression::None, Some(options))
}
