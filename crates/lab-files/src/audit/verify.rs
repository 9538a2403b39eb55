//! Verification of an audit: finds lines that were changed, left out, moved or cut off.
//!
//! The files of a writer are one chain. Anchors say which hash the line of a number has: the head
//! in the state file, and those in the host's log.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::chain::Anchor;
use super::files;
use super::line::{FILE_GONE, NO_HASH, describe_torn, open};
use crate::open;

/// Numbers before a line that are looked for one by one; of more, all count as missing.
const MAX_SEARCHED: u64 = 1_000_000;

/// A fault of an audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file, or the folder where that is missing.
    pub file: String,
    /// The line in it, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The fault, as a sentence.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.text)
    }
}

/// The outcome of a verification.
#[derive(Debug, Default)]
pub struct Verified {
    pub lines: usize,
    pub faults: Vec<Fault>,
    /// Facts that are no faults.
    pub notes: Vec<Fault>,
}

/// Verifies all chains of a folder.
///
/// # Errors
/// The folder or a file cannot be read.
pub fn verify(folder: &Path, anchors: &[Anchor]) -> io::Result<Verified> {
    let mut verified = Verified::default();
    let chains = files::list(folder)?;
    for (writer, months) in &chains {
        let chain = Chain::read(months)?;
        let anchors: Vec<&Anchor> =
            anchors.iter().filter(|anchor| anchor.writer == *writer).collect();
        chain.verify(&anchors, &mut verified);
    }
    let mut missing: BTreeMap<&str, u64> = BTreeMap::new();
    for anchor in anchors.iter().filter(|anchor| !chains.contains_key(&anchor.writer)) {
        let last = missing.entry(&anchor.writer).or_default();
        *last = anchor.seq.max(*last);
    }
    for (writer, last) in missing {
        let whose = match writer.is_empty() {
            true => "the supervisor".to_owned(),
            false => match writer.strip_prefix("%ns-") {
                Some(nameserver) => format!("nameserver {nameserver}"),
                None => format!("daemon {writer}"),
            },
        };
        let text = format!("no file of {whose} is there, which had written {last} lines");
        verified.faults.push(Fault { file: folder.display().to_string(), line: None, text });
    }
    Ok(verified)
}

/// The lines of one writer, in the order of its files.
#[derive(Default)]
struct Chain {
    paths: Vec<PathBuf>,
    lines: Vec<ChainLine>,
}

/// Kinds of a file's first line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FileBegin {
    Continues,
    /// The file before it had been removed when it was written.
    AfterLoss,
}

struct ChainLine {
    /// The index of its file, and its number there from 1.
    file: usize,
    number: usize,
    content: Content,
}

enum Content {
    Sealed {
        seq: u64,
        prev: String,
        hash: String,
        begins: Option<FileBegin>,
        torn: Option<String>,
    },
    /// Its text does not have its hash.
    Changed(String),
    /// The last one, without an end.
    Unfinished,
}

impl Chain {
    fn read(months: &BTreeMap<String, PathBuf>) -> io::Result<Self> {
        let mut chain = Chain { paths: months.values().cloned().collect(), lines: Vec::new() };
        for (file, path) in chain.paths.iter().enumerate() {
            let mut reader = BufReader::new(open::open_regular(path)?);
            for number in 1.. {
                let mut text = Vec::new();
                if reader.read_until(b'\n', &mut text)? == 0 {
                    break;
                }
                let is_whole = text.pop_if(|byte| *byte == b'\n').is_some();
                let content = match open(&text) {
                    Some(sealed) => {
                        let line = sealed.line;
                        let begins = (line.action == "file").then(|| {
                            match line.outcome.ends_with(FILE_GONE) {
                                true => FileBegin::AfterLoss,
                                false => FileBegin::Continues,
                            }
                        });
                        let torn = (line.action == "torn").then_some(line.outcome);
                        let (seq, prev, hash) = (line.seq, line.prev, sealed.hash);
                        Content::Sealed { seq, prev, hash, begins, torn }
                    }
                    None if is_whole => Content::Changed(describe_torn(&text)),
                    None => Content::Unfinished,
                };
                chain.lines.push(ChainLine { file, number, content });
            }
        }
        Ok(chain)
    }

    fn fault(&self, line: &ChainLine, text: String) -> Fault {
        let file = self.paths.get(line.file).map_or_else(String::new, |path| shown(path));
        Fault { file, line: Some(line.number), text }
    }

