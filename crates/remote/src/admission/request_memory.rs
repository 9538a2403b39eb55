//! How much memory a request takes, and its reservation.
//!
//! A request's bytes say little of what its values take: a few kilobytes, compressed, may be as
//! large as a message's limit allows. Each is therefore taken for what it is likely to need, and
//! decoded within that; one that turns out to need more waits for the most that it could need, and
//! is decoded again. Then it keeps what it took, until its object has done with the arguments.
//! Small requests reserve nothing and never wait for large ones.

use std::sync::Arc;

use wire::Limits;
use wire::exception::Exception;
use wire::message::{Flags, Header};

use crate::admission::byte_budget::{ByteBudget, NoMemory, Reservation};
use crate::blocking::run_blocking;
use crate::frames::FrameReader;

/// A request whose payload has no more bytes than this reserves nothing.
pub(crate) const SMALL_REQUEST_BYTES: usize = 64 << 10;
/// Bytes of memory that a byte of a payload likely takes, for numbers and texts as people send
/// them.
const LIKELY_BYTES_PER_BYTE: usize = 16;
/// Bytes of memory that a byte of a payload takes at most.
const MOST_BYTES_PER_BYTE: usize = 64;
/// Bytes that a compressed byte inflates to at most.
const INFLATED_PER_BYTE: usize = 1032;
/// How much more memory than here the values of one request may take as objects in Python.
/// Tables of small rows take up to 1.8 times as much; millions of empty sets eight times.
const MOST_IN_PYTHON: usize = 2;

/// Memory that a request needs, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemoryNeed {
    payload: usize,
    pub(crate) values: usize,
}

/// Memory that a request has; released when this is dropped.
#[derive(Debug)]
pub(crate) struct RequestPermit {
    reservation: Reservation,
    bytes: usize,
    /// Bytes of it that are for values.
    values: usize,
}

impl MemoryNeed {
    /// The likely need of a payload of as many bytes.
    pub(crate) fn likely(payload: usize, limits: &Limits) -> Self {
        MemoryNeed { payload, values: values(payload, LIKELY_BYTES_PER_BYTE, limits) }
    }

    /// Its largest possible need.
    pub(crate) fn most(payload: usize, limits: &Limits) -> Self {
        MemoryNeed { payload, values: values(payload, MOST_BYTES_PER_BYTE, limits) }
    }

    /// The need of a request that has been decoded once.
    pub(crate) fn exactly(values: usize) -> Self {
        MemoryNeed { payload: 0, values }
    }

    /// Bytes that the values of one request may take as objects in Python, at most.
    pub(crate) fn most_in_python(limits: &Limits) -> usize {
        limits.memory.saturating_mul(MOST_IN_PYTHON)
    }

    /// The likely need of the message that has arrived; `None` if it is small.
    pub(crate) fn of(header: &Header, arrived: &FrameReader, limits: &Limits) -> Option<Self> {
        let bytes = header.data_len as usize;
        if !header.flags.contains(Flags::COMPRESSED) {
            let likely = || MemoryNeed { payload: 0, ..MemoryNeed::likely(bytes, limits) };
            return (bytes > SMALL_REQUEST_BYTES).then(likely);
        }
        if limits.inflated <= SMALL_REQUEST_BYTES || inflates_to_little(header, arrived, limits) {
            return None;
        }
        let inflated = bytes.saturating_mul(INFLATED_PER_BYTE).min(limits.inflated);
        Some(MemoryNeed::likely(inflated, limits))
    }

    fn bytes(self) -> usize {
        self.payload.saturating_add(self.values)
    }
}

impl RequestPermit {
    /// Waits for memory for a request.
    ///
    /// # Errors
    /// Others do not release any in time.
    pub(crate) async fn wait(
        budget: &Arc<ByteBudget>,
        need: MemoryNeed,
    ) -> Result<Self, Exception> {
        let (reservation, bytes) = (budget.reservation(), need.bytes());
        match reservation.reserve(bytes).await {
            Ok(()) => Ok(RequestPermit { reservation, bytes, values: need.values }),
            // No `CommunicationError`: a stock client would give up its connection for that, and
            // the locks and instances that it has by it.
            Err(NoMemory { waited }) => Err(Exception::daemon_error(format!(
                "the daemon is busy with other large requests: no room in memory for this one \
                     within {} s; it was not carried out, try again later",
                waited.as_secs()
            ))),
        }
    }

    /// Its payload, inflated, has as many bytes.
    pub(crate) fn inflated(&mut self, payload: usize, limits: &Limits) {
        let need = MemoryNeed::likely(payload, limits);
        self.values = need.values;
        self.shrink(need.bytes());
    }

    /// `limits`, with the memory for values that the request has.
    pub(crate) fn limits(&self, limits: &Limits) -> Limits {
        Limits { memory: self.values, ..limits.clone() }
    }

    /// Bytes that it has now.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes as many bytes in all, or releases what it has beyond them. False, and nothing is
    /// changed, if it would need more than others leave.
    pub(crate) fn resize(&mut self, bytes: usize) -> bool {
        if bytes > self.bytes && !self.reservation.try_grow(bytes) {
            return false;
        }
        self.bytes = self.bytes.max(bytes);
        self.shrink(bytes);
        true
    }

