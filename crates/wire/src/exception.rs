//! Python exceptions as class dicts, the form in which they travel, and their text in Python.
//!
//! ```text
//! {'__class__': 'builtins.ValueError', '__exception__': True, 'args': (...), 'attributes': {...}}
//! {'__class__': 'Pyro5.core._ExceptionWrapper', 'exception': {...}}    among results of a batch
//! ```
//!
//! The source of the form is `Pyro5/serializers.py`.

use std::fmt;

use crate::error::{DecodeError, EncodeError};
use crate::message::FrameError;
use crate::value::{Dict, Value};

/// Name of the attribute with the remote traceback.
const TRACEBACK: &str = "_pyroTraceback";

/// A Python exception: the name of its class, its arguments and attributes.
#[derive(Clone, Debug, PartialEq)]
pub struct Exception {
    /// The class with its module: `builtins.TypeError`, `Pyro5.errors.DaemonError`.
    pub class: String,
    /// The arguments of its constructor.
    pub args: Vec<Value>,
    /// Its other attributes, such as the remote traceback.
    pub attributes: Dict,
    /// The class dict to send instead, made by a function that the program has registered for the
    /// class.
    pub class_dict: Option<Box<Dict>>,
}

impl Exception {
    /// An exception with a message as its only argument.
    pub fn new(class: impl Into<String>, message: impl Into<String>) -> Self {
        Exception {
            class: class.into(),
            args: vec![Value::Str(message.into())],
            attributes: Dict::new(),
            class_dict: None,
        }
    }

    /// An exception that travels as this class dict, which need not have the usual form.
    pub fn from_class_dict(dict: Dict) -> Self {
        let class = dict.class().unwrap_or("Pyro5.errors.PyroError").to_owned();
        let args = dict.get("args").and_then(Value::as_list).unwrap_or_default().to_vec();
        Exception { class, args, attributes: Dict::new(), class_dict: Some(Box::new(dict)) }
    }

    /// The class dict in which the exception travels.
    pub fn to_value(&self) -> Value {
        if let Some(dict) = &self.class_dict {
            return Value::Dict(dict.as_ref().clone());
        }
        let mut dict = Dict::with_capacity(4);
        dict.insert("__class__", self.class.as_str());
        dict.insert("__exception__", true);
        dict.insert("args", Value::Tuple(self.args.clone()));
        dict.insert("attributes", self.attributes.clone());
        Value::Dict(dict)
    }

    /// Reads the class dict of an exception; `None` for any other value.
    pub fn from_value(value: &Value) -> Option<Exception> {
        let dict = value.as_dict()?;
        let class = match dict.get("__class__")? {
            Value::Str(class) => class.as_str(),
            Value::Bytes(class) => std::str::from_utf8(class).ok()?,
            _ => return None,
        };
        let marked = !matches!(
            dict.get("__exception__"),
            None | Some(Value::None | Value::Bool(false) | Value::Int(0))
        );
        // Pyro5 accepts its own errors without the mark.
        if !marked && !class.starts_with("Pyro5.errors.") && class != "struct.error" {
            return None;
        }
        let args = dict.get("args")?.as_list()?.to_vec();
        let attributes = match dict.get("attributes") {
            None | Some(Value::None) => Dict::new(),
            Some(attributes) => attributes.as_dict()?.clone(),
        };
        Some(Exception { class: class.to_owned(), args, attributes, class_dict: None })
    }

    /// Python's `str()` of the exception.
    pub fn message(&self) -> String {
        match self.args.as_slice() {
            [] => String::new(),
            [key] if self.short_class() == "KeyError" => key.to_string(),
            [Value::Str(text)] => text.clone(),
            [arg] => arg.to_string(),
            // An OSError with a file name has it in an attribute, not in the arguments.
            [number, text] if self.is_os_error() => {
                format!("[Errno {}] {}", format_str(number), format_str(text))
            }
            [encoding, data, start, end, reason] => self
                .format_unicode_error([encoding, data, start, end, reason])
                .unwrap_or_else(|| Value::Tuple(self.args.clone()).to_string()),
            args => Value::Tuple(args.to_vec()).to_string(),
        }
    }

