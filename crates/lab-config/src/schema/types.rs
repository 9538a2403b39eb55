//! Types of the tables: a section, its keys, and the kinds of values.

/// A mapping with known keys.
#[derive(Debug)]
pub(crate) struct Section {
    /// Its key: `daemons`.
    pub key: &'static str,
    /// The name of one entry, in a sentence: `a daemon`.
    pub one: &'static str,
    /// Description for the reference.
    pub doc: &'static str,
    /// Its keys, in the order in which people write them.
    pub fields: &'static [Field],
    /// Keys that people write for others: old names, other programs' names.
    pub renamed: &'static [(&'static str, &'static str)],
}

/// A key of a section.
#[derive(Debug)]
pub(crate) struct Field {
    /// The key.
    pub key: &'static str,
    /// The kind of its value.
    pub kind: ValueKind,
    /// The value of an absent key, as YAML. With `null`, an explicit null is accepted too.
    pub default: &'static str,
    /// A value to show, as YAML.
    pub example: &'static str,
    /// Description for the reference.
    pub doc: &'static str,
}

/// The kind of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ValueKind {
    /// The version of the format.
    Version,
    /// A text with the given rule.
    Text(Rule),
    /// A whole number within bounds.
    Int {
        /// The quantity that the number counts: "a port number".
        what: &'static str,
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// A duration: a number of seconds, or with a unit.
    Seconds {
        /// Whether zero has a meaning.
        zero: bool,
    },
    /// A size: a number of bytes, or with a unit.
    Bytes,
    /// A list of durations in seconds.
    Delays,
    /// True or false.
    Flag,
    /// True, false or `offered`.
    TlsMode,
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// Where a nameserver keeps its names.
    Storage,
    /// The name of a defined section.
    Name,
    /// A list of names of defined sections.
    Names,
    /// A list of texts with the given rule.
    List(Rule),
    /// Environment variables.
    Environment,
    /// Header fields of HTTP.
    Headers,
    /// Plain data under text keys.
    Parameters,
    /// A list of plain data or plain data under text keys.
    Arguments,
    /// `all`, a list of members, or null for what the class itself exposes.
    Expose,
    /// `all` or a list of paths below an object.
    Parts,
    /// A finite number.
    Number,
    /// A number that is not negative, or a percentage.
    Deadband,
    /// A list of texts, numbers, true and false.
    Choices,
    /// A mapping from names of members to mappings with known keys.
    Members(&'static Section),
    /// A mapping with known keys.
    Group(&'static Section),
    /// A mapping with known keys, or a list of such mappings.
    OneOrMore(&'static Section),
    /// A text, a number or a boolean, or a list of them.
    Values,
    /// A mapping with known keys, or a text that stands for it with this key alone.
    GroupOrText {
        /// The keys.
        section: &'static Section,
        /// The key of the text.
        key: &'static str,
    },
    /// A mapping with known keys, `true` for its defaults, or `false` for none.
    GroupOrFlag(&'static Section),
    /// A mapping from names to mappings with known keys.
    Entries(&'static Section),
    /// A list of mappings with known keys.
    Records(&'static Section),
    /// A text or a list of texts.
    Texts,
    /// A mapping from names to lists of texts.
    Groups,
}

/// Which calls are in the call log.
pub(crate) const CALL_LOG: ValueKind = ValueKind::Choice(&["off", "errors", "changes", "all"]);

/// The rule that a text must satisfy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Anything.
    Any,
    /// A text that nobody else is to read; a portable file has none.
    Secret,
    /// A host name or an address, or `public`.
    Host,
    /// A Python module: `pyrolab.drivers.sample`.
    Module,
    /// A name in Python: a class, a method, an attribute.
    Identifier,
    /// Names in Python or numbers, with dots between them: `ch_1`, `axes.0`.
    Member,
    /// A path of a file or directory.
    Path,
    /// A path that fits a Unix socket.
    Socket,
    /// A word by which services are grouped.
    Tag,
    /// A Python package, with its version: `pyserial==3.5`.
    Package,
}
