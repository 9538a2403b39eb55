//! Errors of message framing.

/// A malformed message, or one beyond the limits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Bytes that do not begin with "PYRO".
    #[error("invalid data: not a Pyro message")]
    NotPyro,
    /// Another protocol version than 502.
    #[error("invalid protocol version: {0}")]
    Version(u16),
    /// A wrong magic number at the end of the header.
    #[error("invalid message or protocol version")]
    BadMagic,
    /// A message type other than 1 to 6.
    #[error("invalid msg type {0} received")]
    UnknownType(u8),
    /// A message longer than the limit.
    #[error("message too large ({size}, max={max})")]
    TooLarge {
        /// Bytes of annotations and payload together.
        size: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A body of another length than the header announces.
    #[error("payload length doesn't match message header")]
    Length,
    /// Annotations that are malformed or beyond the limits.
    #[error("{0}")]
    Annotation(#[from] AnnotationError),
    /// A compressed payload that cannot be inflated.
    #[error("cannot inflate the payload: {0}")]
    Inflate(#[from] InflateError),
}

/// Malformed annotations, or annotations beyond the limits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnnotationError {
    /// An id with characters outside ASCII.
    #[error("annotation identifier must be 4 ascii characters")]
    Id,
    /// A chunk that ends after the announced end of the annotations.
    #[error("annotation chunk length exceeds remaining data")]
    ChunkLength,
    /// More bytes of annotations than the limit.
    #[error("annotations too large ({size}, max={max})")]
    TooLarge {
        /// Bytes of all chunks.
        size: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// More chunks than the limit.
    #[error("too many annotations (max={max})")]
    TooMany {
        /// The limit.
        max: usize,
    },
}

/// A compressed payload that cannot be inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// Compression is refused, as it is before the end of the handshake.
    #[error("compression is not accepted here")]
    Refused,
    /// Data that inflates to more than the limit.
    #[error("it inflates to more than {max} bytes")]
    TooLarge {
        /// The limit in bytes.
        max: usize,
    },
    /// Data that is no zlib stream, or only part of one.
    #[error("it is no complete zlib stream")]
    Corrupt,
}
