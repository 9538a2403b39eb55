//! The text of a configuration file: a bounded read, and the line and column of a byte.
//!
//! Must not know YAML.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

/// Bytes of the largest file that is read.
pub(crate) const MAX_BYTES: usize = 1 << 20;

/// A range of bytes in a [`ConfigText`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Where it starts, in bytes.
    pub offset: usize,
    /// How many bytes it covers.
    pub len: usize,
}

/// A text with a name, that can say the line and column of each byte.
#[derive(Debug)]
pub(crate) struct ConfigText {
    name: String,
    text: String,
    /// The byte at which each line starts.
    lines: Vec<usize>,
}

/// Why bytes are not a text to be read as a configuration, and where.
pub(crate) struct NotText {
    /// As much of it as can be shown.
    pub source: ConfigText,
    /// Where the fault is.
    pub place: Place,
    /// Description of the fault.
    pub message: String,
    /// The remedy.
    pub help: &'static str,
}

/// Reads a file up to one byte beyond the limit of `ConfigText::from_bytes`.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_from(File::open(path)?)
}

/// As [`read`], from a file that is open.
pub fn read_from(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl ConfigText {
    /// A text under the name that its problems will give.
    pub(crate) fn new(name: impl Into<String>, text: impl Into<String>) -> ConfigText {
        let mut text = text.into();
        if text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        let mut lines = vec![0];
        let bytes = text.as_bytes();
        for (index, byte) in bytes.iter().enumerate() {
            if *byte == b'\n' || (*byte == b'\r' && bytes.get(index + 1) != Some(&b'\n')) {
                lines.push(index + 1);
            }
        }
        ConfigText { name: name.into(), text, lines }
    }

    /// The text in a file's bytes, or the reason why the bytes are not text.
    pub(crate) fn from_bytes(name: &str, bytes: &[u8]) -> Result<ConfigText, Box<NotText>> {
        let refused = |text: &str, offset, len, message: String, help| {
            let source = ConfigText::new(name, text);
            Err(Box::new(NotText { source, place: Place { offset, len }, message, help }))
        };
        if bytes.len() > MAX_BYTES {
            let message = format!("the file is larger than {} KiB", MAX_BYTES / 1024);
            return refused("", 0, 0, message, "a configuration of any lab is far smaller");
        }
        // YAML's printable characters. A file torn by a power cut often ends in zero bytes.
        let strange = |c: char| !matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..);
        let text = match str::from_utf8(bytes) {
            Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
            Err(error) => {
                let (before, after) =
                    bytes.split_at_checked(error.valid_up_to()).unwrap_or_default();
                // It is shown on a terminal, which control characters would change.
                let shown = |part| String::from_utf8_lossy(part).replace(strange, "\u{fffd}");
                let before = shown(before);
                let before = before.strip_prefix('\u{feff}').unwrap_or(&before);
                let help = "save the file in the UTF-8 encoding";
                let message = "the file is not UTF-8 text from here on".to_owned();
                return refused(
                    &format!("{before}{}", shown(after)),
                    before.len(),
                    1,
                    message,
                    help,
                );
            }
        };
        if let Some(offset) = text.find(strange) {
            let character = text.get(offset..).and_then(|rest| rest.chars().next());
            let code = character.map_or(0, u32::from);
            let shown = text.replace(strange, "\u{fffd}");
            let help = match code {
                0 => "the file was probably torn: take up its last version",
                _ => "remove it, or write it as an escape in double quotes",
            };
            let message = format!("a control character (U+{code:04X}) in the file");
            return refused(&shown, offset, 1, message, help);
        }
        Ok(ConfigText::new(name, text))
    }

    /// The name given for it, usually its path.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The text, without a byte order mark.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The line and the column of a byte, both from 1; columns count characters.
    pub(crate) fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= offset).max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(start..offset.min(self.text.len())).unwrap_or("");
        (line, before.chars().count() + 1)
    }

    /// How many bytes of a place are on its first line; a long text is shown by its beginning.
    pub(crate) fn on_one_line(&self, place: Place) -> usize {
        let (line, _) = self.position(place.offset);
        let rest = self.text.get(place.offset..).unwrap_or("");
        let ends = self.lines.get(line).map_or(rest.len(), |next| next - place.offset);
        let line = rest.get(..ends).unwrap_or("").trim_end_matches(['\n', '\r']);
        place.len.min(line.len())
    }

    /// Whether the lines around a byte are short enough to be shown.
    pub(crate) fn can_show(&self, offset: usize) -> bool {
        const WIDE: usize = 300;
        let (line, _) = self.position(offset);
        let start = self.lines.get(line.saturating_sub(2)).copied().unwrap_or(0);
        let after = self.lines.get(line + 1).copied().unwrap_or(self.text.len());
        let around = self.text.get(start..after).unwrap_or("");
        !around.is_empty() && around.lines().all(|line| line.len() <= WIDE)
    }
}

impl SourceCode for ConfigText {
    /// As `str` does it, but with columns in characters, as in [`ConfigText::position`].
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let contents = self.text.read_span(span, before, after)?;
        let (_, column) = self.position(contents.span().offset());
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            contents.data(),
            *contents.span(),
            contents.line(),
            column - 1,
            contents.line_count(),
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_as_editors_end_them_and_columns_count_characters() {
        let source = ConfigText::new("x", "a\nbé c\r\nd\re");
        let at = |text: &str| source.position(source.text().find(text).unwrap());
        assert_eq!(
            [at("a"), at("b"), at("c"), at("d"), at("e")],
            [(1, 1), (2, 1), (2, 4), (3, 1), (4, 1)]
        );
        assert_eq!(source.position(999).0, 4);
        assert_eq!(ConfigText::new("x", "\u{feff}ab").position(1), (1, 2));
    }

    #[test]
    fn bytes_that_are_no_text_give_one_position() {
        let cases: [(&[u8], (usize, usize), &str); 6] = [
            (b"a: b\nc: \xff\n", (2, 4), "not UTF-8"),
            (b"a: \x1b[2Jb\nc: \x1b[2J\xff\x1b[2J\n", (2, 8), "not UTF-8"),
            (b"\xef\xbb\xbfa: \xff\n", (1, 4), "not UTF-8"),
            (b"a: b\n\0\0\0\0", (2, 1), "U+0000"),
            (b"a: \x1b[0m", (1, 4), "U+001B"),
            (&vec![b'a'; MAX_BYTES + 1], (1, 1), "larger than 1024 KiB"),
        ];
        for (bytes, position, message) in cases {
            let refused = ConfigText::from_bytes("x", bytes).err().unwrap();
            assert!(refused.message.contains(message), "{}", refused.message);
            assert_eq!(refused.source.position(refused.place.offset), position);
            assert!(!refused.source.text().contains(['\x1b', '\0']), "it goes to a terminal");
        }
    }
}
