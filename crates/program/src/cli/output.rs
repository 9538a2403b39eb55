//! Printing to standard output; `println!` and `print!` of the commands end here. Where the reader
//! has gone, the program ends as by SIGPIPE; after any other write error, with exit code 1.

use std::fmt::Arguments;
use std::io::{self, Write};
use std::process::exit;

use miette::{IntoDiagnostic, Report};
use serde::Serialize;

/// The exit code of a program that SIGPIPE has ended, as a shell reports it.
const BROKEN_PIPE: i32 = 128 + 13;

/// Prints a line. Where nobody reads it any more (`| head -1`) the program ends like any other
/// Unix program; where it cannot be written it ends with an error.
pub(crate) fn print_line(line: Arguments<'_>) {
    print(format_args!("{line}\n"));
}

/// Prints a value for scripts (`--json`): one JSON value, over several lines.
///
/// # Errors
/// The value has no JSON form.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Report> {
    let text = serde_json::to_string_pretty(value).into_diagnostic()?;
    print_line(format_args!("{text}"));
    Ok(())
}

/// Prints a text.
pub(crate) fn print(text: Arguments<'_>) {
    match io::stdout().lock().write_fmt(text) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => exit(BROKEN_PIPE),
        Err(error) => {
            // Standard error may be closed as well; then nobody can read the error.
            let _ = writeln!(io::stderr(), "cannot write to standard output: {error}");
            exit(1)
        }
    }
}
