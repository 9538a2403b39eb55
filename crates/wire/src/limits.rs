//! Limits on the messages of a peer.

/// Limits on what is read from a peer. An announced length is checked before anything is allocated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a message after its header: annotations and payload together.
    pub message: usize,
    /// Bytes of an inflated payload; 0 refuses compressed payloads.
    pub inflated: usize,
    /// Levels of nested containers. Decoders recurse: thousands of levels need a large stack.
    pub depth: usize,
    /// Decimal digits of an int. Reading an int takes quadratic time.
    pub digits: usize,
    /// Bytes of memory for the values of one message.
    pub memory: usize,
    /// Annotation chunks in one message.
    pub annotations: usize,
    /// Bytes of all annotation chunks in one message, ids and lengths included.
    pub annotation_bytes: usize,
}

/// Bytes of memory for values, for each byte of the largest message. Enough for lists of numbers
/// and for tables as lists of dicts; too little for millions of dicts written in two or three bytes
/// each.
const MEMORY_PER_MESSAGE_BYTE: usize = 6;
/// Least limit on the memory for values, in bytes, for peers with small messages.
const MIN_MEMORY_BYTES: usize = 8 << 20;

impl Limits {
    /// Limits for messages of at most `message` bytes, before and after inflating.
    pub fn for_messages(message: usize) -> Limits {
        Limits {
            message,
            inflated: message,
            memory: message.saturating_mul(MEMORY_PER_MESSAGE_BYTE).max(MIN_MEMORY_BYTES),
            depth: 200,
            // CPython's default: sys.get_int_max_str_digits().
            digits: 4300,
            annotations: 64,
            annotation_bytes: 64 << 10,
        }
    }

    /// Limits before the end of the handshake: small messages, nothing compressed. Any number of
    /// peers may send a handshake, and a daemon keeps its data as long as the connection lasts.
    pub fn handshake() -> Limits {
        Limits { inflated: 0, memory: 256 << 10, ..Limits::for_messages(64 << 10) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits::for_messages(64 << 20)
    }
}
