//! `--watch`: a command's output again and again, in place.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use miette::miette;

use super::Outcome;

/// Whether to go on showing.
#[derive(Debug, Args)]
pub(super) struct Watch {
    /// Show it again every so many seconds (2 where none are given), until Ctrl-C
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2")]
    watch: Option<f64>,
}

impl Watch {
    /// Calls `show` once, or for ever. An error is shown like anything else while watching: a lab
    /// that is down may come up again.
    pub(super) fn repeat(&self, mut show: impl FnMut() -> Outcome) -> Outcome {
        let Some(seconds) = self.watch else { return show() };
        let pause = Duration::try_from_secs_f64(seconds)
            .ok()
            .filter(|pause| !pause.is_zero())
            .ok_or_else(|| miette!("`--watch {seconds}` must be a number of seconds above 0"))?;
        loop {
            if io::stdout().is_terminal() {
                // Home, and clear from there: less flicker than to clear first.
                print!("\u{1b}[H\u{1b}[J");
            }
            if let Err(report) = show() {
                println!("{report:?}");
            }
            // Whoever read this has gone away.
            if io::stdout().flush().is_err() {
                return Ok(ExitCode::SUCCESS);
            }
            std::thread::sleep(pause);
        }
    }
}
