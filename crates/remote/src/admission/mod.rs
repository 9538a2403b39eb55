//! Admission: who may wait for what, and how much there may be of it.
//!
//! [`Slots`] count, [`ByteBudget`]s keep to a number of bytes; [`limits`] is the table of all of
//! them. Nothing here knows sockets or objects.

pub(crate) mod byte_budget;
pub(crate) mod call_permit;
pub(crate) mod limits;
pub(crate) mod request_memory;
pub(crate) mod reserved_fds;
pub(crate) mod slots;

use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;

use crate::admission::byte_budget::ByteBudget;
use crate::admission::call_permit::{CallPermits, OrphanedCalls};
use crate::admission::reserved_fds::ReservedFds;
use crate::admission::slots::{Address, EvictableSlot, Slots};
use crate::config::{DaemonConfig, ServerType};

/// The slot of an unfinished handshake.
pub(crate) type HandshakeSlot = EvictableSlot<Address>;

/// All slots and budgets of a daemon.
#[derive(Debug)]
pub(crate) struct Admission {
    /// Connections whose handshake is not done.
    pub(crate) handshakes: Arc<Slots<Address>>,
    /// File descriptors for connections that would find none.
    pub(crate) reserved_fds: ReservedFds,
    /// Connections that are served, by the address of their client.
    pub(crate) pool: Arc<Slots<Address>>,
    /// Connections beyond the pool, which only break locks: all others may wait for one.
    pub(crate) lock_breakers: Arc<Slots<Address>>,
    /// Connections beside the pool, of clients without the certificate that the port requires.
    pub(crate) uncertified: Arc<Slots<Address>>,
    /// Connections beside the pool, which only read internal objects.
    pub(crate) readers: Arc<Slots<Address>>,
    pub(crate) calls: CallPermits,
    pub(crate) orphans: OrphanedCalls,
    /// Item streams of lockable objects that end at a time.
    pub(crate) stream_ends: StreamEnds,
    /// Oneway calls of all connections that have not ended. Each connection has its own slots, too.
    pub(crate) oneways: Arc<Slots>,
    /// Memory for the larger requests of oneway calls.
    pub(crate) oneway_memory: Arc<ByteBudget>,
    /// Memory for large requests that have not arrived completely.
    pub(crate) arriving: Arc<ByteBudget>,
    /// Memory for large requests.
    pub(crate) requests: Arc<ByteBudget>,
    /// Memory for large answers, until they are sent.
    pub(crate) answers: Arc<ByteBudget>,
    /// Large answers that are serialized at a time: more would only share the processors.
    pub(crate) encoders: Arc<Slots>,
}

/// Slots for the ends of item streams.
#[derive(Clone, Debug)]
pub(crate) enum StreamEnds {
    /// Each lock has its own: a stream that hangs at its end holds up those of no other object.
    PerLock,
    /// One for a `multiplex` daemon: when a client with a thousand streams goes, another waits for
    /// one of them.
    Shared(Arc<Slots>),
}

impl StreamEnds {
    /// The slots of one lock.
    pub(crate) fn of_lock(&self) -> Arc<Slots> {
        match self {
            StreamEnds::PerLock => Slots::of(limits::STREAM_ENDS),
            StreamEnds::Shared(slots) => Arc::clone(slots),
        }
    }
}

impl Admission {
    pub(crate) fn new(config: &DaemonConfig) -> Self {
        let served = match config.server_type {
            ServerType::Thread => Some(config.threadpool_size),
            ServerType::Multiplex => None,
        };
        let served = served.into_iter().chain(config.connections).min();
        let (request_memory, wait) = (Some(config.request_memory), limits::TRANSFER_MEMORY_WAIT);
        let oneways_in_all = config.oneways.saturating_mul(limits::ONEWAYS_IN_ALL);
        Admission {
            handshakes: Slots::new(config.handshakes, config.handshakes_per_address),
            reserved_fds: ReservedFds::default(),
            pool: Slots::new(served.unwrap_or(usize::MAX), usize::MAX),
            lock_breakers: Slots::new(limits::LOCK_BREAKERS, limits::LOCK_BREAKERS_PER_ADDRESS),
            uncertified: Slots::new(limits::UNCERTIFIED, limits::UNCERTIFIED_PER_ADDRESS),
            readers: Slots::new(limits::READERS, usize::MAX),
            calls: CallPermits::new(config),
            orphans: OrphanedCalls::new(config),
            stream_ends: match config.server_type {
                ServerType::Thread => StreamEnds::PerLock,
                ServerType::Multiplex => StreamEnds::Shared(Slots::of(1)),
            },
            oneways: Slots::of(oneways_in_all),
            oneway_memory: ByteBudget::new(request_memory, wait),
            arriving: ByteBudget::new(request_memory, wait),
            requests: ByteBudget::new(request_memory, limits::REQUEST_MEMORY_WAIT),
            answers: ByteBudget::new(config.answer_memory, wait),
            encoders: Slots::of(available_parallelism().map_or(1, NonZero::get)),
        }
    }

    /// Whether another connection can be heard. Where descriptors run out, the oldest unfinished
    /// handshake is closed for it.
    pub(crate) fn can_hear_another(&self) -> bool {
        if self.reserved_fds.refill() {
            return true;
        }
        self.handshakes.evict_oldest();
        self.reserved_fds.any()
    }
}
