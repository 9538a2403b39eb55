//! Last known names of the shared directory, in a file of this host: for a nameserver that starts
//! while the registry is away.
//!
//! Written whole: some seconds after the names are loaded, then at most once a minute, and at the
//! end. A hundred thousand names take about 2 MB and some 0.3 s of a blocking thread. Names from
//! the file have revision 0, so that everything in the registry counts more.
//!
//! ```text
//! gzip of lines of JSON
//! {"format": 1, "directory", "saved", "names", "hosts"}   first; how many names follow
//! {"name", "uri", "tags", "host", "owner"}                for each name
//! ```

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::value::{read_name, write_name};
use crate::registry::LastKnownFile;
use crate::store::index::Named;

/// Time after the start in which the registry may answer before the file is read.
const READ_DELAY: Duration = Duration::from_secs(1);
/// Time from the first names to the first file.
const FIRST_DELAY: Duration = Duration::from_secs(3);
/// Between two files, at least.
const INTERVAL: Duration = Duration::from_secs(60);
/// From one file to the next, as a multiple of the time that the first took.
const IDLE_SHARE: u32 = 100;
const FORMAT: u32 = 1;
/// Bytes of a line, at most: a registration has 1 MiB, and JSON may double that.
const MAX_LINE: u64 = 4 * 1024 * 1024;
/// Names that are read, at most: more than the index takes.
const MAX_NAMES: usize = 2_000_000;

/// The file, and when it is read or written next.
pub(super) struct LastKnown {
    file: Option<Arc<dyn LastKnownFile>>,
    state: State,
    /// Whether the names are others than in the file.
    is_changed: bool,
    /// Whether the last try to write it has failed.
    is_failing: bool,
}

enum State {
    /// It was read, or cannot be; the registry has not answered.
    Used,
    /// It is read then, unless the registry has answered.
    ToRead(Instant),
    /// It is written then, if there is something new.
    ToWrite(Instant),
    /// It is being written.
    Writing(JoinHandle<Written>),
}

/// A try to write the file.
struct Written {
    taken: Duration,
    outcome: Result<(), String>,
}

/// Contents of the file.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Saved {
    pub(super) names: Vec<Named>,
    /// Hosts that were there.
    pub(super) hosts: Vec<Arc<str>>,
    /// The time of the file.
    pub(super) saved: String,
}

#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    directory: String,
    saved: String,
    names: usize,
    hosts: Vec<String>,
}

impl LastKnown {
    pub(super) fn new(file: Option<Arc<dyn LastKnownFile>>) -> Self {
        let state = State::ToRead(Instant::now() + READ_DELAY);
        LastKnown { file, state, is_changed: false, is_failing: false }
    }

    /// Notes that the names are others now.
    pub(super) fn note_change(&mut self) {
        self.is_changed = self.file.is_some();
    }

    /// The registry has answered: the file is written from now on.
    pub(super) fn note_loaded(&mut self) {
        if matches!(self.state, State::ToRead(_) | State::Used) {
            self.state = State::ToWrite(Instant::now() + FIRST_DELAY);
        }
    }

    /// When the file is to be read.
    pub(super) fn read_at(&self) -> Option<Instant> {
        match self.state {
            State::ToRead(at) if self.file.is_some() => Some(at),
            _ => None,
        }
    }