    /// Python's `str()` of a `UnicodeDecodeError` or `UnicodeEncodeError`.
    fn format_unicode_error(&self, args: [&Value; 5]) -> Option<String> {
        let [encoding, data, start, end, reason] = args;
        let (verb, what) = match self.short_class() {
            "UnicodeDecodeError" => ("decode", "byte"),
            "UnicodeEncodeError" => ("encode", "character"),
            _ => return None,
        };
        let start = usize::try_from(start.as_i64()?).ok()?;
        let end = usize::try_from(end.as_i64()?).ok()?;
        let position = match end.checked_sub(start)? {
            1 => {
                let culprit = match data {
                    Value::Str(text) => escape_char(text.chars().nth(start)?),
                    data => format!("0x{:02x}", data.as_bytes()?.get(start)?),
                };
                format!("{what} {culprit} in position {start}")
            }
            _ => format!("{what}s in position {start}-{}", end.checked_sub(1)?),
        };
        let (encoding, reason) = (format_str(encoding), format_str(reason));
        Some(format!("'{encoding}' codec can't {verb} {position}: {reason}"))
    }

    /// The lines of the remote traceback, if the exception has one.
    pub fn traceback(&self) -> Option<Vec<String>> {
        match self.attributes.get(TRACEBACK)? {
            Value::Str(text) => Some(vec![text.clone()]),
            lines => {
                Some(lines.as_list()?.iter().filter_map(|l| l.as_str().map(Into::into)).collect())
            }
        }
    }

    /// The exception with these lines as its remote traceback.
    #[must_use]
    pub fn with_traceback(mut self, lines: Vec<String>) -> Self {
        let lines: Vec<Value> = lines.into_iter().map(Value::Str).collect();
        self.attributes.insert(TRACEBACK, lines);
        self
    }

    /// The class without its module: `TypeError`.
    pub fn short_class(&self) -> &str {
        self.class.rsplit('.').next().unwrap_or(&self.class)
    }

    fn is_os_error(&self) -> bool {
        const OS_ERRORS: [&str; 18] = [
            "OSError",
            "IOError",
            "BlockingIOError",
            "ChildProcessError",
            "BrokenPipeError",
            "ConnectionError",
            "ConnectionAbortedError",
            "ConnectionRefusedError",
            "ConnectionResetError",
            "FileExistsError",
            "FileNotFoundError",
            "InterruptedError",
            "IsADirectoryError",
            "NotADirectoryError",
            "PermissionError",
            "ProcessLookupError",
            "gaierror",
            "timeout",
        ];
        OS_ERRORS.contains(&self.short_class()) || self.class == "builtins.TimeoutError"
    }
}

macro_rules! shortcuts {
    ($($name:ident $class:literal)*) => {
        impl Exception {$(
            #[doc = concat!("A `", $class, "`.")]
            pub fn $name(message: impl Into<String>) -> Self {
                Exception::new($class, message)
            }
        )*}
    };
}

shortcuts! {
    type_error "builtins.TypeError"
    value_error "builtins.ValueError"
    attribute_error "builtins.AttributeError"
    runtime_error "builtins.RuntimeError"
    connection_refused "builtins.ConnectionRefusedError"
    pyro_error "Pyro5.errors.PyroError"
    communication_error "Pyro5.errors.CommunicationError"
    protocol_error "Pyro5.errors.ProtocolError"
    serialize_error "Pyro5.errors.SerializeError"
    naming_error "Pyro5.errors.NamingError"
    daemon_error "Pyro5.errors.DaemonError"
    security_error "Pyro5.errors.SecurityError"
}

/// The class dict of an exception among the results of a batch.
pub fn wrap_in_batch(exception: &Exception) -> Value {
    let mut dict = Dict::with_capacity(2);
    dict.insert("__class__", "Pyro5.core._ExceptionWrapper");
    dict.insert("exception", exception.to_value());
    Value::Dict(dict)
}

/// The exception among the results of a batch; `None` for an ordinary result.
pub fn unwrap_from_batch(value: &Value) -> Option<Exception> {
    let dict = value.as_dict()?;
    if dict.class() != Some("Pyro5.core._ExceptionWrapper") {
        return None;
    }
    Exception::from_value(dict.get("exception")?)
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message() {
            message if message.is_empty() => f.write_str(self.short_class()),
            message => write!(f, "{}: {message}", self.short_class()),
        }
    }
}

impl std::error::Error for Exception {}

impl From<EncodeError> for Exception {
    fn from(error: EncodeError) -> Self {
        Exception::new(error.class(), error.to_string())
    }
}

