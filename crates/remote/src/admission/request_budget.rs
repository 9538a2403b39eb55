//! Room in memory for large requests.
//!
//! Owns how much of it there is for all connections together, and the order in which they get it. A
//! request's bytes say little of what its values take: a few kilobytes, compressed, may be as large
//! as a message's limit allows. Each is therefore taken for what it is likely to be, and read within
//! that; one that turns out to be more waits for all that it could be, and is read again. Then it
//! holds what it is, until its object has done with it. Small requests need none, and never wait
//! behind large ones.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wire::Limits;
use wire::exception::Exception;
use wire::message::{Flags, Header};

use crate::frames::FrameReader;

/// A request whose payload has no more bytes than this needs no room.
pub(crate) const SMALL: usize = 64 << 10;
/// A byte of a payload takes so much memory as a part of a value, or less, where the value is numbers
/// or texts as people send them. It may take four times this.
const LIKELY_PER_BYTE: usize = 16;
const MOST_PER_BYTE: usize = 64;
/// A byte may inflate to so many at most.
const INFLATED_PER_BYTE: usize = 1032;
/// Room is counted in this, since a permit's count has 32 bits.
const UNIT: usize = 1024;
/// A request waits for room for as long as this; then it is refused.
const PATIENCE: Duration = Duration::from_secs(20);

/// The room of a daemon.
#[derive(Debug)]
pub(crate) struct Room {
    units: u32,
    free: Arc<Semaphore>,
}

/// Room that a request has.
#[derive(Debug)]
pub(crate) struct Held {
    permit: OwnedSemaphorePermit,
    /// Bytes of it that are for values.
    values: usize,
}

/// Room that a request needs, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    payload: usize,
    pub(crate) values: usize,
}

impl Need {
    /// What a payload of so many bytes is likely to need.
    pub(crate) fn likely(payload: usize, limits: &Limits) -> Self {
        Need { payload, values: values(payload, LIKELY_PER_BYTE, limits) }
    }

    /// What it can need.
    pub(crate) fn most(payload: usize, limits: &Limits) -> Self {
        Need { payload, values: values(payload, MOST_PER_BYTE, limits) }
    }

    fn bytes(self) -> usize {
        self.payload.saturating_add(self.values)
    }
}

impl Room {
    pub(crate) fn new(bytes: usize) -> Self {
        let units = units(bytes).min(u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX));
        Room { units, free: Arc::new(Semaphore::new(units as usize)) }
    }

    /// Waits for so much room.
    ///
    /// # Errors
    /// Others do not leave any.
    pub(crate) async fn enter(&self, need: Need) -> Result<Held, Exception> {
        // One that needs more than there is has all of it to itself.
        let share = units(need.bytes()).min(self.units);
        let waiting = Arc::clone(&self.free).acquire_many_owned(share);
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(Ok(permit)) => Ok(Held { permit, values: need.values }),
            // The semaphore is never closed.
            // No `CommunicationError`: a stock client would give up its connection for that, and
            // the locks and instances that it has by it.
            Ok(Err(_)) | Err(_) => Err(Exception::daemon_error(format!(
                "the daemon is busy with other large requests: no room in memory for this one \
                     within {} s; it was not carried out, try again later",
                PATIENCE.as_secs()
            ))),
        }
    }
}

impl Held {
    /// Its payload, inflated, has so many bytes.
    pub(crate) fn inflated(&mut self, payload: usize, limits: &Limits) {
        let need = Need::likely(payload, limits);
        self.values = need.values;
        self.shrink(need.bytes());
    }

    /// `limits`, with its room for values.
    pub(crate) fn limits(&self, limits: &Limits) -> Limits {
        Limits { memory: self.values, ..limits.clone() }
    }

    /// What it holds now.
    pub(crate) fn bytes(&self) -> usize {
        self.permit.num_permits().saturating_mul(UNIT)
    }

    /// Gives back what is beyond so many bytes.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let beyond = self.permit.num_permits().saturating_sub(units(bytes) as usize);
        drop(self.permit.split(beyond));
    }
}

/// The room that the message which has arrived is likely to need; none if it is small.
pub(crate) fn need(header: &Header, arrived: &FrameReader, limits: &Limits) -> Option<Need> {
    let bytes = header.data_len as usize;
    if !header.flags.contains(Flags::COMPRESSED) {
        return (bytes > SMALL).then(|| Need { payload: 0, ..Need::likely(bytes, limits) });
    }
    if limits.inflated <= SMALL || inflates_to_little(header, arrived, limits) {
        return None;
    }
    Some(Need::likely(bytes.saturating_mul(INFLATED_PER_BYTE).min(limits.inflated), limits))
}

fn values(payload: usize, per_byte: usize, limits: &Limits) -> usize {
    payload.saturating_mul(per_byte).min(limits.memory)
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

/// Most compressed requests are small, which is soon seen; what is no frame at all is seen later.
fn inflates_to_little(header: &Header, arrived: &FrameReader, limits: &Limits) -> bool {
    arrived.frame(*header, &Limits { inflated: SMALL, ..limits.clone() }).is_ok()
}

#[cfg(test)]
mod tests {
    use wire::message::{FrameWriter, HEADER_LEN, MessageType};

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
        assert!(reader.header(&mut io, &limits()).await.unwrap().is_some());
        reader.arrive(&mut io, &header).await.unwrap();
        (header, reader)
    }

    #[tokio::test]
    async fn a_request_holds_what_it_is_likely_to_take_and_then_what_it_takes() {
        let room = Room::new(64 * MIB);
        let cases = [
            (100, false, None),
            (SMALL, false, None),
            (SMALL + 1, false, Some(2 * MIB)),
            (SMALL, true, None),
            // What it inflates to, and the values made of that.
            (MIB, true, Some(5 * MIB)),
        ];
        for (payload, compress, expected) in cases {
            let (header, reader) = arrived(payload, compress).await;
            let held = match need(&header, &reader, &limits()) {
                Some(need) => Some(room.enter(need).await.unwrap()),
                None => None,
            };
            let bytes = held.as_ref().map(Held::bytes);
            // It is not known beforehand how much it will be when inflated.
            let least = expected.map(|bytes| bytes - MIB);
            assert!(bytes >= least && bytes <= expected, "{payload} bytes: {bytes:?}");
            if let Some(mut held) = held {
                held.shrink(MIB);
                assert_eq!(held.bytes(), MIB);
                assert_eq!(room.free.available_permits(), 63 * MIB / UNIT);
            }
        }
        assert_eq!(room.free.available_permits(), 64 * MIB / UNIT);
    }

    #[tokio::test(start_paused = true)]
    async fn what_finds_no_room_waits_and_is_refused_at_last() {
        // Less than one may need: it has to be alone.
        let room = Room::new(3 * MIB);
        let (header, reader) = arrived(MIB / 2, false).await;
        let need = need(&header, &reader, &limits()).unwrap();
        let held = room.enter(need).await.unwrap();
        let refused = room.enter(need).await.unwrap_err();
        assert!(refused.message().contains("busy with other large requests"), "{refused}");
        drop(held);
        assert!(room.enter(need).await.is_ok());
    }
}
