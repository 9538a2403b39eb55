//! Lines out of a pipe, in bounded memory.
//!
//! Owns: the buffer. Whatever a child prints, and be it a gigabyte without a newline, costs the
//! limit and no more. Refuses to know: what the lines mean.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// What is appended to a line that was too long.
const CUT_MARK: &str = " [line cut]";

/// A reader of lines: lossy UTF-8, without their newline, cut at a limit.
#[derive(Debug)]
pub struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    limit: usize,
    /// The rest of a line that was cut is being thrown away.
    skipping: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// The longest line, in bytes, unless [`limited`](Self::limited) says otherwise.
    pub const DEFAULT_MAX_BYTES: usize = 64 * 1024;

    /// Reads lines from `reader`.
    pub fn new(reader: R) -> Self {
        Self {
            reader: BufReader::new(reader),
            line: Vec::new(),
            limit: Self::DEFAULT_MAX_BYTES,
            skipping: false,
        }
    }

    /// Sets the longest line, in bytes.
    pub fn limited(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// The next line, or None at the end. A last line needs no newline. A line beyond the limit
    /// is given out as soon as the limit is reached, and its rest is thrown away.
    ///
    /// May be cancelled: nothing is lost.
    pub async fn next(&mut self) -> io::Result<Option<String>> {
        loop {
            let chunk = self.reader.fill_buf().await?;
            if chunk.is_empty() {
                self.skipping = false;
                return Ok((!self.line.is_empty()).then(|| self.take_line("")));
            }
            let newline = memchr::memchr(b'\n', chunk);
            let part = &chunk[..newline.unwrap_or(chunk.len())];
            let used = newline.map_or(chunk.len(), |at| at + 1);
            if self.skipping {
                self.skipping = newline.is_none();
                self.reader.consume(used);
                continue;
            }
            let room = self.limit - self.line.len();
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            let cut = part.len() > room;
            self.reader.consume(used);
            if cut {
                self.skipping = newline.is_none();
                return Ok(Some(self.take_line(CUT_MARK)));
            }
            if newline.is_some() {
                if self.line.last() == Some(&b'\r') {
                    self.line.pop();
                }
                return Ok(Some(self.take_line("")));
            }
        }
    }

    fn take_line(&mut self, end: &str) -> String {
        let mut text = String::from_utf8_lossy(&self.line).into_owned();
        text.push_str(end);
        // One long line must not cost its size for ever.
        self.line = Vec::new();
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(input: &[u8], limit: usize) -> Vec<String> {
        let mut lines = Lines::new(input).limited(limit);
        let mut out = Vec::new();
        while let Some(line) = lines.next().await.expect("memory can be read") {
            out.push(line);
        }
        out
    }

    #[tokio::test]
    async fn splits_and_cuts() {
        let cases: &[(&[u8], &[&str])] = &[
            (b"", &[]),
            (b"one", &["one"]),
            (b"one\ntwo\n", &["one", "two"]),
            (b"\n\r\nend\r\n", &["", "", "end"]),
            (b"a\xffb\n", &["a\u{fffd}b"]),
            (b"12345678\nnext\n", &["12345678", "next"]),
            (b"123456789\nnext\n", &["12345678 [line cut]", "next"]),
            (b"123456789abcdefghijklmnop", &["12345678 [line cut]"]),
        ];
        for (input, lines) in cases {
            assert_eq!(read(input, 8).await, *lines, "{}", input.escape_ascii());
        }
    }

    #[tokio::test]
    async fn long_lines_are_cut_across_buffers() {
        let input = [vec![b'x'; 100_000], b"\nnext\n".to_vec()].concat();
        let lines = read(&input, 20_000).await;
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].len(), 20_000 + CUT_MARK.len());
        assert_eq!(lines[1], "next");
    }
}
