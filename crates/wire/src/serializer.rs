//! Pyro5's serializers, by id and name. `codec` has their encoding and decoding.

pub use crate::call::{Call, CallRef};

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
