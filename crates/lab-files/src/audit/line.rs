//! One line of the audit, sealed with the hash of its text and of the line before it.
//!
//! ```text
//! {"time":…,"seq":7,…,"prev":"HASH OF LINE 6","hash":"SHA-256 of all of this before `,"hash"`"}
//! ```

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Bytes of the text of a call's arguments.
const MAX_ARGUMENTS_BYTES: usize = 256;
/// The beginning of a line's last field.
const SEAL: &str = ",\"hash\":\"";
/// The action of a client that connects, and is refused.
pub const CONNECT: &str = "connect";
/// The action of a login with a code or a token.
pub const LOGIN: &str = "login";
/// The outcome of what was carried out.
const DONE: &str = "done";
/// Hexadecimal digits of a hash.
const HASH_DIGITS: usize = 64;
/// The end of a file's first line, where the file before it has been removed.
pub(super) const FILE_GONE: &str = ", whose file is gone";
/// The hash before the first line of all.
pub(super) const NO_HASH: &str = "";

/// The content of a line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AuditLine {
    /// When it happened, by a clock that may jump.
    pub time: Timestamp,
    /// Its number among those of its writer; rises over restarts, whatever the clock does.
    pub seq: u64,
    /// The daemon that wrote it; empty for the supervisor.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub daemon: String,
    /// `call`, `set`, `batch`, `oneway`, `refused`, `break`, `abort`; `connect` of a client that
    /// is refused, `login`; of the supervisor `start`, `stop`, `restart`, `reload`, `rename`,
    /// `down`, `acknowledge`; of the command line `user add`, `user remove`, `user rotate`; of
    /// the audit itself `file`, `started`, `torn`, `unrecorded`.
    pub action: String,
    /// The person or program: its identity; where that is not known, `anonymous@ADDRESS`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub who: String,
    /// The name that it has given to `lock()`, which may be any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Its address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// The service, or another entry of the configuration.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    /// The member of the service.
    pub member: String,
    /// The beginning of the arguments, as Python writes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<String>,
    /// `done`, or why it was not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub outcome: String,
    /// The epoch of the lock that the client had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// The hash of the line before.
    pub prev: String,
}

/// A line that has been read back.
#[derive(Debug)]
pub(super) struct SealedLine {
    pub line: AuditLine,
    pub hash: String,
}

impl AuditLine {
    /// A line about this moment; its number and the hash before it come when it is written.
    pub fn now(action: &str) -> Self {
        AuditLine {
            time: Timestamp::now(),
            action: action.to_owned(),
            outcome: DONE.to_owned(),
            ..AuditLine::default()
        }
    }

    /// Its text with the line's end, and its hash.
    ///
    /// # Errors
    /// It has no form in JSON.
    pub(super) fn seal(&self) -> serde_json::Result<(String, String)> {
        let mut text = serde_json::to_string(self)?;
        // The brace that closes it.
        text.pop();
        let hash = hash(text.as_bytes());
        text.push_str(SEAL);
        text.push_str(&hash);
        text.push_str("\"}\n");
        Ok((text, hash))
    }

    /// Whether it is about a client that was refused before anybody knew who it is: anybody who
    /// reaches a port can cause such lines.
    pub(super) fn is_of_stranger(&self) -> bool {
        self.action == CONNECT || self.action == LOGIN && self.outcome != DONE
    }

    /// Bytes that it takes while it waits, roughly.
    pub(super) fn weight(&self) -> usize {
        let AuditLine { who, from, service, member, arguments, outcome, .. } = self;
        let arguments = arguments.as_ref().map_or(0, String::len);
        let texts = [who, from, service, member, outcome].map(String::len);
        size_of::<Self>() + arguments + texts.iter().sum::<usize>()
    }

    /// The host of its address.
    pub(super) fn host(&self) -> &str {
        self.from.rsplit_once(':').map_or(self.from.as_str(), |(host, _)| host)
    }

    /// Whether `text` is who did it, its address, or the host of its address.
    pub fn is_by(&self, text: &str) -> bool {
        let names = [self.who.as_str(), self.from.as_str(), self.host()];
        names.contains(&text) || self.user.as_deref() == Some(text)
    }

    /// Whom a refusal is put down to.
    pub(super) fn client(&self) -> String {
        format!("{} at {}", self.who, self.host())
    }
}

/// The arguments of a call, as much as a line has of them.
pub fn cut_arguments(arguments: String) -> String {
    let mut end = arguments.len().min(MAX_ARGUMENTS_BYTES);
    while !arguments.is_char_boundary(end) {
        end -= 1;
    }
    match end == arguments.len() {
        true => arguments,
        // A sign of three bytes.
        false => {
            let mut end = end.saturating_sub('…'.len_utf8());
            while !arguments.is_char_boundary(end) {
                end -= 1;
            }
            format!("{}…", &arguments[..end])
        }
    }
}

/// Reads a line without its end. `None` if it is not as it was written.
pub(super) fn open(text: &[u8]) -> Option<SealedLine> {
    let text = std::str::from_utf8(text).ok()?;
    let inner = text.strip_suffix("\"}")?;
    let at = inner.len().checked_sub(HASH_DIGITS)?;
    let (content, told) = (inner.get(..at)?.strip_suffix(SEAL)?, inner.get(at..)?);
    if hash(content.as_bytes()) != told {
        return None;
    }
    let line: AuditLine = serde_json::from_str(text).ok()?;
    Some(SealedLine { line, hash: told.to_owned() })
}

/// The words for the end of a line that was torn, which the next line has.
pub(super) fn describe_torn(text: &[u8]) -> String {
    format!("{} bytes with the hash {} are no line", text.len(), hash(text))
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_back_as_it_was_written_or_not_at_all() {
        let line = AuditLine { who: "ada".into(), seq: 7, ..AuditLine::now("call") };
        let (text, hash) = line.seal().unwrap();
        let text = text.trim_end();
        let read = open(text.as_bytes()).unwrap();
        assert_eq!((&read.line, &read.hash), (&line, &hash));
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut flipped = text.as_bytes().to_vec();
                flipped[at] ^= 1 << bit;
                assert!(open(&flipped).is_none(), "byte {at}, bit {bit}");
            }
        }
        assert!(open(b"").is_none() && open(&text.as_bytes()[1..]).is_none());
    }

    #[test]
    fn arguments_are_cut_between_characters() {
        assert_eq!(cut_arguments("(1, 2)".into()), "(1, 2)");
        assert_eq!(cut_arguments("x".repeat(256)).len(), 256);
        for text in ["x".repeat(300), "é".repeat(200), "x".to_owned() + &"💡".repeat(100)] {
            let cut = cut_arguments(text);
            assert!(cut.ends_with('…') && cut.len() <= 256 && cut.len() > 248, "{}", cut.len());
        }
    }
}
