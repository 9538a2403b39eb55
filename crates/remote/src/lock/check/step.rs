//! Events of the check: what clients, calls and time do to a lock.

/// Sessions take part under these numbers; a session that has ended comes back under a new one.
pub(super) const CLIENTS: u64 = 4;

/// An event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A client asks for the lock: seconds to wait, a token. The token also chooses one of the
    /// lock's two objects.
    Request(u8, Option<u8>, Option<u8>),
    /// A client gives it up.
    Unlock(u8),
    /// A client gives up the lock of this token; 2 is a token without a lock.
    GiveBack(u8, u8),
    /// A client's connection ends, and its calls still run.
    Vanish(u8),
    /// A client's connection ends, and its session.
    Disconnect(u8),
    /// A client begins a call: 0 for a reading one, 1 for one without an answer.
    Call(u8, u8),
    /// A started call that has waited begins.
    Begin(u8),
    /// Work that a client has left is done.
    Late(u8),
    /// One of the running calls ends.
    CallEnd(u8),
    /// The object has reached its safe state, if it was asked to.
    Rested,
    /// Seconds go by.
    Pass(u8),
    /// The lock is broken.
    Break,
}

impl Step {
    /// Any four bytes are a step.
    pub fn from_bytes([kind, who, a, b]: [u8; 4]) -> Self {
        let maybe = |byte: u8| (!byte.is_multiple_of(3)).then_some(byte / 16);
        match kind % 16 {
            0..=2 => Step::Request(who, maybe(a), maybe(b).filter(|_| b > 128)),
            3 => Step::Unlock(who),
            4 => Step::Disconnect(who),
            5 | 6 => Step::Call(who, a % 5),
            7 | 8 => Step::CallEnd(who),
            9 => Step::Rested,
            10 => Step::Pass(a % 20),
            11 => Step::Vanish(who),
            12 => Step::Begin(who),
            13 => Step::Late(who),
            15 => Step::GiveBack(who, a % 3),
            _ => Step::Break,
        }
    }
}
