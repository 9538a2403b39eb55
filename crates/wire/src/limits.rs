//! How much a peer may send.

/// Bounds on what is read from a peer; an announced length is checked against them before anything
/// is allocated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a message behind its header, annotations and payload together.
    pub message: usize,
    /// Bytes that a compressed payload may inflate to; 0 refuses compression altogether.
    pub inflated: usize,
    /// How deeply containers may nest. Decoders recurse: some thousands need a large stack.
    pub depth: usize,
    /// Digits of an int written in decimal; reading them takes quadratic time.
    pub digits: usize,
    /// Bytes of memory that the values read from one message may take.
    pub memory: usize,
    /// Annotation chunks in one message.
    pub annotations: usize,
    /// Bytes of all annotation chunks of one message, their heads included.
    pub annotation_bytes: usize,
}

/// A message's values may take so many times the memory of the largest message: numbers and the
/// rows of a table do, and what is made of two or three bytes over and over does not.
const MEMORY_PER_MESSAGE_BYTE: usize = 6;
/// What the values of a message may take at least, however short messages must be.
const MIN_MEMORY_BYTES: usize = 8 << 20;

impl Limits {
    /// The limits of a peer whose messages may have so many bytes: compressed ones when they are
    /// inflated, and with room in memory for their values.
    pub fn for_messages(message: usize) -> Limits {
        Limits {
            message,
            inflated: message,
            memory: message.saturating_mul(MEMORY_PER_MESSAGE_BYTE).max(MIN_MEMORY_BYTES),
            depth: 200,
            // CPython's own: sys.get_int_max_str_digits().
            digits: 4300,
            annotations: 64,
            annotation_bytes: 64 << 10,
        }
    }

    /// What a peer may send before the handshake is done: little, and nothing compressed. What it
    /// says there is kept for as long as it stays, and any number of peers may say it.
    pub fn handshake() -> Limits {
        Limits { inflated: 0, memory: 256 << 10, ..Limits::for_messages(64 << 10) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits::for_messages(64 << 20)
    }
}