    /// Releases what it has beyond as many bytes.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        self.bytes = self.bytes.min(bytes);
        self.reservation.shrink(self.bytes);
    }
}

/// Releases the memory of a request whose values have just been freed.
///
/// The allocator keeps freed memory for each thread by itself, and another thread's request gets
/// the bytes that are released here. So the allocator returns it to the system first: six requests
/// that were refused as too large took 1963 MiB without this, and less than 650 MiB with it.
pub(crate) fn release_freed(permit: Option<RequestPermit>) {
    run_blocking(trim_allocator);
    drop(permit);
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "the C library has no safe way to be asked")]
fn trim_allocator() {
    // SAFETY: it may be called at any time, from any thread, and touches only free memory.
    let _released = unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim_allocator() {}

fn values(payload: usize, per_byte: usize, limits: &Limits) -> usize {
    payload.saturating_mul(per_byte).min(limits.memory)
}

/// Most compressed requests are small, which is soon seen; bytes that are no frame are refused
/// later.
fn inflates_to_little(header: &Header, arrived: &FrameReader, limits: &Limits) -> bool {
    arrived
        .parse_frame(*header, &Limits { inflated: SMALL_REQUEST_BYTES, ..limits.clone() })
        .is_ok()
}

#[cfg(test)]
mod tests {
    use wire::message::{FrameWriter, HEADER_LEN, MessageType};

    use std::time::Duration;

    use super::*;

    const MIB: usize = 1 << 20;

    fn limits() -> Limits {
        Limits { memory: 4 * MIB, ..Limits::for_messages(MIB) }
    }

    /// A message that has arrived.
    async fn arrived(payload: usize, compress: bool) -> (Header, FrameReader) {
        let mut bytes = Vec::new();
        let annotations = Vec::new();
        let mut frame =
            FrameWriter::begin(&mut bytes, MessageType::Invoke, 4, 1, &annotations).unwrap();
        frame.payload().extend(std::iter::repeat_n(0, payload));
        frame.finish(Flags::empty(), None, compress, usize::MAX).unwrap();
        let header = Header::decode(bytes.first_chunk::<HEADER_LEN>().unwrap(), &limits()).unwrap();
        let (mut reader, mut io) = (FrameReader::default(), bytes.as_slice());
        assert!(reader.read_header(&mut io, &limits()).await.unwrap().is_some());
        reader.receive_body(&mut io, &header).await.unwrap();
        (header, reader)
    }

    fn budget(bytes: usize) -> Arc<ByteBudget> {
        ByteBudget::new(Some(bytes), Duration::from_secs(20))
    }

    #[tokio::test]
    async fn a_request_has_what_it_likely_needs_and_then_what_it_takes() {
        let budget = budget(64 * MIB);
        let cases = [
            (100, false, None),
            (SMALL_REQUEST_BYTES, false, None),
            (SMALL_REQUEST_BYTES + 1, false, Some(2 * MIB)),
            (SMALL_REQUEST_BYTES, true, None),
            // Its inflated bytes, and the values made of them.
            (MIB, true, Some(5 * MIB)),
        ];
        for (payload, compress, expected) in cases {
            let (header, reader) = arrived(payload, compress).await;
            let permit = match MemoryNeed::of(&header, &reader, &limits()) {
                Some(need) => Some(RequestPermit::wait(&budget, need).await.unwrap()),
                None => None,
            };
            let bytes = permit.as_ref().map(RequestPermit::bytes);
            // It is not known beforehand how much it will be when inflated.
            let least = expected.map(|bytes| bytes - MIB);
            assert!(bytes >= least && bytes <= expected, "{payload} bytes: {bytes:?}");
            if let Some(mut permit) = permit {
                permit.shrink(MIB);
                assert_eq!(permit.bytes(), MIB);
                assert!(budget.try_take(63 * MIB).is_some());
                assert!(budget.try_take(63 * MIB + 1).is_none());
            }
        }
        assert!(budget.try_take(64 * MIB).is_some());
    }

    #[tokio::test]
    async fn a_request_grows_only_into_what_others_leave() {
        let budget = budget(64 * MIB);
        let need = MemoryNeed::exactly(8 * MIB);
        let mut permit = RequestPermit::wait(&budget, need).await.unwrap();
        assert!(permit.resize(80 * MIB), "it is alone");
        assert!(permit.resize(16 * MIB) && permit.bytes() == 16 * MIB);
        let other = budget.try_take(40 * MIB).unwrap();
        assert!(!permit.resize(25 * MIB) && permit.bytes() == 16 * MIB);
        assert!(permit.resize(24 * MIB) && budget.try_take(1).is_none());
        drop((permit, other));
        assert!(budget.try_take(64 * MIB).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_without_memory_waits_and_is_refused_at_last() {
        // Less than one may need: it has to be alone.
        let budget = budget(3 * MIB);
        let (header, reader) = arrived(MIB / 2, false).await;
        let need = MemoryNeed::of(&header, &reader, &limits()).unwrap();
        let permit = RequestPermit::wait(&budget, need).await.unwrap();
        let refused = RequestPermit::wait(&budget, need).await.unwrap_err();
        assert!(refused.message().contains("busy with other large requests"), "{refused}");
        drop(permit);
        assert!(RequestPermit::wait(&budget, need).await.is_ok());
    }
}
