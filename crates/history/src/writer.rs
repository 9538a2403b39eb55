//! The store: samples come in, are journaled at once and sealed into chunks later.
//!
//! Owns what happens where the disk is full or a file is damaged. A batch is either journaled or
//! refused: its caller keeps it and tries again, so a short outage loses nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{error, warn};

use crate::disk;
use crate::journal::{self, Entry, Journal};
use crate::recovery::Recovered;
use crate::retention::{RetentionClock, Rules};
use crate::sample::{Moment, Sample, SeriesKey};
use crate::store::{Database, ReadError, Readers, StoreError, View};
use crate::unsealed::{Unsealed, UnsealedSeries};

/// Samples in memory, at most; more come together only where the database takes no chunks.
const MAX_UNSEALED: usize = 1_000_000;
/// Name of the database.
const DATABASE: &str = "history.sqlite";
/// Name of the file that is locked while a process uses the folder.
const LOCK: &str = "lock";

/// Settings of a store.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The folder of its files, which is made.
    pub folder: PathBuf,
    /// Bytes on the disk, at most.
    pub size: u64,
    /// How long samples are kept.
    pub rules: Rules,
}

/// A remark about a time: an alarm that fires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Microseconds since 1970.
    pub time: i64,
    /// Its text.
    pub text: String,
}

/// Events of one daemon's feed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// The daemon.
    pub daemon: String,
    /// Its process.
    pub epoch: String,
    /// Number of its last event in this batch.
    pub last: u64,
    /// Whether events before this batch may have been lost: all series of the daemon have a gap.
    pub is_break: bool,
    /// Samples in their order, each with its series and, where that is known, its unit.
    pub samples: Vec<(SeriesKey, Option<String>, Sample)>,
    /// Notes in their order.
    pub notes: Vec<Note>,
}

/// Why a batch was not recorded. It may be tried again.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The disk is full.
    #[error("recording has stopped, because the disk of {} is full", folder.display())]
    Full {
        /// The folder of the store.
        folder: PathBuf,
    },
    /// The journal cannot be written.
    #[error("recording has stopped: cannot write the journal in {}: {source}", folder.display())]
    Journal {
        /// The folder of the store.
        folder: PathBuf,
        /// The words of the system.
        #[source]
        source: io::Error,
    },
    /// The database takes no chunks.
    #[error("recording has stopped, because {0} samples could not be put into chunks")]
    Unsealed(usize),
}

/// Samples of all series on one host.
pub struct Store {
    pub(crate) settings: Settings,
    unsealed: Mutex<Unsealed>,
    writer: Mutex<Writer>,
    pub(crate) readers: Readers,
    /// A query has found damage.
    pub(crate) is_damaged: AtomicBool,
    /// Held open: its lock keeps other processes out.
    _lock: File,
}

/// The files, and what is known of them.
pub(crate) struct Writer {
    pub(crate) database: Database,
    /// None while the disk has no room for one.
    pub(crate) journal: Option<Journal>,
    /// Bytes of the journal when it was begun.
    pub(crate) journal_base: u64,
    pub(crate) generation: u64,
    /// Positions of the series that the journal has introduced.
    pub(crate) introduced: HashSet<usize>,
    /// Of each daemon, its process and the last event that was recorded.
    pub(crate) cursors: BTreeMap<String, (String, u64)>,
    /// Notes that are not in the database yet.
    pub(crate) notes: Vec<(i64, String)>,
    pub(crate) clock: RetentionClock,
    /// When old samples were last removed.
    pub(crate) retained: Option<Duration>,
    pub(crate) is_full: bool,
    /// Small chunks since the last merge, by the position of their series.
    pub(crate) small: HashMap<usize, usize>,
    /// Sentences about what was lost or set aside; they hold for as long as the process runs.
    pub(crate) notices: Vec<String>,
}

