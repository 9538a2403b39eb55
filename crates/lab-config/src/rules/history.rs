//! The room that the history needs on its disk, and its port.

use std::path::{Path, PathBuf};

use super::listeners::Ports;
use super::{Rules, shown};
use crate::Surroundings;
use crate::bytes::size_text;
use crate::model::History;

impl Rules<'_> {
    /// A disk that cannot hold what the history may take.
    pub(super) fn history(&mut self, surroundings: &Surroundings) {
        let Some(history) = &self.configuration.history else { return };
        let Some(mark) = self.sound(&["history"]) else { return };
        if self.is_wrong(&["history"], &["size", "folder"]) {
            return;
        }
        let Some(folder) = folder(history, surroundings) else { return };
        let Some(disk) = Disk::of(&folder) else { return };
        let mark = self.sound(&["history", "size"]).map_or(mark.value, |size| size.value);
        let (size, shown_folder) = (size_text(history.size), folder.display());
        let path = ["history", "size"];
        if history.size > disk.whole {
            let whole = size_text(disk.whole);
            let message =
                format!("{size} do not fit: the disk of {shown_folder} has {whole} in all");
            self.found(mark, &path, message, "write a smaller `size`, or another `folder`");
        } else if history.size > disk.free.saturating_add(taken(&folder)) {
            let free = size_text(disk.free);
            let message = format!("the disk of {shown_folder} has only {free} left, not {size}");
            let help =
                "recording stops while the disk is full: write a smaller `size`, or make room";
            self.findings.warn(mark, &shown(&path), message, help);
        }
    }

    /// The port of the history, where a daemon or a nameserver of the same host has it.
    pub(super) fn history_port(&mut self, nameservers: &Ports, daemons: &Ports) {
        let configuration = self.configuration;
        let Some(History { host, port: Some(port @ 1..), .. }) = &configuration.history else {
            return;
        };
        let Some(mark) = self.sound(&["history"]) else { return };
        if self.is_wrong(&["history"], &["host", "port"]) {
            return;
        }
        for (whose, ports) in [("a daemon", daemons), ("a nameserver", nameservers)] {
            let Some(first) = ports.find(host, *port) else { continue };
            let message = format!("port {port} of its host is {whose}'s too");
            let (first, help) = (("other", first), "give the history another `port`");
            self.findings.between(self.unready, mark.key, first, "history", &message, help);
            return;
        }
    }
}

/// Where the samples will be; `None` where that is not known.
fn folder(history: &History, surroundings: &Surroundings) -> Option<PathBuf> {
    let base = surroundings.folder.as_ref()?;
    match &history.folder {
        Some(folder) => Some(base.place(folder)),
        None => surroundings.state.as_ref().map(|state| state.join(History::FOLDER)),
    }
}

/// Bytes of a disk.
struct Disk {
    whole: u64,
    /// Free for this user.
    free: u64,
}

impl Disk {
    /// The disk of a folder that may not exist yet.
    fn of(folder: &Path) -> Option<Disk> {
        let existing = folder.ancestors().find(|folder| folder.exists())?;
        let disk = rustix::fs::statvfs(existing).ok()?;
        let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        // Some network drives do not say how large they are.
        (disk.f_blocks > 0)
            .then(|| Disk { whole: bytes(disk.f_blocks), free: bytes(disk.f_bavail) })
    }
}

/// Bytes that the history has taken already.
fn taken(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
}
