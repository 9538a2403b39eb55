//! Conversion of a native method's error into the Python exception for its caller.

use std::error::Error;
use std::io;

use wire::exception::Exception;
use wire::value::Value;

/// Error of a remote method.
///
/// Derive it to choose the Python class that the caller catches. The message is the error's
/// `Display`:
///
/// ```
/// #[derive(Debug, thiserror::Error, remote::IntoException)]
/// enum MeterError {
///     #[error("the range must be 1 to 1000 V, not {0} V")]
///     #[exception("ValueError")]
///     Range(f64),
///     #[error("the meter is warming up")]
///     #[exception("meters.NotReady")]
///     NotReady,
///     // The exception of the inner error.
///     #[error(transparent)]
///     #[exception(transparent)]
///     Port(#[from] std::io::Error),
///     // Without the attribute: a RuntimeError.
///     #[error("the meter is on fire")]
///     Fire,
/// }
///
/// use remote::IntoException;
/// assert_eq!(MeterError::Range(2e3).into_exception().class, "builtins.ValueError");
/// assert_eq!(MeterError::Fire.into_exception().class, "builtins.RuntimeError");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be raised by a remote method",
    label = "stands for no exception of Python's",
    note = "derive `remote::IntoException` for it, implement it, or return `remote::Exception`"
)]
pub trait IntoException {
    /// The exception for the caller.
    fn into_exception(self) -> Exception;
}

impl IntoException for Exception {
    fn into_exception(self) -> Exception {
        self
    }
}

impl IntoException for String {
    fn into_exception(self) -> Exception {
        Exception::runtime_error(self)
    }
}

impl IntoException for &str {
    fn into_exception(self) -> Exception {
        Exception::runtime_error(self)
    }
}

impl IntoException for std::convert::Infallible {
    fn into_exception(self) -> Exception {
        match self {}
    }
}

impl IntoException for Box<dyn Error + Send + Sync> {
    fn into_exception(self) -> Exception {
        // An inner `Exception` or `io::Error` keeps its class.
        let unknown = match self.downcast::<Exception>() {
            Ok(exception) => return *exception,
            Err(unknown) => unknown,
        };
        match unknown.downcast::<io::Error>() {
            Ok(error) => error.into_exception(),
            Err(unknown) => Exception::runtime_error(unknown.to_string()),
        }
    }
}

impl IntoException for Box<dyn Error> {
    fn into_exception(self) -> Exception {
        Exception::runtime_error(self.to_string())
    }
}

macro_rules! of_class {
    ($($constructor:ident: $($error:ty)+;)*) => {$($(
        impl IntoException for $error {
            fn into_exception(self) -> Exception {
                Exception::$constructor(self.to_string())
            }
        }
    )+)*};
}

of_class! {
    value_error: std::num::ParseIntError std::num::ParseFloatError std::num::TryFromIntError
        std::str::Utf8Error std::string::FromUtf8Error std::str::ParseBoolError
        std::char::ParseCharError std::net::AddrParseError;
    runtime_error: std::fmt::Error std::sync::mpsc::RecvError std::sync::mpsc::RecvTimeoutError
        tokio::task::JoinError tokio::sync::AcquireError tokio::sync::oneshot::error::RecvError;
}

impl IntoException for tokio::time::error::Elapsed {
    fn into_exception(self) -> Exception {
        Exception::new("builtins.TimeoutError", "timed out")
    }
}

/// `OSError`, or the subclass that Python raises for the error's kind.
impl IntoException for io::Error {
    fn into_exception(self) -> Exception {
        use io::ErrorKind;
        let class = match self.kind() {
            ErrorKind::NotFound => "FileNotFoundError",
            ErrorKind::PermissionDenied => "PermissionError",
            ErrorKind::AlreadyExists => "FileExistsError",
            ErrorKind::TimedOut => "TimeoutError",
            ErrorKind::Interrupted => "InterruptedError",
            ErrorKind::WouldBlock => "BlockingIOError",
            ErrorKind::BrokenPipe => "BrokenPipeError",
            ErrorKind::ConnectionRefused => "ConnectionRefusedError",
            ErrorKind::ConnectionReset => "ConnectionResetError",
            ErrorKind::ConnectionAborted => "ConnectionAbortedError",
            ErrorKind::UnexpectedEof => "EOFError",
            _ => "OSError",
        };
        let class = format!("builtins.{class}");
        match self.raw_os_error() {
            None => Exception::new(class, self.to_string()),
            Some(code) => {
                let text = self.to_string();
                // Python's first argument is the number: `[Errno 2] No such file or directory`.
                let text = text.strip_suffix(&format!(" (os error {code})")).unwrap_or(&text);
                let args = vec![Value::from(code), Value::from(text)];
                Exception { args, ..Exception::new(class, "") }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_librarys_errors_have_pythons_classes() {
        let boxed: Box<dyn Error + Send + Sync> = Box::new(Exception::value_error("inner"));
        let cases = [
            (
                io::Error::from_raw_os_error(2).into_exception(),
                "FileNotFoundError: [Errno 2] No such file or directory",
            ),
            (io::Error::other("odd").into_exception(), "OSError: odd"),
            (
                "x".parse::<u8>().unwrap_err().into_exception(),
                "ValueError: invalid digit found in string",
            ),
            (boxed.into_exception(), "ValueError: inner"),
            ("no".into_exception(), "RuntimeError: no"),
        ];
        for (exception, expected) in cases {
            assert_eq!(exception.to_string(), expected);
        }
    }
}
