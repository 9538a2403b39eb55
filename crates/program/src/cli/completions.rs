//! `ferrolab completions` and `ferrolab man`: what a shell and `man` know of the command line.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap_complete::Shell;
use miette::{IntoDiagnostic, WrapErr};

use super::Outcome;
use crate::files;

/// Print the completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab completions bash > \
    ~/.local/share/bash-completion/completions/ferrolab\n  \
    ferrolab completions zsh > ~/.zfunc/_ferrolab\n  \
    ferrolab completions fish > ~/.config/fish/completions/ferrolab.fish")]
pub(super) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Write the manual pages
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab man ~/.local/share/man/man1 && man ferrolab-up")]
pub(super) struct Man {
    /// The folder to write them to; it is made if need be
    folder: PathBuf,
}

pub(super) fn completions(
    Completions { shell }: &Completions,
    mut command: clap::Command,
) -> Outcome {
    let mut text = Vec::new();
    clap_complete::generate(*shell, &mut command, "ferrolab", &mut text);
    // A reader that goes away is no error.
    let _ = io::stdout().lock().write_all(&text);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn man(Man { folder }: &Man, mut command: clap::Command) -> Outcome {
    std::fs::create_dir_all(folder)
        .into_diagnostic()
        .wrap_err_with(|| format!("cannot make {}", folder.display()))?;
    command.build();
    let count = write(&command, "ferrolab", folder)?;
    println!("{count} page(s) written to {}.", folder.display());
    Ok(ExitCode::SUCCESS)
}

fn write(
    command: &clap::Command,
    name: &str,
    folder: &std::path::Path,
) -> Result<usize, miette::Report> {
    let page = clap_mangen::Man::new(command.clone()).title(name);
    let mut text = Vec::new();
    page.render(&mut text).into_diagnostic()?;
    files::replace(&folder.join(format!("{name}.1")), &text).into_diagnostic()?;
    let mut count = 1;
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        if inner.get_name() != "help" {
            count += write(inner, &format!("{name}-{}", inner.get_name()), folder)?;
        }
    }
    Ok(count)
}
