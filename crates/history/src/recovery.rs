//! Remains of a former process: series in the database, newer samples in its journals.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::journal::{self, Entry};
use crate::sample::SeriesKey;
use crate::store::StoredSeries;
use crate::unsealed::Unsealed;

/// The content of a folder's files.
#[derive(Default)]
pub(crate) struct Recovered {
    pub(crate) unsealed: Unsealed,
    pub(crate) cursors: BTreeMap<String, (String, u64)>,
    pub(crate) notes: Vec<(i64, String)>,
    /// Sentences about what is lost.
    pub(crate) notices: Vec<String>,
    /// The last journal.
    pub(crate) generation: u64,
}

impl Recovered {
    pub(crate) fn add_stored(&mut self, stored: StoredSeries) {
        let (position, _) = self.unsealed.position_of(&stored.key);
        let series = &mut self.unsealed.series[position];
        (series.unit, series.daemon) = (stored.unit, stored.daemon);
        (series.row, series.first_ordinal) = (Some(stored.id), stored.sealed);
        series.last = stored.last_time.map(|time| (time, false));
    }

    /// Adds what a journal has; journals come in their order.
    pub(crate) fn read(&mut self, path: &Path, now: Duration) -> io::Result<()> {
        let mut positions = BTreeMap::new();
        // They are in the file before, too.
        self.notes.clear();
        let rest = journal::read(path, |entry| match entry {
            Entry::Series { number, service, member, unit, daemon } => {
                let (position, _) = self.unsealed.position_of(&SeriesKey::new(service, member));
                let series = &mut self.unsealed.series[position];
                unit.clone_into(&mut series.unit);
                daemon.clone_into(&mut series.daemon);
                positions.insert(number, position);
            }
            Entry::Sample { series, ordinal, sample } => {
                let Some(position) = positions.get(&series) else { return };
                let series = &mut self.unsealed.series[*position];
                if series.row.is_none() && series.samples.is_empty() {
                    series.first_ordinal = ordinal;
                }
                if ordinal >= series.next_ordinal() {
                    series.push(sample, now);
                }
            }
            Entry::Cursor { daemon, epoch, next } => {
                self.cursors.insert(daemon.to_owned(), (epoch.to_owned(), next));
            }
            Entry::Note { time, text } => self.notes.push((time, text.to_owned())),
        })?;
        if rest > 0 {
            self.notices.push(format!(
                "the last {rest} bytes of the history's journal {} were damaged and are lost",
                path.display()
            ));
        }
        Ok(())
    }
}
