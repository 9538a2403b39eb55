//! Why a step failed.
//!
//! Owns one sentence for a person, followed by the remedy where that is known.

use std::fmt;
use std::io;
use std::path::Path;

/// The result of a step or of a part of one.
pub(crate) type Outcome<T> = Result<T, Failure>;

/// Why something could not be done.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// A failure described by `message`.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Failure { message: message.into(), hint: None }
    }

    /// The failure of an operation on a file.
    pub(crate) fn file(operation: &str, path: &Path, error: &io::Error) -> Self {
        Failure::new(format!("cannot {operation} {}: {error}", path.display()))
    }

    /// Adds what to do about it.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Failure { hint: Some(hint.into()), ..self }
    }

    /// Puts the name of the step in front.
    pub(crate) fn during(self, step: &str) -> Self {
        Failure { message: format!("{step} failed: {}", self.message), ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}
