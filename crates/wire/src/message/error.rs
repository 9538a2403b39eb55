//! What is wrong with a message.

/// A message that is none, or that is beyond the limits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The bytes do not begin as a message.
    #[error("invalid data: not a Pyro message")]
    NotPyro,
    /// A message of another protocol version.
    #[error("invalid protocol version: {0}")]
    Version(u16),
    /// The header's last two bytes are wrong.
    #[error("invalid message or protocol version")]
    BadMagic,
    /// A message type that does not exist.
    #[error("invalid msg type {0} received")]
    UnknownType(u8),
    /// A message beyond the limit.
    #[error("message too large ({size}, max={max})")]
    TooLarge {
        /// Bytes of annotations and payload together.
        size: usize,
        /// The limit.
        max: usize,
    },
    /// A body that is not as long as the header says.
    #[error("payload length doesn't match message header")]
    Length,
    /// Annotations that are malformed or beyond the limits.
    #[error("{0}")]
    Annotation(#[from] AnnotationError),
    /// A compressed payload that does not inflate.
    #[error("cannot inflate the payload: {0}")]
    Inflate(#[from] InflateError),
}

/// What is wrong with a message's annotations.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnnotationError {
    /// An id outside ASCII.
    #[error("annotation identifier must be 4 ascii characters")]
    Id,
    /// A chunk that reaches beyond the annotations' announced end.
    #[error("annotation chunk length exceeds remaining data")]
    ChunkLength,
    /// More bytes of annotations than the limit.
    #[error("annotations too large ({size}, max={max})")]
    TooLarge {
        /// Bytes of all chunks.
        size: usize,
        /// The limit.
        max: usize,
    },
    /// More chunks than the limit.
    #[error("too many annotations (max={max})")]
    TooMany {
        /// The limit.
        max: usize,
    },
}

/// What is wrong with a compressed payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// Compression is not accepted, as before the handshake.
    #[error("compression is not accepted here")]
    Refused,
    /// The data inflates to more than the limit.
    #[error("it inflates to more than {max} bytes")]
    TooLarge {
        /// The limit.
        max: usize,
    },
    /// The data is no zlib stream, or not all of one.
    #[error("it is no complete zlib stream")]
    Corrupt,
}
