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
    /// Annotation chunks in one message.
    pub annotations: usize,
    /// Bytes of all annotation chunks of one message, their heads included.
    pub annotation_bytes: usize,
}

impl Limits {
    /// What a peer may send before the handshake is done: little, and nothing compressed.
    pub fn handshake() -> Limits {
        Limits { message: 64 << 10, inflated: 0, ..Limits::default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            message: 64 << 20,
            inflated: 64 << 20,
            depth: 200,
            // CPython's own: sys.get_int_max_str_digits().
            digits: 4300,
            annotations: 64,
            annotation_bytes: 64 << 10,
        }
    }
}
