//! Line reader in bounded memory: a gigabyte without a newline costs no more than the limit.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// Appended to a line that was cut.
const CUT_MARK: &str = " [line cut]";

/// Reader of lines: lossy UTF-8, without the newline, cut at a limit.
#[derive(Debug)]
pub struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    limit: usize,
    /// The remainder of a cut line is being discarded.
    skipping: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Longest line, in bytes, unless [`limited`](Self::limited) sets another limit.
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

    /// Sets the longest line to `limit` bytes.
    pub fn limited(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// The next line; `None` at the end. The last line needs no newline. A line beyond the limit is
    /// returned as soon as the limit is reached; its remainder is discarded.
    ///
    /// Cancel safe.
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
        // A long line's buffer is freed.
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
