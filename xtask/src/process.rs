//! Running other programs.
//!
//! Owns how they are started: without a standard input, so that nothing ever waits for a person.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use crate::failure::{Failure, Outcome};

/// A command without a standard input.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    command
}

/// Runs `command` with its output shown; its failure is ours.
pub(crate) fn run(command: &mut Command) -> Outcome<()> {
    let code = code(command)?;
    judge(command, code)
}

/// Runs `command` with its output shown and returns its exit code, if no signal ended it.
pub(crate) fn code(command: &mut Command) -> Outcome<Option<i32>> {
    let status = command.status().map_err(|error| not_started(command, &error))?;
    Ok(status.code())
}

/// Whether an exit code is a success.
pub(crate) fn judge(command: &Command, code: Option<i32>) -> Outcome<()> {
    let ended = match code {
        Some(0) => return Ok(()),
        Some(code) => format!("exited with {code}"),
        None => "was ended by a signal".to_owned(),
    };
    Err(Failure::new(format!("`{}` {ended}", describe(command))))
}

/// Runs `command` and returns what it prints on its standard output.
pub(crate) fn output(command: &mut Command) -> Outcome<String> {
    let output = command.output().map_err(|error| not_started(command, &error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Failure::new(format!("`{}` ended with {}: {complaint}", describe(command), output.status)))
}

/// Whether `command` can be run and succeeds; its output goes nowhere.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn not_started(command: &Command, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot run `{}`: {error}", describe(command)))
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
