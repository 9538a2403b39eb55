//! Append journal of the samples that are in no chunk yet.
//!
//! ```text
//! file      8 bytes of magic, then records
//! record    4 bytes length of the payload · 4 bytes checksum of it · payload
//! payload   entries, each of which begins with 1 byte:
//!   1 series   number · text service · text member · text unit · text daemon
//!   2 sample   number of series · ordinal · signed time · 1 byte quality · 1 byte shape · value
//!   3 cursor   text daemon · text epoch · number: all events up to it have been recorded
//!   4 note     signed time · text
//! shape     0 nothing · 1 float · 2 whole number · 3 true or false · 4 text
//! ```
//!
//! A record is written with one write, so that a killed process leaves all of it or a torn end,
//! which the next one skips. The numbers of series count within one file.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::bytes::{Reader, put_number, put_signed, put_text};
use crate::sample::{Quality, Reading, Sample};

const MAGIC: &[u8; 8] = b"FLHIST\x01\n";
const PREFIX: &str = "journal-";
const SUFFIX: &str = ".log";
/// Bytes of one file of a former process that are read, at most.
const MAX_FILE: u64 = 1024 * 1024 * 1024;

/// Entry of a journal.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entry<'a> {
    Series { number: u64, service: &'a str, member: &'a str, unit: &'a str, daemon: &'a str },
    Sample { series: u64, ordinal: u64, sample: Sample },
    Cursor { daemon: &'a str, epoch: &'a str, next: u64 },
    Note { time: i64, text: &'a str },
}

impl<'a> Entry<'a> {
    pub(crate) fn put(&self, bytes: &mut Vec<u8>) {
        match self {
            Entry::Series { number, service, member, unit, daemon } => {
                bytes.push(1);
                put_number(bytes, *number);
                [service, member, unit, daemon].iter().for_each(|text| put_text(bytes, text));
            }
            Entry::Sample { series, ordinal, sample } => {
                bytes.push(2);
                put_number(bytes, *series);
                put_number(bytes, *ordinal);
                put_signed(bytes, sample.time);
                bytes.push(sample.quality.code());
                put_reading(bytes, &sample.reading);
            }
            Entry::Cursor { daemon, epoch, next } => {
                bytes.push(3);
                put_text(bytes, daemon);
                put_text(bytes, epoch);
                put_number(bytes, *next);
            }
            Entry::Note { time, text } => {
                bytes.push(4);
                put_signed(bytes, *time);
                put_text(bytes, text);
            }
        }
    }

    fn read(reader: &mut Reader<'a>) -> Option<Entry<'a>> {
        Some(match reader.byte()? {
            1 => Entry::Series {
                number: reader.number()?,
                service: reader.text()?,
                member: reader.text()?,
                unit: reader.text()?,
                daemon: reader.text()?,
            },
            2 => {
                let (series, ordinal) = (reader.number()?, reader.number()?);
                let time = reader.signed()?;
                let quality = Quality::of_code(reader.byte()?)?;
                let reading = read_reading(reader)?;
                Entry::Sample { series, ordinal, sample: Sample { time, reading, quality } }
            }
            3 => Entry::Cursor {
                daemon: reader.text()?,
                epoch: reader.text()?,
                next: reader.number()?,
            },
            4 => Entry::Note { time: reader.signed()?, text: reader.text()? },
            _ => return None,
        })
    }
}

fn put_reading(bytes: &mut Vec<u8>, reading: &Reading) {
    match reading {
        Reading::Nothing => bytes.push(0),
        Reading::Float(number) => {
            bytes.push(1);
            bytes.extend_from_slice(&number.to_bits().to_le_bytes());
        }
        Reading::Int(number) => {
            bytes.push(2);
            put_signed(bytes, *number);
        }
        Reading::Bool(flag) => bytes.extend_from_slice(&[3, u8::from(*flag)]),
        Reading::Text(text) => {
            bytes.push(4);
            put_text(bytes, text);
        }
    }
}

fn read_reading(reader: &mut Reader<'_>) -> Option<Reading> {
    Some(match reader.byte()? {
        0 => Reading::Nothing,
        1 => Reading::Float(f64::from_bits(reader.word()?)),
        2 => Reading::Int(reader.signed()?),
        3 => Reading::Bool(reader.byte()? != 0),
        4 => Reading::Text(reader.text()?.into()),
        _ => return None,
    })
}

/// The open journal.
pub(crate) struct Journal {
    file: File,
    path: PathBuf,
    generation: u64,
    /// Bytes of whole records.
    length: u64,
    is_dirty: bool,
}

impl Journal {
    /// Begins the file of this generation with one record.
    pub(crate) fn begin(folder: &Path, generation: u64, payload: &[u8]) -> io::Result<Journal> {
        let path = folder.join(format!("{PREFIX}{generation:010}{SUFFIX}"));
        let mut options = File::options();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        let mut journal = Journal { file, path, generation, length: 0, is_dirty: true };
        let begun = journal.write(MAGIC).and_then(|()| journal.append(payload));
        let begun = begun.and_then(|()| journal.sync());
        if begun.is_err() {
            // An empty file would only take room that is lacking.
            let _ = fs::remove_file(&journal.path);
        }
        begun.map(|()| journal)
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Bytes of the file.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Appends a record; after an error the file is as it was.
    pub(crate) fn append(&mut self, payload: &[u8]) -> io::Result<()> {
        let Ok(length) = u32::try_from(payload.len()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let mut record = Vec::with_capacity(payload.len() + 8);
        record.extend_from_slice(&length.to_le_bytes());
        record.extend_from_slice(&checksum(payload).to_le_bytes());
        record.extend_from_slice(payload);
        self.write(&record)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(bytes) {
            // Truncation needs no room.
            let _ = self.file.set_len(self.length);
            let _ = io::Seek::seek(&mut self.file, io::SeekFrom::Start(self.length));
            return Err(error);
        }
        self.length += bytes.len() as u64;
        self.is_dirty = true;
        Ok(())
    }

    /// Waits until the disk has all records.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if self.is_dirty {
            self.file.sync_data()?;
            self.is_dirty = false;
        }
        Ok(())
    }

