//! One channel to a worker: a socket pair for requests and one for answers, with a thread of the
//! worker at their other ends.
//!
//! Owns the exchange of one request for one answer: in the common case one write and one read, into
//! buffers that are kept. Knows nothing of sessions.
//!
//! Linux also wakes a thread that waits at a Unix socket when the other end *reads*, because there
//! is room to write again. With one pair for both directions each short call woke the worker's
//! thread and the daemon once for nothing. So no thread waits at a socket that is written to, but
//! where it is full.

use std::io::{self, IoSlice, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;

use remote::{AnswerMemory, Exception, Serializer};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use wire::EncodeError;
use wire::array::Array;
use wire::value::Value;

use crate::frames::{self, AnswerError, Answered, FrameForm, HEAD, MAX_FRAME_BYTES};

/// Size in bytes of the read buffer that is kept between calls.
const READ_BUFFER_BYTES: usize = 16 * 1024;
/// A buffer that has grown beyond this is given back after the call.
const MAX_KEPT_BYTES: usize = 1 << 20;
/// An answer that is longer is read beside the runtime's threads: it takes milliseconds or more.
const LARGE_ANSWER_BYTES: usize = 256 * 1024;
/// Bytes of an answer from which on memory is reserved for it before it is read.
const RESERVED_ANSWER_BYTES: usize = 1024 * 1024;
/// Bytes of memory for each byte of a large answer: the answer, and what is made of it for its
/// client.
const MEMORY_PER_BYTE: usize = 2;

/// A channel. It carries one request at a time.
#[derive(Debug)]
pub(crate) struct Channel {
    /// The runtime does not know it: a registered socket wakes the runtime each time the worker has
    /// read a request.
    requests: StdStream,
    /// Nothing is written to it.
    answers: UnixStream,
    /// Bytes that were read and not yet used.
    input: Vec<u8>,
    /// Bytes to be written.
    output: Vec<u8>,
    /// The array whose elements are written after them.
    last_array: Option<Arc<Array>>,
    /// How many bytes of both have been written.
    written: usize,
}

/// The ends of a channel that are the worker's.
#[derive(Debug)]
pub(crate) struct WorkerEnds {
    /// It writes answers here.
    pub answers: OwnedFd,
    /// It reads requests here.
    pub requests: OwnedFd,
}

impl WorkerEnds {
    /// As the protocol has them. A worker with a number for one descriptor only has this end of the
    /// answers until it has said why it does not serve the channel.
    pub(crate) fn in_order(self) -> Vec<OwnedFd> {
        vec![self.answers, self.requests]
    }
}

/// Why an exchange has failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// The request cannot be sent; nothing has happened.
    #[error(transparent)]
    Request(#[from] EncodeError),
    /// The channel is lost, and with it what became of the request.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The daemon has no memory for the answer, which has not been read.
    #[error("no memory for the answer")]
    NoMemory(Exception),
    /// The answer cannot be understood; the next one can.
    #[error(transparent)]
    Answer(#[from] AnswerError),
}

impl ExchangeError {
    /// The worker has ended before its answer.
    pub(crate) fn of_ended_worker() -> Self {
        io::Error::from(io::ErrorKind::UnexpectedEof).into()
    }
}

impl Channel {
    /// A new channel, and the ends of it that are the worker's.
    ///
    /// # Errors
    /// There are no more file descriptors.
    pub(crate) fn pair() -> io::Result<(Channel, WorkerEnds)> {
        let (requests, their_requests) = StdStream::pair()?;
        let (answers, their_answers) = StdStream::pair()?;
        requests.set_nonblocking(true)?;
        answers.set_nonblocking(true)?;
        let answers = UnixStream::from_std(answers)?;
        let (input, output) = (Vec::with_capacity(READ_BUFFER_BYTES), Vec::new());
        let channel = Channel { requests, answers, input, output, last_array: None, written: 0 };
        let (answers, requests) = (their_answers.into(), their_requests.into());
        Ok((channel, WorkerEnds { answers, requests }))
    }

    /// Adds a frame to what is written next.
    ///
    /// # Errors
    /// The frame's content is nested too deeply.
    pub(crate) fn queue(&mut self, content: &Value) -> Result<(), EncodeError> {
        debug_assert!(self.last_array.is_none(), "the frame of a call is the last one");
        frames::append(&mut self.output, content)
    }

    /// Adds the frame of a call, the last one before [`flush`](Self::flush). Its arrays are packed
    /// for a worker that has numpy.
    ///
    /// # Errors
    /// The frame's content is nested too deeply, or has arrays that cannot be lists.
    pub(crate) fn queue_call(
        &mut self,
        content: &Value,
        has_numpy: bool,
    ) -> Result<(), EncodeError> {
        debug_assert!(self.last_array.is_none(), "the frame of a call is the last one");
        if has_numpy {
            self.last_array = frames::append_with_arrays(&mut self.output, content)?;
            return Ok(());
        }
        frames::append(&mut self.output, content)
    }

    /// Writes what is queued. May be cancelled and called again.
    ///
    /// # Errors
    /// The socket's.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        let elements = self.last_array.as_ref().map_or(&[][..], |array| array.data());
        while self.written < self.output.len() + elements.len() {
            // A worker that reads as fast as this writes must not keep the thread from others.
            tokio::task::coop::consume_budget().await;
            let begin = self.output.get(self.written..).unwrap_or_default();
            let rest = elements.get(self.written.saturating_sub(self.output.len())..);
            let written = match rest {
                None | Some([]) => self.requests.write(begin),
                Some(rest) => {
                    self.requests.write_vectored(&[IoSlice::new(begin), IoSlice::new(rest)])
                }
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // A clone, which the runtime knows for as long as this waits.
                    UnixStream::from_std(self.requests.try_clone()?)?.writable().await?;
                }
                Err(error) => return Err(error),
            }
        }
        self.last_array = None;
        self.output.clear();
        self.written = 0;
        if self.output.capacity() > MAX_KEPT_BYTES {
            self.output = Vec::new();
        }
        Ok(())
    }

    /// Writes a small frame if that is possible now; returns whether it was.
    pub(crate) fn write_now(&mut self, content: &Value) -> bool {
        let mut frame = Vec::new();
        self.output.is_empty()
            && frames::append(&mut frame, content).is_ok()
            && self.requests.write(&frame).is_ok_and(|written| written == frame.len())
    }

    /// Whether nothing is queued.
    pub(crate) fn has_sent_all(&self) -> bool {
        self.output.is_empty()
    }

    /// Whether the worker has closed its ends, on a channel without an outstanding answer.
    pub(crate) fn has_ended(&self) -> bool {
        let waits = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
        !self.answers.try_read(&mut [0; 1]).as_ref().is_err_and(waits)
    }

    /// Reads an answer; where it `passes` to a caller with this serializer as it is, only what that
    /// takes. A large one waits for `memory` first, where that is given. May be cancelled and
    /// called again.
    ///
    /// # Errors
    /// The socket's, or a frame that is not an answer; or no memory.
    pub(crate) async fn answer(
        &mut self,
        passes: Option<Serializer>,
        memory: Option<&AnswerMemory>,
    ) -> Result<Answered, ExchangeError> {
        let (form, length) = loop {
            if let Some(head) = self.input.first_chunk::<HEAD>() {
                break frames::form_and_length(*head);
            }
            self.read().await?;
        };
        if length > MAX_FRAME_BYTES {
            let text =
                format!("an answer of {length} bytes (at most {MAX_FRAME_BYTES} are allowed)");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text).into());
        }
        if length > RESERVED_ANSWER_BYTES
            && let Some(memory) = memory
        {
            let bytes = length.saturating_mul(MEMORY_PER_BYTE);
            memory.reserve(bytes).await.map_err(ExchangeError::NoMemory)?;
        }
        let end = HEAD + length;
        if self.input.len() < end {
            self.input.try_reserve_exact(end - self.input.len()).map_err(io::Error::other)?;
        }
        while self.input.len() < end {
            self.read().await?;
        }
        // Of a packed result only the table is looked at.
        let is_packed = form == FrameForm::PackedResult;
        if let Some(serializer) = passes
            && (length > LARGE_ANSWER_BYTES || is_packed)
            && self.input.len() == end
        {
            let content = self.input.get(HEAD..).unwrap_or_default();
            let is_short = is_packed || frames::is_bytes_result(content);
            let whole = std::mem::replace(&mut self.input, Vec::with_capacity(READ_BUFFER_BYTES));
            let pass_on = || frames::pass_on(whole, HEAD, form, serializer);
            match if is_short { pass_on() } else { remote::run_blocking(pass_on) } {
                Ok(passed) => return Ok(Answered::Serialized(passed)),
                Err(whole) => self.input = whole,
            }
        }
        let content = self.input.get(HEAD..end).unwrap_or_default();
        let answer = run_long(length, || frames::answer(form, content));
        self.input.drain(..end);
        if self.input.is_empty() && self.input.capacity() > MAX_KEPT_BYTES {
            self.input = Vec::with_capacity(READ_BUFFER_BYTES);
        }
        Ok(answer?)
    }

    async fn read(&mut self) -> io::Result<()> {
        match self.answers.read_buf(&mut self.input).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// Runs work on an answer of `length` bytes, beside the runtime's threads if it may take long.
fn run_long<T>(length: usize, work: impl FnOnce() -> T) -> T {
    if length > LARGE_ANSWER_BYTES { remote::run_blocking(work) } else { work() }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    /// The one thread of the runtime is free for others while a large answer is read, until its
    /// task waits again; unless the reading ended before another thread has started.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_large_answer_is_read_aside() {
        let reading = async {
            let (mut channel, theirs) = Channel::pair().unwrap();
            let items: Vec<Value> = (0..100_000).map(Value::from).collect();
            let mut frame = Vec::new();
            let answer = Value::Tuple(vec![0_i64.into(), Value::List(items.clone())]);
            frames::append(&mut frame, &answer).unwrap();
            assert!(frame.len() > LARGE_ANSWER_BYTES);
            std::thread::spawn(move || {
                let _requests = theirs.requests;
                let mut answers = StdStream::from(theirs.answers);
                while answers.write_all(&frame).is_ok() {}
            });
            for _ in 0..20 {
                let answered = channel.answer(None, None).await.unwrap();
                assert!(matches!(answered, Answered::Value(Value::List(read), _) if read == items));
                let (others, ran) = mpsc::channel();
                tokio::spawn(async move { others.send(()) });
                if ran.recv_timeout(Duration::from_secs(1)).is_ok() {
                    return true;
                }
            }
            false
        };
        assert!(tokio::spawn(reading).await.unwrap());
    }

    #[tokio::test]
    async fn a_request_beyond_the_buffers_is_written_while_the_worker_reads() {
        let (mut channel, theirs) = Channel::pair().unwrap();
        let content =
            Value::bytes((0..8 << 20).map(|index| (index % 251) as u8).collect::<Vec<_>>());
        let mut frame = Vec::new();
        frames::append(&mut frame, &content).unwrap();
        channel.queue(&content).unwrap();
        tokio::select! {
            biased;
            _ = channel.flush() => panic!("nobody reads"),
            () = std::future::ready(()) => {}
        }
        assert!((1..frame.len()).contains(&channel.written));
        let mut read = vec![0; frame.len()];
        let worker = std::thread::spawn(move || {
            StdStream::from(theirs.requests).read_exact(&mut read).unwrap();
            read
        });
        channel.flush().await.unwrap();
        assert!(channel.has_sent_all());
        assert_eq!(worker.join().unwrap(), frame);
        drop(theirs.answers);
        assert!(channel.answer(None, None).await.is_err());
        assert!(channel.has_ended());
    }
}