    /// When the file is to be written.
    pub(super) fn write_at(&self) -> Option<Instant> {
        match self.state {
            State::ToWrite(at) if self.is_changed => Some(at),
            _ => None,
        }
    }

    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be used; the text names it.
    pub(super) async fn read(&mut self) -> Result<Option<Saved>, String> {
        self.state = State::Used;
        let Some(file) = self.file.clone() else { return Ok(None) };
        let reading = spawn_blocking(move || {
            let directory = file.directory();
            let mut found = None;
            file.read(&mut |bytes| {
                found = parse(bytes, &directory)?;
                Ok(())
            })?;
            Ok(found)
        });
        reading.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// Begins to write the file.
    pub(super) fn write(&mut self, names: Vec<Named>, hosts: Vec<Arc<str>>) {
        let Some(file) = self.file.clone() else { return };
        self.is_changed = false;
        self.state = State::Writing(spawn_blocking(move || {
            let begun = std::time::Instant::now();
            let bytes = format(&names, &hosts, &file.directory());
            let bytes = bytes.map_err(|error| error.to_string());
            let outcome = bytes.and_then(|bytes| file.replace(&bytes));
            debug!(names = names.len(), ?outcome, "wrote the names to the file of this host");
            Written { taken: begun.elapsed(), outcome }
        }));
    }

    /// Waits until a file that is being written is; never returns if none is.
    pub(super) async fn written(&mut self) {
        let State::Writing(writing) = &mut self.state else { return std::future::pending().await };
        let Written { taken, outcome } = writing.await.unwrap_or_else(|error| Written {
            taken: Duration::ZERO,
            outcome: Err(error.to_string()),
        });
        self.is_changed |= outcome.is_err();
        let was_failing = std::mem::replace(&mut self.is_failing, outcome.is_err());
        match outcome {
            // Once, and not with every try of a disk that is full.
            Err(error) if !was_failing => warn!(
                "the names cannot be kept for a start of the nameserver without its registry: \
                 {error}"
            ),
            Ok(()) if was_failing => info!("the names are kept in the file of this host again"),
            _ => {}
        }
        self.state = State::ToWrite(Instant::now() + INTERVAL.max(taken * IDLE_SHARE));
    }

    /// Writes what is new, at the end.
    pub(super) async fn finish(&mut self, current: impl FnOnce() -> (Vec<Named>, Vec<Arc<str>>)) {
        if matches!(self.state, State::Writing(_)) {
            self.written().await;
        }
        if self.write_at().is_some() {
            let (names, hosts) = current();
            self.write(names, hosts);
            self.written().await;
        }
    }
}

fn format(names: &[Named], hosts: &[Arc<str>], directory: &str) -> io::Result<Vec<u8>> {
    let head = Head {
        format: FORMAT,
        directory: directory.to_owned(),
        saved: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        names: names.len(),
        hosts: hosts.iter().map(|host| host.to_string()).collect(),
    };
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    serde_json::to_writer(&mut packed, &head)?;
    for (name, entry) in names {
        packed.write_all(b"\n")?;
        serde_json::to_writer(&mut packed, &**name)?;
        packed.write_all(b" ")?;
        packed.write_all(&write_name(entry))?;
    }
    packed.write_all(b"\n")?;
    packed.finish()
}

/// The names in a file; `None` in that of another directory.
///
/// # Errors
/// It is damaged, and how.
fn parse(bytes: &[u8], directory: &str) -> Result<Option<Saved>, String> {
    let mut lines = BufReader::new(GzDecoder::new(bytes));
    let head = next_line(&mut lines)?;
    let head: Head = serde_json::from_slice(&head).map_err(|error| error.to_string())?;
    if head.format != FORMAT || head.directory != directory {
        // A damaged line may say anything: the checksum is at the end.
        while !next_line(&mut lines)?.is_empty() {}
        return Ok(None);
    }
    if head.names > MAX_NAMES {
        return Err(format!("it announces {} names, at most {MAX_NAMES}", head.names));
    }
    let mut shared: BTreeMap<Arc<str>, Arc<str>> = BTreeMap::new();
    let mut names = Vec::new();
    for _ in 0..head.names {
        let line = next_line(&mut lines)?;
        let mut parts = serde_json::Deserializer::from_slice(&line).into_iter::<String>();
        let name = parts.next().and_then(Result::ok).map(Arc::<str>::from);
        let value = line.get(parts.byte_offset()..).unwrap_or_default();
        let (Some(name), Some(mut entry)) = (name, read_name(value)) else {
            return Err(format!("its line {} is no name", names.len() + 2));
        };
        for text in [&mut entry.host, &mut entry.owner].into_iter().flatten() {
            *text = Arc::clone(shared.entry(Arc::clone(text)).or_insert(Arc::clone(text)));
        }
        names.push((name, Arc::new(entry)));
    }
    // The end has the checksum.
    if !next_line(&mut lines)?.is_empty() {
        return Err("it has more names than it announces".to_owned());
    }
    let hosts = head.hosts.into_iter().map(Arc::from).collect();
    Ok(Some(Saved { names, hosts, saved: head.saved }))
}

/// The next line with its end; empty at the end of the file.
fn next_line(lines: &mut impl BufRead) -> Result<Vec<u8>, String> {
    let mut line = Vec::new();
    let read = lines.take(MAX_LINE).read_until(b'\n', &mut line);
    read.map(|_| line).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::store::index::Entry;

    #[test]
    fn names_are_read_as_they_were_written_and_damage_is_found() {
        let mut of_host = Entry::new("PYRO:a@h:1".into(), BTreeSet::from(["x".to_owned()]));
        of_host.host = Some("h1".into());
        of_host.owner = Some("ada".into());
        let plain = Entry::new("PYRO:b@h:1".into(), BTreeSet::new());
        let names: Vec<Named> =
            vec![("lab.\"a\\".into(), Arc::new(of_host)), ("lab b\n".into(), Arc::new(plain))];
        let hosts = vec![Arc::from("h1")];
        let bytes = format(&names, &hosts, "here").unwrap();
        let saved = parse(&bytes, "here").unwrap().unwrap();
        assert_eq!((saved.names, saved.hosts), (names, hosts));
        assert_eq!(parse(&bytes, "there"), Ok(None));
        for length in 0..bytes.len() {
            assert!(parse(&bytes[..length], "here").is_err(), "cut off after {length} bytes");
        }
        // The first ten bytes are gzip's, which do not all count.
        for place in 10..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 16;
            assert!(parse(&damaged, "here").is_err(), "byte {place}");
        }
    }
}
