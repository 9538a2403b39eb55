//! What can be wrong with a value to be written, or with bytes to be read.
//!
//! Encoding errors speak Python's words and know Python's class for them: they reach Python callers,
//! who know them from Pyro5. Decoding errors say where in the data they are.

use crate::serializer::Serializer;

/// A value that a serializer does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// serpent: a dict key or a set member of a type that it does not take there.
    #[error(
        "one of the keys in a dict or set is not of a primitive hashable type: <class '{0}'>. \
         Use simple types as keys or use a list or tuple as container."
    )]
    SerpentKey(&'static str),
    /// json: a dict key of a type that has no form as a json name.
    #[error("keys must be str, int, float, bool or None, not {0}")]
    JsonKey(&'static str),
    /// A dict key or a set member that Python could not hold as such.
    #[error("unhashable type: '{0}'")]
    Unhashable(&'static str),
    /// A type that the serializer has no form for.
    #[error(
        "don't know how to serialize class <class '{class}'> using serializer {}. \
         Give it vars() or an appropriate __getstate__",
        serializer.python_class()
    )]
    Class {
        /// Python's name of the type.
        class: &'static str,
        /// The serializer asked.
        serializer: Serializer,
    },
    /// Containers nested too deeply.
    #[error("Object graph nesting too deep: more than {0} levels of containers")]
    TooDeep(usize),
    /// An int with more decimal digits than Python writes or reads.
    #[error("Exceeds the limit ({0} digits) for integer string conversion")]
    Digits(usize),
    /// Something longer than its length field can say.
    #[error("{what} is too long for {}: {len} items or bytes", serializer.name())]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// Its length.
        len: usize,
        /// The serializer asked.
        serializer: Serializer,
    },
}

impl EncodeError {
    /// The Python exception that Pyro5 raises for this, as `module.Class`.
    pub fn class(&self) -> &'static str {
        match self {
            EncodeError::SerpentKey(_) | EncodeError::JsonKey(_) | EncodeError::Unhashable(_) => {
                "builtins.TypeError"
            }
            EncodeError::Class { .. } => "Pyro5.errors.SerializeError",
            EncodeError::TooDeep(_) | EncodeError::Digits(_) | EncodeError::TooLong { .. } => {
                "builtins.ValueError"
            }
        }
    }
}

/// Bytes that are no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {} data at byte {at}: {kind}", serializer.name())]
pub struct DecodeError {
    /// The serializer whose data this should be.
    pub serializer: Serializer,
    /// Where in the data it went wrong, in bytes from its start.
    pub at: usize,
    /// What went wrong.
    pub kind: DecodeErrorKind,
}

/// What is wrong with the bytes of a [`DecodeError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeErrorKind {
    /// The data ends inside a value.
    #[error("the data ends too early")]
    Truncated,
    /// There is more data than one value.
    #[error("more data behind the end of the value")]
    Trailing,
    /// Something else should stand here.
    #[error("{0}")]
    Syntax(&'static str),
    /// Well-formed, but code or an object instead of plain data.
    #[error("{0} is not plain data")]
    NotData(&'static str),
    /// Text that is not UTF-8.
    #[error("text is not valid UTF-8")]
    Utf8,
    /// Text that only Python's `str` can hold.
    #[error("text with a lone surrogate")]
    LoneSurrogate,
    /// Containers nested beyond [`Limits::depth`](crate::Limits::depth).
    #[error("containers nest more than {0} levels deep")]
    TooDeep(usize),
    /// An int with more digits than [`Limits::digits`](crate::Limits::digits).
    #[error("an int of more than {0} digits")]
    Digits(usize),
    /// A type code that does not exist or is not accepted.
    #[error("unknown type code 0x{0:02x}")]
    Code(u8),
    /// An extension type that Pyro5 does not define.
    #[error("invalid ext code for msgpack: {0}")]
    Ext(i8),
    /// A dict key or set member of this type.
    #[error("unhashable type: '{0}'")]
    Unhashable(&'static str),
    /// A msgpack map key of this type.
    #[error("{0} is not allowed for map key when strict_map_key=True")]
    MapKey(&'static str),
    /// A reference to no earlier value, or to one that contains it.
    #[error("{0}")]
    Reference(&'static str),
    /// References that would expand to far more than the data.
    #[error("references to earlier values expand to too much data")]
    Expansion,
    /// Values that take more than [`Limits::memory`](crate::Limits::memory).
    #[error("its values would take more than {} MiB of memory", .0 >> 20)]
    Memory(usize),
    /// A value that is no call, or one of a wrong shape.
    #[error("not a method call: {0}")]
    Call(&'static str),
}
