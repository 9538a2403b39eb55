//! `ferrolab service …`: the lab starts with the host.
//!
//! Owns the files and commands of that; whose lab it is and what it finds is [`owner`]'s, the text
//! of the unit [`mod@unit`]'s.

mod owner;
mod unit;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use miette::{IntoDiagnostic, Report, WrapErr, miette};
use supervisor::{CommandSpec, Exit, Output, Spawner};

use super::{Outcome, explain, runtime};
use crate::files;
use crate::os::{SYSTEM, USER};
use crate::paths::Paths;
use crate::supervise::control::Request;
use crate::supervise::control::client::{Client, ControlError};

/// Let the lab start with the host
#[derive(Debug, Subcommand)]
pub(super) enum ServiceCommand {
    /// Write and enable a systemd unit; where there is no systemd, print the crontab line
    #[command(after_help = "Examples:\n  ferrolab service install            # for this user\n  \
        sudo ferrolab service install --system --run-as lab\n  \
        sudo ferrolab service install --system --run-as lab --path /srv/lab/venv/bin:/usr/bin:/bin\n  \
        ferrolab service install --print")]
    Install(Install),
    /// Stop, disable and remove the systemd unit
    #[command(after_help = "Examples:\n  ferrolab service uninstall\n  \
        sudo ferrolab service uninstall --system")]
    Uninstall(Uninstall),
}

#[derive(Debug, Args)]
pub(super) struct Install {
    #[command(flatten)]
    scope: Scope,
    /// The user whose lab it is, with --system
    #[arg(long, value_name = "USER", requires = "system")]
    run_as: Option<String>,
    /// Where programs are looked for, `python3` among them [default: this shell's PATH; with
    /// --run-as another user, that user's ~/.local/bin and the host's folders]
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
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

pub(super) fn run(command: &ServiceCommand) -> Outcome {
    match command {
        ServiceCommand::Install(arguments) => install(arguments),
        ServiceCommand::Uninstall(Uninstall { scope }) => uninstall(scope.system),
    }
}

fn install(arguments: &Install) -> Outcome {
    let system = arguments.scope.system;
    let (paths, unit) =
        owner::resolve_unit(arguments.run_as.as_deref(), arguments.path.as_deref(), system)?;
    let file = file(system)?;
    let crontab = match &unit.user {
        Some(user) => format!("sudo crontab -u {user} -e"),
        None => "crontab -e".to_owned(),
    };
    if arguments.print {
        print!("# {}\n{}", file.display(), unit.text());
        for words in enabling(system) {
            println!("# then: {}", words.join(" "));
        }
        println!("# without systemd, in `{crontab}`:\n# {}", unit.crontab());
        return Ok(ExitCode::SUCCESS);
    }
    if !has_systemd() {
        println!("This host has no systemd. Add this line with `{crontab}`:\n");
        println!("{}", unit.crontab());
        return Ok(ExitCode::SUCCESS);
    }
    if !paths.config_file.exists() {
        let whose = unit.user.as_ref().map(|user| format!(", as {user}")).unwrap_or_default();
        return Err(miette!(
            help = format!("`ferrolab config update FILE`{whose} gives it one"),
            "the lab has no configuration yet at {}, so there is nothing to start",
            paths.config_file.display()
        ));
    }
    let is_up = is_up_as_service(&paths, system)?;
    let folder = file.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder)
        .into_diagnostic()
        .wrap_err_with(|| format!("cannot make {}", folder.display()))?;
    files::replace_keeping_previous(&file, unit.text().as_bytes(), |_| false).into_diagnostic()?;
    println!("Written: {}", file.display());
    for words in enabling(system) {
        carry_out(&words)?;
    }
    if is_up {
        // Nobody's measurement ends because of a new line in a unit.
        println!(
            "The lab goes on as it was started; what is new in the unit counts from `{}` on.",
            systemctl(system, &["restart", unit::NAME]).join(" ")
        );
        return Ok(ExitCode::SUCCESS);
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

/// Whether the lab runs already, under this very service manager: another unit, or one by hand,
/// would be in the new one's way.
fn is_up_as_service(paths: &Paths, system: bool) -> Result<bool, Report> {
    let socket = paths.control_socket().into_diagnostic()?;
    let asked = runtime()?.block_on(async {
        let client = Client::connect(&socket).await?;
        client.ask(&Request::Ps { looks: false }, |_| {}).await
    });
    let manager = match asked {
        Ok(listing) => listing.host.manager,
        Err(ControlError::NotRunning { .. }) => return Ok(false),
        Err(error) => return Err(explain(error)),
    };
    match manager.as_deref() {
        Some(manager) if manager == if system { SYSTEM } else { USER } => Ok(true),
        Some(manager) => Err(miette!(
            help = "`ferrolab service uninstall` with the other of --system and --user, then this again",
            "the lab is up already, under the {manager} service manager"
        )),
        None => Err(miette!(
            help = "`ferrolab down`, then this again: from then on systemd starts it",
            "the lab is up already, and not under systemd"
        )),
    }
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

/// Whether `systemctl --user` knows here where this user's service manager is: a user who has come
/// by `su` or `cron` has none of the variables.
pub(super) fn has_bus_of_user() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    is_set("XDG_RUNTIME_DIR") || is_set("DBUS_SESSION_BUS_ADDRESS")
}

/// Starts the lab as this user's service.
pub(super) fn start_of_user() -> Result<(), Report> {
    run_words(&systemctl(false, &["start", unit::NAME]))
}

/// Stops this user's service, so that it does not start again by itself.
pub(super) fn stop_of_user() -> Result<(), Report> {
    run_words(&systemctl(false, &["stop", unit::NAME]))?;
    // Only of a failed unit is there anything to be forgotten.
    drop(run_words(&systemctl(false, &["reset-failed", unit::NAME])));
    Ok(())
}

/// The program that this user's unit starts; `None` where the unit does not tell.
pub(super) fn program_of_user() -> Option<PathBuf> {
    let text = std::fs::read_to_string(file(false).ok()?).ok()?;
    unit::program_in(&text)
}

fn has_systemd() -> bool {
    sd_notify::booted().unwrap_or(false)
}

fn carry_out(words: &[String]) -> Result<(), Report> {
    println!("Running: {}", words.join(" "));
    run_words(words)
}

/// Runs a command, also where nobody reads the output of this one.
fn run_words(words: &[String]) -> Result<(), Report> {
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    let mut command = CommandSpec::new(program).args(arguments);
    (command.stdout, command.stderr) = (Output::Inherit, Output::Inherit);
    let exit = runtime()?.block_on(async {
        let child = Spawner::permanent().into_diagnostic()?.spawn(command).await;
        Ok::<_, Report>(child.into_diagnostic()?.wait().await)
    })?;
    let help = match words.iter().any(|word| word == "--user") {
        // A user who has come by `su` has no service manager.
        true => {
            "`journalctl --user -u ferrolab` may tell more; where there is no bus to connect to, log \
             in as this user (ssh or the console, not `su` or `sudo`)"
        }
        false => "`journalctl -u ferrolab` may tell more",
    };
    match exit {
        Exit::Code(0) => Ok(()),
        exit => Err(miette!(help = help, "`{}` {exit}", words.join(" "))),
    }
}
