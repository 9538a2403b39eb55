//! Pyro5's serializers, by id and name, and the method calls that they write: data only. `codec`
//! encodes and decodes.

use crate::value::Value;

/// One of Pyro5's serializers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Serializer {
    /// serpent: Python literals as text; the default of Pyro5's clients.
    Serpent,
    /// Python's internal object format: data only, never code.
    Marshal,
    /// JSON as Python's `json` module writes it.
    Json,
    /// MessagePack with Pyro5's extension types.
    Msgpack,
}

impl Serializer {
    /// All serializers, by ascending id.
    pub const ALL: [Serializer; 4] =
        [Serializer::Serpent, Serializer::Marshal, Serializer::Json, Serializer::Msgpack];

    /// The serializer with this id in a message header.
    pub fn from_id(id: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|serializer| serializer.id() == id)
    }

    /// The id in a message header.
    pub fn id(self) -> u8 {
        match self {
            Serializer::Serpent => 1,
            Serializer::Marshal => 2,
            Serializer::Json => 3,
            Serializer::Msgpack => 4,
        }
    }

    /// The name in Pyro5's configuration.
    pub fn name(self) -> &'static str {
        match self {
            Serializer::Serpent => "serpent",
            Serializer::Marshal => "marshal",
            Serializer::Json => "json",
            Serializer::Msgpack => "msgpack",
        }
    }

    /// The serializer of this name in Pyro5's configuration.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|serializer| serializer.name() == name)
    }

    /// The name of Pyro5's class for this serializer, which its error texts contain.
    pub(crate) fn python_class(self) -> &'static str {
        match self {
            Serializer::Serpent => "SerpentSerializer",
            Serializer::Marshal => "MarshalSerializer",
            Serializer::Json => "JsonSerializer",
            Serializer::Msgpack => "MsgpackSerializer",
        }
    }
}

/// A method call that was decoded. json sends it as an object with the names of these fields, the
/// other serializers as a sequence of four.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The id of the object.
    pub object: String,
    /// The method's name.
    pub method: String,
    /// Positional arguments.
    pub args: Vec<Value>,
    /// Keyword arguments. `None` on the wire is decoded as none.
    pub kwargs: Vec<(String, Value)>,
}

/// A method call to be encoded.
#[derive(Clone, Copy, Debug)]
pub struct CallRef<'a> {
    /// The id of the object.
    pub object: &'a str,
    /// The method's name.
    pub method: &'a str,
    /// Positional arguments.
    pub args: &'a [Value],
    /// Keyword arguments.
    pub kwargs: &'a [(String, Value)],
}

impl Call {
    /// The call as a reference, to be encoded again.
    pub fn as_ref(&self) -> CallRef<'_> {
        CallRef {
            object: &self.object,
            method: &self.method,
            args: &self.args,
            kwargs: &self.kwargs,
        }
    }
}
