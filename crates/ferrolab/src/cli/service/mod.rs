//! `ferrolab service …`: the lab starts with the host.
//!
//! Owns the files and commands of that; the text of the unit is [`unit`]'s.

mod unit;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use miette::{IntoDiagnostic, Report, WrapErr, miette};
use supervisor::{CommandSpec, Exit, Output, Spawner};

use self::unit::Unit;
use super::{Outcome, paths, runtime};
use crate::control::client::Client;
use crate::files;
use crate::paths::Paths;

/// Let the lab start with the host
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write and enable a systemd unit; where there is no systemd, print the crontab line
    #[command(after_help = "Examples:\n  ferrolab service install            # for this user\n  \
        sudo ferrolab service install --system --run-as lab\n  \
        ferrolab service install --print")]
    Install(Install),
    /// Stop, disable and remove the systemd unit
    Uninstall(Uninstall),
}

#[derive(Debug, Args)]
pub(super) struct Install {
    #[command(flatten)]
    scope: Scope,
    /// The user whose lab it is, with --system
    #[arg(long, value_name = "USER", requires = "system")]
    run_as: Option<String>,
    /// Print the unit and what would be run, and do nothing
    #[arg(long)]
    print: bool,
}

#[derive(Debug, Args)]
pub(super) struct Uninstall {
    #[command(flatten)]
    scope: Scope,
}

/// Whose service manager.
#[derive(Debug, Args)]
struct Scope {
    /// The user's own service manager (the default)
    #[arg(long, conflicts_with = "system")]
    user: bool,
    /// The host's service manager; needs root
    #[arg(long)]
    system: bool,
}

pub(super) fn run(command: &Command) -> Outcome {
    match command {
        Command::Install(arguments) => install(arguments),
        Command::Uninstall(Uninstall { scope }) => uninstall(scope.system),
    }
}

fn install(arguments: &Install) -> Outcome {
    let system = arguments.scope.system;
    let paths = paths()?;
    let unit = unit(&paths, system, arguments.run_as.as_deref())?;
    let file = file(system)?;
    if arguments.print {
        print!("# {}\n{}", file.display(), unit.text());
        for words in enabling(system) {
            println!("# then: {}", words.join(" "));
        }
        println!("# without systemd, in `crontab -e`:\n# {}", unit.crontab());
        return Ok(ExitCode::SUCCESS);
    }
    if !has_systemd() {
        println!("This host has no systemd. Add this line with `crontab -e`:\n");
        println!("{}", unit.crontab());
        return Ok(ExitCode::SUCCESS);
    }
    if !paths.config_file.exists() {
        return Err(miette!(
            help = "`ferrolab config update FILE` gives it one",
            "the lab has no configuration yet, so there is nothing to start"
        ));
    }
    let socket = paths.control_socket().into_diagnostic()?;
    if runtime()?.block_on(Client::connect(&socket)).is_ok() {
        return Err(miette!(
            help = "`ferrolab down`, then this again: from then on systemd starts it",
            "the lab is up already, and not under systemd"
        ));
    }
    let folder = file.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder)
        .into_diagnostic()
        .wrap_err_with(|| format!("cannot make {}", folder.display()))?;
    files::replace_keeping_previous(&file, unit.text().as_bytes()).into_diagnostic()?;
    println!("Written: {}", file.display());
    for words in enabling(system) {
        carry_out(&words)?;
    }
    println!("The lab is up, and starts with the host from now on. See `ferrolab status`.");
    if !system {
        println!(
            "It starts when you log in; `sudo loginctl enable-linger {}` lets it start with the \
             host.",
            unit::user_name()
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn uninstall(system: bool) -> Outcome {
    let file = file(system)?;
    if !file.exists() {
        println!("There is no service: {} does not exist.", file.display());
        return Ok(ExitCode::SUCCESS);
    }
    if has_systemd() {
        carry_out(&systemctl(system, &["disable", "--now", unit::NAME]))?;
    }
    std::fs::remove_file(&file)
        .into_diagnostic()
        .wrap_err_with(|| format!("cannot remove {}", file.display()))?;
    if has_systemd() {
        carry_out(&systemctl(system, &["daemon-reload"]))?;
    }
    println!("The service is removed. `ferrolab up` still starts the lab by hand.");
    Ok(ExitCode::SUCCESS)
}

fn unit(paths: &Paths, system: bool, run_as: Option<&str>) -> Result<Unit, Report> {
    if system && run_as.is_none() {
        return Err(miette!(
            help = "`--run-as USER`: the one who owns the lab's files and may use its devices",
            "with --system it must be said whose lab it is; as root it would be unsafe"
        ));
    }
    let program = std::env::current_exe().into_diagnostic()?;
    Ok(Unit {
        program,
        home: paths.home.clone(),
        path: std::env::var("PATH").unwrap_or_default(),
        user: run_as.map(str::to_owned),
    })
}

fn file(system: bool) -> Result<PathBuf, Report> {
    if system {
        return Ok(Path::new("/etc/systemd/system").join(unit::NAME));
    }
    let config = std::env::var_os("XDG_CONFIG_HOME").filter(|value| !value.is_empty());
    let config = config.map(PathBuf::from).or_else(|| Some(std::env::home_dir()?.join(".config")));
    let config = config.ok_or_else(|| miette!("this user has no home directory"))?;
    Ok(config.join("systemd/user").join(unit::NAME))
}

fn enabling(system: bool) -> [Vec<String>; 2] {
    [systemctl(system, &["daemon-reload"]), systemctl(system, &["enable", "--now", unit::NAME])]
}

fn systemctl(system: bool, words: &[&str]) -> Vec<String> {
    let scope = if system { "--system" } else { "--user" };
    ["systemctl", scope].iter().chain(words).map(|word| (*word).to_owned()).collect()
}

fn has_systemd() -> bool {
    sd_notify::booted().unwrap_or(false)
}

fn carry_out(words: &[String]) -> Result<(), Report> {
    println!("Running: {}", words.join(" "));
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    let mut command = CommandSpec::new(program).args(arguments);
    (command.stdout, command.stderr) = (Output::Inherit, Output::Inherit);
    let exit = runtime()?.block_on(async {
        let child = Spawner::permanent().into_diagnostic()?.spawn(command).await;
        Ok::<_, Report>(child.into_diagnostic()?.wait().await)
    })?;
    match exit {
        Exit::Code(0) => Ok(()),
        exit => Err(miette!(
            help = "`journalctl --user -u ferrolab` (or without --user) may tell more",
            "`{}` {exit}",
            words.join(" ")
        )),
    }
}
