//! `--watch`: a command's output again and again, in place.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::Outcome;

/// Whether to go on showing.
#[derive(Debug, Args)]
pub(super) struct Watch {
    /// Show it again every so many seconds (2 where none are given), until Ctrl-C
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
          value_parser = pause)]
    watch: Option<Duration>,
}

impl Watch {
    /// Calls `show` once, or repeatedly. While watching, an error is shown and does not end the
    /// command: a lab that is down may come up again.
    pub(super) fn repeat(&self, mut show: impl FnMut() -> Outcome) -> Outcome {
        let Some(pause) = self.watch else { return show() };
        loop {
            if io::stdout().is_terminal() {
                // Home, and clear from there: less flicker than to clear first.
                print!("\u{1b}[H\u{1b}[J");
            }
            if let Err(report) = show() {
                println!("{report:?}");
            }
            // The reader of the output has ended.
            if io::stdout().flush().is_err() {
                return Ok(ExitCode::SUCCESS);
            }
            std::thread::sleep(pause);
        }
    }
}

fn pause(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let pause = seconds.filter(|pause| !pause.is_zero());
    pause.ok_or_else(|| "it must be a number of seconds above 0".to_owned())
}