impl Store {
    /// Opens the store of a folder: the database, and what a former process has journaled.
    ///
    /// # Errors
    /// The folder or the database cannot be used.
    pub fn open(settings: Settings, now: Moment) -> Result<Store, StoreError> {
        let folder = &settings.folder;
        let failed = |operation, path: &PathBuf| {
            let path = path.clone();
            move |source: io::Error| match disk::says_full(&source) {
                true => StoreError::Full { file: path, reason: source.to_string() },
                false => StoreError::Io { operation, path, source },
            }
        };
        let make = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        make.map_err(failed("make", folder))?;
        let lock_file = folder.join(LOCK);
        let lock = File::options().write(true).create(true).truncate(false).open(&lock_file);
        let lock = lock.map_err(failed("open", &lock_file))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(StoreError::InUse { folder: folder.clone() });
            }
            Err(fs::TryLockError::Error(source)) => return Err(failed("lock", &lock_file)(source)),
        }
        let file = folder.join(DATABASE);
        let (database, stored, told) = Database::open_or_replace(&file, now.wall / 1_000_000)?;
        let mut recovered = Recovered::default();
        recovered.notices.extend(told);
        stored.into_iter().for_each(|series| recovered.add_stored(series));
        for (generation, path) in journal::files(folder) {
            recovered.read(&path, now.steady).map_err(failed("read", &path))?;
            recovered.generation = generation;
        }
        let Recovered { unsealed, cursors, notes, notices, generation } = recovered;
        for notice in &notices {
            error!("{notice}");
        }
        let newest = unsealed.series.iter().filter_map(|series| series.last).map(|(time, _)| time);
        let newest = newest.max();
        let mut writer = Writer {
            database,
            journal: None,
            journal_base: 0,
            generation,
            introduced: HashSet::new(),
            cursors,
            notes,
            clock: RetentionClock::after(newest, now),
            retained: None,
            is_full: false,
            small: HashMap::new(),
            notices,
        };
        if let Err(error) = writer.begin_journal(&settings.folder, &unsealed) {
            warn!(%error, "cannot begin a journal; it is tried again");
        }
        Ok(Store {
            unsealed: Mutex::new(unsealed),
            writer: Mutex::new(writer),
            readers: Readers::new(&file),
            is_damaged: AtomicBool::new(false),
            settings,
            _lock: lock,
        })
    }

    /// The process of a daemon, and its last event that was recorded.
    pub fn cursor(&self, daemon: &str) -> Option<(String, u64)> {
        self.writer().cursors.get(daemon).cloned()
    }

    /// Records a batch: afterwards the death of this process loses none of it.
    ///
    /// # Errors
    /// Nothing of it was recorded.
    pub fn append(&self, batch: Batch, now: Moment) -> Result<(), AppendError> {
        let mut writer = self.writer();
        let folder = || self.settings.folder.clone();
        if writer.is_full {
            return Err(AppendError::Full { folder: folder() });
        }
        let mut payload = Vec::new();
        let mut added = Vec::with_capacity(batch.samples.len());
        {
            let mut unsealed = self.unsealed();
            if unsealed.count() > MAX_UNSEALED {
                return Err(AppendError::Unsealed(unsealed.count()));
            }
            if batch.is_break {
                added.extend(breaks(&unsealed, &batch.daemon));
            }
            for (key, unit, sample) in batch.samples {
                let (position, _) = unsealed.position_of(&key);
                let series = &mut unsealed.series[position];
                let unit = unit.unwrap_or_else(|| series.unit.clone());
                if series.unit != unit || series.daemon != batch.daemon {
                    series.unit = unit;
                    series.daemon.clone_from(&batch.daemon);
                    writer.introduced.remove(&position);
                }
                added.push((position, sample));
            }
            let mut counts = BTreeMap::<usize, u64>::new();
            for (position, sample) in &added {
                let series = &unsealed.series[*position];
                if writer.introduced.insert(*position) {
                    introduction(*position, series).put(&mut payload);
                }
                let count = counts.entry(*position).or_default();
                let (series, ordinal) = (*position as u64, series.next_ordinal() + *count);
                *count += 1;
                Entry::Sample { series, ordinal, sample: sample.clone() }.put(&mut payload);
            }
        }
        let (daemon, epoch, next) = (batch.daemon.as_str(), batch.epoch.as_str(), batch.last);
        Entry::Cursor { daemon, epoch, next }.put(&mut payload);
        for Note { time, text } in &batch.notes {
            Entry::Note { time: *time, text }.put(&mut payload);
        }
        let written = match &mut writer.journal {
            Some(journal) => journal.append(&payload),
            None => Err(io::ErrorKind::StorageFull.into()),
        };
        if let Err(source) = written {
            // The record may have introduced series.
            writer.introduced.clear();
            return Err(match disk::says_full(&source) {
                true => AppendError::Full { folder: folder() },
                false => AppendError::Journal { folder: folder(), source },
            });
        }
        writer.cursors.insert(batch.daemon, (batch.epoch, batch.last));
        writer.notes.extend(batch.notes.into_iter().map(|note| (note.time, note.text)));
        let mut unsealed = self.unsealed();
        for (position, sample) in added {
            unsealed.series[position].push(sample, now.steady);
        }
        Ok(())
    }

    /// Makes everything durable that has been recorded; to be called before the process ends.
    pub fn flush(&self) {
        if let Some(journal) = &mut self.writer().journal
            && let Err(error) = journal.sync()
        {
            warn!(%error, "the journal may not be on the disk");
        }
    }

    /// Runs a query of the file.
    pub(crate) fn read<T>(
        &self,
        query: impl FnOnce(&View<'_>) -> Result<T, ReadError>,
    ) -> Result<T, StoreError> {
        self.readers.with(query).inspect_err(|error| {
            if error.is_damage() {
                self.is_damaged.store(true, Ordering::Relaxed);
            }
        })
    }

    /// Samples of a series that are in memory, and how many came before; `None` if there is no such
    /// series.
    pub(crate) fn unsealed_of(&self, key: &SeriesKey) -> Option<(u64, Vec<Sample>)> {
        let unsealed = self.unsealed();
        let series = unsealed.get(key)?;
        Some((series.first_ordinal, series.samples.clone()))
    }

    pub(crate) fn with_unsealed(&self, look: impl FnMut(&UnsealedSeries)) {
        self.unsealed().series.iter().for_each(look);
    }

    pub(crate) fn unsealed_notes(&self) -> Vec<(i64, String)> {
        self.writer().notes.clone()
    }

    pub(crate) fn hold(&self, key: &SeriesKey) -> i64 {
        self.settings.rules.hold(key)
    }

    pub(crate) fn unsealed(&self) -> MutexGuard<'_, Unsealed> {
        self.unsealed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    /// Begins the next journal with all that is in no chunk, and removes the earlier ones.
    pub(crate) fn begin_journal(
        &mut self,
        folder: &std::path::Path,
        unsealed: &Unsealed,
    ) -> io::Result<()> {
        let mut payload = Vec::new();
        for (position, series) in unsealed.series.iter().enumerate() {
            if series.samples.is_empty() {
                continue;
            }
            introduction(position, series).put(&mut payload);
            let (number, first) = (position as u64, series.first_ordinal);
            for (index, sample) in series.samples.iter().enumerate() {
                let (ordinal, sample) = (first + index as u64, sample.clone());
                Entry::Sample { series: number, ordinal, sample }.put(&mut payload);
            }
        }
        for (daemon, (epoch, next)) in &self.cursors {
            Entry::Cursor { daemon, epoch, next: *next }.put(&mut payload);
        }
        for (time, text) in &self.notes {
            Entry::Note { time: *time, text }.put(&mut payload);
        }
        let journal = Journal::begin(folder, self.generation + 1, &payload)?;
        journal.remove_earlier(folder);
        self.generation = journal.generation();
        self.journal_base = journal.length();
        self.journal = Some(journal);
        self.introduced.clear();
        Ok(())
    }
}

/// The entry by which a journal introduces a series.
pub(crate) fn introduction(position: usize, series: &UnsealedSeries) -> Entry<'_> {
    Entry::Series {
        number: position as u64,
        service: &series.key.service,
        member: &series.key.member,
        unit: &series.unit,
        daemon: &series.daemon,
    }
}

/// Beginnings of gaps in all series of a daemon.
fn breaks<'a>(
    unsealed: &'a Unsealed,
    daemon: &'a str,
) -> impl Iterator<Item = (usize, Sample)> + 'a {
    let series = unsealed.series.iter().enumerate();
    series.filter(move |(_, series)| series.daemon == daemon).filter_map(|(position, series)| {
        let (time, is_gap) = series.last?;
        (!is_gap).then(|| (position, Sample::gap(time.saturating_add(1))))
    })
}