    /// Removes the files of earlier generations.
    pub(crate) fn remove_earlier(&self, folder: &Path) {
        for (generation, path) in files(folder) {
            if generation < self.generation {
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// The files of a folder in the order of their generations.
pub(crate) fn files(folder: &Path) -> Vec<(u64, PathBuf)> {
    let found = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<(u64, PathBuf)> = found
        .filter_map(|file| {
            let name = file.file_name().into_string().ok()?;
            let number = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
            Some((number.parse().ok()?, file.path()))
        })
        .collect();
    found.sort();
    found
}

/// Gives the entries of a file to `take`, up to the first record that is not whole. Returns the
/// bytes after that; a killed process leaves part of one record.
pub(crate) fn read(path: &Path, mut take: impl FnMut(Entry<'_>)) -> io::Result<usize> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE).read_to_end(&mut bytes)?;
    let mut rest = match bytes.strip_prefix(MAGIC) {
        Some(rest) => rest,
        None => return Ok(bytes.len()),
    };
    while let Some((payload, after)) = record(rest) {
        let mut reader = Reader(payload);
        while !reader.0.is_empty() {
            let Some(entry) = Entry::read(&mut reader) else { return Ok(rest.len()) };
            take(entry);
        }
        rest = after;
    }
    Ok(rest.len())
}

fn record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (sum, rest) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (payload, rest) = rest.split_at_checked(length)?;
    (checksum(payload) == u32::from_le_bytes(*sum)).then_some((payload, rest))
}

/// FNV-1a of 64 bits, folded.
fn checksum(bytes: &[u8]) -> u32 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    (hash ^ (hash >> 32)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry<'static>> {
        let sample = |reading| Sample { time: -5, reading, quality: Quality::Stale };
        let readings = [
            Reading::Nothing,
            Reading::Float(0.1),
            Reading::Int(i64::MIN),
            Reading::Bool(true),
            Reading::Text("on".into()),
        ];
        let samples = readings.into_iter().enumerate().map(|(ordinal, reading)| Entry::Sample {
            series: 3,
            ordinal: ordinal as u64,
            sample: sample(reading),
        });
        let series =
            Entry::Series { number: 3, service: "lab", member: "t", unit: "K", daemon: "bench" };
        let cursor = Entry::Cursor { daemon: "bench", epoch: "a", next: 7 };
        let note = Entry::Note { time: 5, text: "{}" };
        [series].into_iter().chain(samples).chain([cursor, note]).collect()
    }

    fn put(path: &Path, bytes: &[u8]) {
        File::create(path).unwrap().write_all(bytes).unwrap();
    }

    #[test]
    fn entries_come_back_up_to_a_torn_or_damaged_record() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::begin(folder.path(), 2, &[]).unwrap();
        for entry in entries() {
            let mut payload = Vec::new();
            entry.put(&mut payload);
            journal.append(&payload).unwrap();
        }
        let path = journal.path.clone();
        let whole = fs::read(&path).unwrap();
        assert_eq!(whole.len() as u64, journal.length());
        let count = entries().len();
        let torn = whole[..whole.len() - 1].to_vec();
        let mut damaged = whole.clone();
        damaged[30] ^= 1;
        let cases = [(whole, count, false), (torn, count - 1, true), (damaged, 0, true)];
        for (bytes, expected, is_damaged) in cases {
            put(&path, &bytes);
            let mut found = 0;
            let rest = read(&path, |entry| {
                assert_eq!(entry, entries()[found]);
                found += 1;
            });
            assert_eq!(found, expected);
            assert_eq!(rest.unwrap() > 0, is_damaged);
        }
        put(&path, b"something else");
        assert_eq!(read(&path, |_| panic!()).unwrap(), 14);
        let next = Journal::begin(folder.path(), 3, &[]).unwrap();
        next.remove_earlier(folder.path());
        assert_eq!(files(folder.path()), [(3, next.path.clone())]);
    }
}
