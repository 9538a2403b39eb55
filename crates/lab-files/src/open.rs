//! Opening of regular files that never blocks, and the holder of a file's lock.
//!
//! A FIFO or a device that somebody has put in the place of a file may block its reader for ever.

use std::fs::{self, File, FileType};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Flag of `open`: a FIFO is opened at once, or not at all.
pub const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();

/// Opens a file for reading. A FIFO or a device in its place, which may block or never end, is
/// refused at once; a link is followed.
///
/// # Errors
/// It cannot be opened, or is no file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let options = File::options().read(true).custom_flags(NONBLOCK).clone();
    let file = options.open(path).map_err(|error| match fs::metadata(path) {
        // A socket cannot even be opened.
        Ok(metadata) if !metadata.is_file() => not_a_file(metadata.file_type()),
        _ => error,
    })?;
    match file.metadata()?.file_type() {
        kind if kind.is_file() => Ok(file),
        kind => Err(not_a_file(kind)),
    }
}

/// Reads a file whole, as [`open_regular`] opens it.
///
/// # Errors
/// It cannot be read, or is no file.
pub fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a text whole, as [`open_regular`] opens it.
///
/// # Errors
/// It cannot be read, is no file, or is no UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read_regular(path)?).map_err(io::Error::other)
}

fn not_a_file(kind: FileType) -> io::Error {
    let kind = match kind {
        kind if kind.is_dir() => "a directory",
        kind if kind.is_fifo() => "a FIFO",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    };
    io::Error::other(format!("it is {kind}, not a file"))
}

/// The process that has locked this file, where the system tells: Linux does.
pub fn lock_holder(file: &File) -> Option<u32> {
    let inode = file.metadata().ok()?.ino();
    holder_in(&std::fs::read_to_string("/proc/locks").ok()?, inode)
}

/// Finds it in lines of `NUMBER: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE START END`. The device
/// number is not compared: some file systems give another one here than elsewhere.
fn holder_in(locks: &str, inode: u64) -> Option<u32> {
    locks.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        // A process that waits for the lock has an arrow here.
        let is_held = words.next()? == "FLOCK";
        let pid = words.nth(2)?.parse().ok()?;
        let place = words.next()?.rsplit(':').next()?.parse::<u64>().ok()?;
        // 0 is a process outside of this container.
        (is_held && place == inode && pid != 0).then_some(pid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_a_lock_and_not_who_waits_for_it() {
        let locks = "1: POSIX  ADVISORY  WRITE 10 fe:00:77 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 11 fe:00:78 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 12 fe:00:77 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 0 fe:00:79 0 EOF\n\
                     4: FLOCK  ADVISORY  WRITE 13 fe:00:77 0 EOF\n";
        for (inode, holder) in [(77, Some(13)), (78, Some(11)), (79, None), (80, None)] {
            assert_eq!(holder_in(locks, inode), holder, "{inode}");
        }
    }
}
