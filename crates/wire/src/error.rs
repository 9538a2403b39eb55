//! Errors of encoding a value and of decoding bytes.
//!
//! Encoding errors have the text and the exception class of Python's, because they reach Python
//! callers, who know them from Pyro5. Decoding errors have a position in the data.

use crate::serializer::Serializer;

/// The result of a step of a decoder, whose position is that of an error.
pub(crate) type Result<T, E = DecodeErrorKind> = std::result::Result<T, E>;
/// The result of a decoder, with the position of an error in bytes.
pub(crate) type Decoded<T> = Result<T, (usize, DecodeErrorKind)>;

/// A value that a serializer cannot write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// serpent: a dict key or a set member of a type that serpent refuses there.
    #[error(
        "one of the keys in a dict or set is not of a primitive hashable type: <class '{0}'>. \
         Use simple types as keys or use a list or tuple as container."
    )]
    SerpentKey(&'static str),
    /// json: a dict key of a type that cannot be the name in a json object.
    #[error("keys must be str, int, float, bool or None, not {0}")]
    JsonKey(&'static str),
    /// A dict key or a set member of a type that Python cannot hash.
    #[error("unhashable type: '{0}'")]
    Unhashable(&'static str),
    /// A type that the serializer does not support.
    #[error(
        "don't know how to serialize class <class '{class}'> using serializer {}. \
         Give it vars() or an appropriate __getstate__",
        serializer.python_class()
    )]
    Class {
        /// Python's name of the type.
        class: &'static str,
        /// The serializer.
        serializer: Serializer,
    },
    /// Containers nested deeper than this many levels.
    #[error("Object graph nesting too deep: more than {0} levels of containers")]
    TooDeep(usize),
    /// An int with more than this many decimal digits, Python's limit.
    #[error("Exceeds the limit ({0} digits) for integer string conversion")]
    Digits(usize),
    /// Text with half a surrogate pair, which the serializer cannot write.
    #[error(
        "text with a lone surrogate (half of a pair, from bytes that are no UTF-8 or a text that \
         was cut) cannot be sent with {}; use serpent or marshal, or send the bytes, \
         `text.encode('utf-8', 'surrogatepass')`",
        .0.name()
    )]
    LoneSurrogate(Serializer),
    /// An array whose elements have no plain form, for a peer that knows no arrays.
    #[error(
        "{0}, and the receiver knows no arrays: Ferrolab's client does, and a driver with numpy"
    )]
    Array(&'static str),
    /// A length beyond the range of its field.
    #[error("{what} is too long for {}: {len} items or bytes", serializer.name())]
    TooLong {
        /// The type that is too long, with its article: "a str".
        what: &'static str,
        /// Its length in items or bytes.
        len: usize,
        /// The serializer.
        serializer: Serializer,
    },
}

impl EncodeError {
    /// The Python exception that Pyro5 raises in this case, as `module.Class`.
    pub fn class(&self) -> &'static str {
        match self {
            EncodeError::SerpentKey(_) | EncodeError::JsonKey(_) | EncodeError::Unhashable(_) => {
                "builtins.TypeError"
            }
            EncodeError::Class { .. } | EncodeError::Array(_) => "Pyro5.errors.SerializeError",
            EncodeError::TooDeep(_)
            | EncodeError::Digits(_)
            | EncodeError::LoneSurrogate(_)
            | EncodeError::TooLong { .. } => "builtins.ValueError",
        }
    }
}

/// Data that is no value of the serializer, or one beyond the limits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {} data at byte {at}: {kind}", serializer.name())]
pub struct DecodeError {
    /// The serializer that decoded the data.
    pub serializer: Serializer,
    /// The position of the error, in bytes from the start of the data.
    pub at: usize,
    /// The error.
    pub kind: DecodeErrorKind,
}

/// The kind of a [`DecodeError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeErrorKind {
    /// The data ends inside a value.
    #[error("the data ends too early")]
    Truncated,
    /// The data goes on after the value.
    #[error("more data behind the end of the value")]
    Trailing,
    /// A syntax error: what is expected here, or what is wrong.
    #[error("{0}")]
    Syntax(&'static str),
    /// Well-formed Python or marshal, but code or an object instead of plain data.
    #[error("{0} is not plain data")]
    NotData(&'static str),
    /// Text that is not UTF-8.
    #[error("text is not valid UTF-8")]
    Utf8,
    /// Text with half a surrogate pair: Python's `str` can hold it, UTF-8 cannot.
    #[error("text with a lone surrogate")]
    LoneSurrogate,
    /// Containers nested beyond [`Limits::depth`](crate::Limits::depth).
    #[error("containers nest more than {0} levels deep")]
    TooDeep(usize),
    /// An int with more digits than [`Limits::digits`](crate::Limits::digits).
    #[error("an int of more than {0} digits")]
    Digits(usize),
    /// A type code that does not exist, or that is refused.
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
    /// marshal: a reference to no earlier value, or to the value that contains it.
    #[error("{0}")]
    Reference(&'static str),
    /// marshal: references that expand to far more memory than the data has bytes.
    #[error("references to earlier values expand to too much data")]
    Expansion,
    /// Values that take more than [`Limits::memory`](crate::Limits::memory).
    #[error("its values would take more than {} MiB of memory", .0 >> 20)]
    Memory(usize),
    /// An array, or the table of their segments, that is not what it claims to be.
    #[error("{0}")]
    Array(&'static str),
    /// A value that does not have the form of a method call.
    #[error("not a method call: {0}")]
    Call(&'static str),
}
