//! The room that the history needs on its disk, and its port.

use std::path::{Path, PathBuf};

use super::listeners::Ports;
use super::{Rules, shown};
use crate::Surroundings;
use crate::bytes::size_text;
use crate::model::History;

/// Bytes of a sample on the disk: of a noisy number.
const SAMPLE_BYTES: f64 = 10.0;

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

    /// Members that are to be kept where nothing keeps them, and a `size` that is too small for
    /// those that are.
    pub(super) fn kept_members(&mut self) {
        let configuration = self.configuration;
        let mut wanted = 0.0;
        for service in &configuration.services {
            for member in &service.members {
                let path = ["services", &service.name, "members", &member.name, "keep"];
                if configuration.history.is_none()
                    && member.keep.is_some()
                    && let Some(mark) = self.sound(&path)
                {
                    let message = "nothing is kept: the file has no `history`";
                    let help = "add `history: true` at the top level";
                    self.findings.warn(mark.key, &shown(&path), message, help);
                }
                let Some(history) = &configuration.history else { continue };
                let keep = member.keep.or(history.keep);
                // A member without a period may be read at any rate, and one with a deadband has
                // fewer samples.
                if let (Some(keep), Some(poll), None) = (keep, member.poll, member.deadband) {
                    wanted += keep.as_secs_f64() / poll.as_secs_f64() * SAMPLE_BYTES;
                }
            }
        }
        let Some(history) = &configuration.history else { return };
        let path = ["history", "size"];
        if wanted > history.size as f64
            && let Some(mark) = self.sound(&path).or(self.sound(&["history"]))
        {
            let (size, wanted) = (size_text(history.size), size_text(wanted as u64));
            let message = format!(
                "{size} hold less than `keep` of the members asks for: about {wanted} at their periods"
            );
            let help = "the oldest samples go earlier; write a larger `size`, a shorter `keep`, or \
                        poll less often";
            self.findings.warn(mark.value, &shown(&path), message, help);
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
