//! Questions before something is lost.

use std::io::{self, BufRead, IsTerminal, Write};

use miette::{IntoDiagnostic, Report, miette};

/// Whether the user agrees: by `--yes`, or by answering on the terminal. Without a terminal
/// nobody can answer, so that is an error.
pub(super) fn confirmed(question: &str, yes: bool) -> Result<bool, Report> {
    if yes {
        return Ok(true);
    }
    if !io::stdin().is_terminal() {
        return Err(miette!(help = "`--yes` answers it", "{question} Nobody is there to answer."));
    }
    print!("{question} [y/N] ");
    io::stdout().flush().into_diagnostic()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).into_diagnostic()?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
