//! Free room on the disk of the samples.

use std::io;
use std::path::Path;

/// Bytes that stay free for other programs of the host, and for the removal of old samples.
const RESERVE: u64 = 64 * 1024 * 1024;
/// Part of a small disk that stays free instead: one hundredth.
const RESERVE_SHARE: u64 = 100;

/// Whether the disk of a folder has no more room than what stays free.
///
/// A disk that does not say how large it is counts as one with room.
pub(crate) fn is_full(folder: &Path) -> bool {
    let Ok(disk) = rustix::fs::statvfs(folder) else { return false };
    let whole = disk.f_blocks.saturating_mul(disk.f_frsize);
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    whole > 0 && free < RESERVE.min(whole / RESERVE_SHARE)
}

/// Whether an error says that there is no room.
pub(crate) fn says_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
