//! Reading the lock log back.
//!
//! Owns which files belong together, and the order of their lines.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::line::{BREAKS, LockLogLine, PREFIX, SUFFIX};
use crate::log::merge::merge_by_time;
use crate::open;

/// Reads every line of every daemon. Lines of one daemon are in the order of writing, whatever its
/// clock did; those of several daemons are merged by time. Unreadable lines are left out.
///
/// # Errors
/// The directory or a file cannot be read.
pub fn read(log_dir: &Path) -> io::Result<Vec<LockLogLine>> {
    let entries = match std::fs::read_dir(log_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    // Each daemon's files, from the oldest rotated one to the current one.
    let mut daemons: BTreeMap<String, Files> = BTreeMap::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some((name, is_breaks, age)) = name.to_str().and_then(parse) else { continue };
        let files = daemons.entry(name.to_owned()).or_default();
        let list = if is_breaks { &mut files.breaks } else { &mut files.all };
        list.push((age, entry.path()));
    }
    let histories = daemons.into_values().map(Files::read).collect::<io::Result<Vec<_>>>()?;
    Ok(merge_by_time(histories, |line| line.time))
}

/// The files of one daemon, each with how often it has been set aside.
#[derive(Default)]
struct Files {
    all: Vec<(u32, PathBuf)>,
    breaks: Vec<(u32, PathBuf)>,
}

impl Files {
    fn read(self) -> io::Result<VecDeque<LockLogLine>> {
        let lines = in_order(self.all)?;
        let known: HashSet<_> = lines.iter().map(|line| (line.seq, line.time)).collect();
        // Breaks that are in no other file any more are older than the lines that are.
        let mut history = VecDeque::from(in_order(self.breaks)?);
        history.retain(|line| !known.contains(&(line.seq, line.time)));
        history.extend(lines);
        Ok(history)
    }
}

fn in_order(mut files: Vec<(u32, PathBuf)>) -> io::Result<Vec<LockLogLine>> {
    files.sort_by_key(|(age, _)| std::cmp::Reverse(*age));
    let mut lines = Vec::new();
    for (_, path) in files {
        for line in BufReader::new(open::open_regular(&path)?).split(b'\n') {
            // The last line of a daemon that was killed may be torn.
            lines.extend(serde_json::from_slice::<LockLogLine>(&line?));
        }
    }
    Ok(lines)
}

/// Parts of a file's name: the daemon's name, whether it is the file of broken locks, and how often
/// it was rotated.
fn parse(name: &str) -> Option<(&str, bool, u32)> {
    let (base, age) = match name.rsplit_once('.') {
        Some((base, age)) if age.parse::<u32>().is_ok() => (base, age.parse().ok()?),
        _ => (name, 0),
    };
    let base = base.strip_suffix(SUFFIX)?;
    match base.strip_prefix(PREFIX) {
        Some(daemon) => Some((daemon, false, age)),
        None => base.strip_prefix(BREAKS).map(|daemon| (daemon, true, age)),
    }
}