    fn verify(&self, anchors: &[&Anchor], verified: &mut Verified) {
        verified.lines += self.lines.len();
        let sealed = || {
            self.lines.iter().filter_map(|line| match &line.content {
                Content::Sealed { seq, hash, torn, .. } => Some((*seq, hash, torn)),
                _ => None,
            })
        };
        let known: HashMap<u64, &String> = sealed().map(|(seq, hash, _)| (seq, hash)).collect();
        let torn: HashSet<&String> = sealed().filter_map(|(.., torn)| torn.as_ref()).collect();
        let mut walk = Walk { chain: self, known: &known, last: None, changed: 0, file: None };
        for (at, line) in self.lines.iter().enumerate() {
            let next = self.lines[at + 1..].iter().find_map(|line| match &line.content {
                Content::Sealed { seq, .. } => Some(*seq),
                _ => None,
            });
            walk.line(line, next, &torn, verified);
        }
        // Of a file without lines too: they may have been cut off.
        let end = walk.last.map_or(0, |(last, _)| last).saturating_add(walk.changed);
        for anchor in anchors {
            let Anchor { seq, hash, source, .. } = anchor;
            let text = match known.get(seq) {
                Some(found) if *found == hash => continue,
                Some(_) => format!("number {seq} is not the line whose hash {source} has"),
                None if *seq > end => format!(
                    "ends with number {end}, and {source} has number {seq}: the lines after {end} \
                     were cut off"
                ),
                // It is missing, which is reported already; or its file was removed long ago.
                None => continue,
            };
            let file = self.paths.last().map_or_else(String::new, |path| shown(path));
            let fault = Fault { file, line: None, text };
            if !verified.faults.contains(&fault) {
                verified.faults.push(fault);
            }
        }
    }
}

/// One pass over a chain.
struct Walk<'a> {
    chain: &'a Chain,
    known: &'a HashMap<u64, &'a String>,
    /// The last line that was in its place.
    last: Option<(u64, &'a str)>,
    /// Changed lines since.
    changed: u64,
    file: Option<usize>,
}

impl<'a> Walk<'a> {
    fn line(
        &mut self,
        line: &'a ChainLine,
        next: Option<u64>,
        torn: &HashSet<&String>,
        verified: &mut Verified,
    ) {
        let begins_file = self.file.replace(line.file) != Some(line.file);
        let chain = self.chain;
        let mut fault = |text: String| verified.faults.push(chain.fault(line, text));
        match &line.content {
            Content::Unfinished => {
                let text = "the last line has no end: it is being written, or its writer has died";
                verified.notes.push(chain.fault(line, text.to_owned()));
            }
            Content::Changed(described) if torn.contains(described) => {}
            Content::Changed(_) => {
                self.changed += 1;
                fault("this line was changed: it does not have its hash".to_owned());
            }
            Content::Sealed { seq, prev, hash, begins, .. } => {
                if begins_file && begins.is_none() {
                    fault(format!("the file begins with number {seq}: its beginning was cut off"));
                }
                if *begins == Some(FileBegin::AfterLoss) {
                    fault(format!("the file with the lines before number {seq} was removed"));
                }
                self.sealed(line, (*seq, prev, hash), next, verified);
            }
        }
    }

    fn sealed(
        &mut self,
        line: &'a ChainLine,
        (seq, prev, hash): (u64, &'a str, &'a str),
        next: Option<u64>,
        verified: &mut Verified,
    ) {
        let chain = self.chain;
        let mut fault = |text: String| verified.faults.push(chain.fault(line, text));
        let Some((last, last_hash)) = self.last else {
            if seq == 1 && prev != NO_HASH {
                fault("number 1 follows another line".to_owned());
            } else if seq > 1 && self.changed == 0 {
                let text =
                    format!("the audit begins with number {seq}; earlier files are not here");
                verified.notes.push(chain.fault(line, text));
            }
            (self.last, self.changed) = (Some((seq, hash)), 0);
            return;
        };
        let expected = last.saturating_add(1).saturating_add(self.changed);
        // One that comes too early is followed by the one that belongs here.
        if seq <= last || seq > expected && next == Some(expected) {
            fault(format!("number {seq} is not in its place: number {expected} belongs here"));
            return;
        }
        if seq == last.saturating_add(1) && prev != last_hash {
            fault(format!("number {seq} does not follow number {last} that stands before it"));
        }
        // Numbers that stand elsewhere are reported there.
        if let Some((first, end)) = self.missing(expected, seq) {
            fault(match first == end {
                true => format!("number {first} is missing before this line"),
                false => format!("numbers {first} to {end} are missing before this line"),
            });
        }
        (self.last, self.changed) = (Some((seq, hash)), 0);
    }

    /// The first and the last of the numbers from `expected` until before `seq` that stand nowhere.
    fn missing(&self, expected: u64, seq: u64) -> Option<(u64, u64)> {
        // A forged line may have any number.
        if seq.saturating_sub(expected) > MAX_SEARCHED {
            return Some((expected, seq - 1));
        }
        let mut missing = (expected..seq).filter(|number| !self.known.contains_key(number));
        let first = missing.next()?;
        Some((first, missing.next_back().unwrap_or(first)))
    }
}

fn shown(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}