impl From<DecodeError> for Exception {
    fn from(error: DecodeError) -> Self {
        Exception::serialize_error(error.to_string())
    }
}

impl From<FrameError> for Exception {
    fn from(error: FrameError) -> Self {
        Exception::protocol_error(error.to_string())
    }
}

/// Python's `str()` of a value: a `str` without quotes, anything else as its `repr()`.
fn format_str(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), Into::into)
}

/// A character as the text of a `UnicodeEncodeError` shows it.
fn escape_char(letter: char) -> String {
    match u32::from(letter) {
        code @ 0..=0xff => format!("'\\x{code:02x}'"),
        code @ 0x100..=0xffff => format!("'\\u{code:04x}'"),
        code => format!("'\\U{code:08x}'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_those_of_pythons_str() {
        let unicode =
            |data: Value, end: i64| vec!["utf-8".into(), data, 1.into(), end.into(), "bad".into()];
        let bytes = || Value::bytes(b"a\xff\xfe".to_vec());
        let cases: [(&str, Vec<Value>, &str); 12] = [
            (
                "builtins.UnicodeDecodeError",
                unicode(bytes(), 2),
                "'utf-8' codec can't decode byte 0xff in position 1: bad",
            ),
            (
                "builtins.UnicodeDecodeError",
                unicode(bytes(), 3),
                "'utf-8' codec can't decode bytes in position 1-2: bad",
            ),
            (
                "builtins.UnicodeEncodeError",
                unicode("a€".into(), 2),
                "'utf-8' codec can't encode character '\\u20ac' in position 1: bad",
            ),
            ("x.Other", unicode("a".into(), 2), "('utf-8', 'a', 1, 2, 'bad')"),
            ("builtins.ValueError", vec![], ""),
            ("builtins.ValueError", vec!["it's wrong".into()], "it's wrong"),
            ("builtins.ValueError", vec![5.into()], "5"),
            ("builtins.ValueError", vec!["a".into(), 5.into()], "('a', 5)"),
            ("builtins.KeyError", vec!["it's".into()], "\"it's\""),
            ("builtins.KeyError", vec!["a".into(), "b".into()], "('a', 'b')"),
            ("builtins.FileNotFoundError", vec![2.into(), "No such".into()], "[Errno 2] No such"),
            ("Pyro5.errors.TimeoutError", vec![2.into(), "x".into()], "(2, 'x')"),
        ];
        for (class, args, message) in cases {
            let exception = Exception { args, ..Exception::new(class, "") };
            assert_eq!(exception.message(), message, "{class}");
        }
        assert_eq!(Exception::type_error("no").to_string(), "TypeError: no");
        let bare = Exception { args: vec![], ..Exception::new("x.Y", "") };
        assert_eq!(bare.to_string(), "Y");
    }

    #[test]
    fn the_class_dict_is_pyros() {
        let exception = Exception::daemon_error("x").with_traceback(vec!["a\n".into()]);
        let value = exception.to_value();
        assert_eq!(
            value.to_string(),
            "{'__class__': 'Pyro5.errors.DaemonError', '__exception__': True, 'args': ('x',), \
             'attributes': {'_pyroTraceback': ['a\\n']}}"
        );
        assert_eq!(Exception::from_value(&value), Some(exception.clone()));
        assert_eq!(exception.traceback(), Some(vec!["a\n".to_owned()]));
        assert_eq!(unwrap_from_batch(&wrap_in_batch(&exception)), Some(exception));
    }

    #[test]
    fn a_registered_class_dict_travels_unchanged() {
        let dict: Dict = [("__class__", "lab.OutOfRange"), ("text", "no")].into_iter().collect();
        let exception = Exception::from_class_dict(dict.clone());
        assert_eq!(exception.class, "lab.OutOfRange");
        assert_eq!(exception.to_value(), dict.into());
    }

    #[test]
    fn other_values_are_no_exceptions() {
        let uri: Dict = [("__class__", "Pyro5.core.URI")].into_iter().collect();
        let bare: Dict = [("__class__", "builtins.ValueError")].into_iter().collect();
        for value in [Value::None, uri.into(), bare.into()] {
            assert_eq!(Exception::from_value(&value), None, "{value}");
            assert_eq!(unwrap_from_batch(&value), None, "{value}");
        }
    }
}
