//! The service card: one typed description of a service and its members.
//!
//! It has no sockets and reads no configuration. A driver's worker and `#[remote::expose]` describe
//! a service; facts from the configuration come on top ([`MemberFacts`]). Everything that shows,
//! checks or documents a member reads the card.

mod codec;
mod facts;
mod kinds;
mod limits;

use wire::value::Value;

pub use facts::MemberFacts;
pub use kinds::Type;
pub use limits::ValueLimits;

/// The description of a service.
#[derive(Clone, Debug, Default)]
pub struct Card {
    /// The name of its class.
    pub class: String,
    /// The documentation of its class.
    pub doc: String,
    /// Its members.
    pub members: Vec<Member>,
    /// A hash of all the rest, for caches; see [`Card::seal`].
    pub version: String,
}

/// A member of a service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Whether it is called, read or iterated over.
    pub kind: MemberKind,
    /// Its documentation.
    pub doc: String,
    /// A property's value, a method's result, or an item of a stream.
    pub value: ValueInfo,
    /// Whether a property can be read.
    pub readable: bool,
    /// Whether a property can be set.
    pub writable: bool,
    /// Whether callers wait for no answer.
    pub oneway: bool,
    /// The parameters of a method; `None` where nobody knows them.
    pub parameters: Option<Vec<Parameter>>,
    /// How its values make a series, where they do.
    pub series: Option<SeriesFacts>,
}

/// How the values of a member make a series.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeriesFacts {
    /// Seconds between two readings by the daemon; clients read it if absent.
    pub poll: Option<f64>,
    /// Seconds that its samples stay in the history.
    pub keep: Option<f64>,
    /// The change that makes a sample, as the configuration has it: `0.05`, `1%`.
    pub deadband: Option<String>,
}

/// The way in which a member is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemberKind {
    /// It is called.
    #[default]
    Method,
    /// It is read or set.
    Property,
    /// It is called, and its result is read item by item.
    Stream,
}

/// A parameter of a method.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// How an argument is given.
    pub kind: ParameterKind,
    /// Its values.
    pub value: ValueInfo,
    /// Its documentation.
    pub doc: String,
    /// Whether a caller has to give it.
    pub required: bool,
    /// The value that it has otherwise, if that is plain data.
    pub default: Option<Value>,
}

/// How an argument is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ParameterKind {
    /// By its place or by its name.
    #[default]
    Either,
    /// By its place only.
    Positional,
    /// By its name only.
    Keyword,
    /// All further arguments by their places (`*args`).
    Variadic,
    /// All further arguments by their names (`**kwargs`).
    Keywords,
}

/// Facts about one value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ValueInfo {
    /// Its type.
    pub kind: Type,
    /// The unit of its numbers.
    pub unit: Option<String>,
    /// The least number that is allowed.
    pub minimum: Option<f64>,
    /// The greatest number that is allowed.
    pub maximum: Option<f64>,
    /// The only values that are allowed.
    pub choices: Option<Vec<Value>>,
}

impl ValueInfo {
    /// Whether not every value is allowed.
    pub fn is_limited(&self) -> bool {
        self.minimum.is_some() || self.maximum.is_some() || self.choices.is_some()
    }
}

impl Parameter {
    /// Whether it stands for one argument.
    pub fn is_single(&self) -> bool {
        !matches!(self.kind, ParameterKind::Variadic | ParameterKind::Keywords)
    }
}

impl From<Type> for ValueInfo {
    fn from(kind: Type) -> Self {
        ValueInfo { kind, ..ValueInfo::default() }
    }
}

impl Card {
    /// The member of that name.
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }
}

/// By the version, which is a hash of all the rest.
impl PartialEq for Card {
    fn eq(&self, other: &Card) -> bool {
        self.version == other.version
    }
}

impl Eq for Card {}
