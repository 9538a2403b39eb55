//! `ferrolab session`: a command that runs while its caller has the locks of several services.
//!
//! The locks are another process's, the holder ([`session_holder`](super::session_holder)): it
//! outlives this one until the safe states are reached, so that their order holds also after
//! `kill -9` of this command.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use miette::{IntoDiagnostic, Report, miette};
use supervisor::{Child, CommandSpec, Spawner};
use tokio::io::AsyncWriteExt;

use super::foreground::ForegroundCommand;
use super::session_holder::{HolderMessage, SessionAssignment};
use super::{Outcome, lock, runtime};

/// Environment variable of the command: a JSON object of the locks' tokens by the services' URIs.
const VARIABLE: &str = "FERROLAB_SESSION";

/// Use several services together
#[derive(Debug, Subcommand)]
pub(super) enum SessionCommand {
    Run(Run),
}

/// Hold the locks of several services while a command runs
///
/// Either all services are locked or none, in an order that is the same for everybody: two sessions
/// never wait for each other. However the command ends, and also where this process is killed, the
/// services are then brought to their safe states (`on_disconnect`), one after the other in the
/// order in which they are named here. If both this process and its helper `ferrolab run session`
/// die, the daemons do it by themselves within 60 seconds, each for its own.
///
/// A block of `lab.session(...)` or `locked(...)` of Ferrolab's Python client in the command has
/// these locks. Other clients find the tokens in FERROLAB_SESSION, a JSON object by URI:
/// `proxy.lock(token=json.loads(os.environ["FERROLAB_SESSION"])[uri])`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ferrolab session run lab.laser lab.stage -- python3 measure.py\n  \
    ferrolab session run --wait 600 --name \"cooldown 7\" lab.laser lab.stage -- ./scan.sh\n\n\
    The exit code is the command's, 128 and more where a signal has ended it, or 1 where the locks \
    cannot be had, or one was lost before the command had ended. SIGINT, SIGQUIT, SIGTERM, SIGUSR1 \
    and SIGUSR2 are passed on to the command.")]
pub(super) struct Run {
    /// Names or URIs of the services, in the order of their safe states
    #[arg(required = true, value_name = "SERVICE")]
    services: Vec<String>,
    /// A name for the session: others are shown it with yours
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    #[command(flatten)]
    locked: lock::LockedCommand,
}

pub(super) fn run(command: &SessionCommand) -> Outcome {
    let SessionCommand::Run(arguments) = command;
    arguments.locked.wait()?;
    runtime()?.block_on(async {
        let mut holder = Holder::start(arguments).await?;
        let tokens = holder.wait_until_granted().await?;
        let outcome = holder.during(&arguments.locked.command, tokens).await;
        match holder.end().await {
            true => outcome,
            false => outcome.map(|_| ExitCode::FAILURE),
        }
    })
}

/// Process that has the locks, for as long as its standard input is open.
struct Holder {
    process: Child,
    keeps_all: bool,
}

impl Holder {
    async fn start(arguments: &Run) -> Result<Self, Report> {
        let user = arguments.locked.user();
        let assignment = SessionAssignment {
            services: arguments.services.clone(),
            wait: arguments.locked.wait,
            user: match &arguments.name {
                Some(name) => format!("{user}: {name}"),
                None => user,
            },
            nameserver: arguments.locked.nameserver.clone(),
        };
        let mut line = serde_json::to_vec(&assignment).into_diagnostic()?;
        line.push(b'\n');
        let program = std::env::current_exe().into_diagnostic()?;
        let mut command = CommandSpec::new(program).args(["run", "session"]);
        command.stdin = supervisor::Stdin::Pipe;
        command.stdout = supervisor::Output::Pipe;
        command.parent_death_signal = None;
        let mut process =
            Spawner::permanent().into_diagnostic()?.spawn(command).await.into_diagnostic()?;
        if let Some(stdin) = &mut process.stdin {
            stdin.write_all(&line).await.into_diagnostic()?;
        }
        Ok(Holder { process, keeps_all: true })
    }

    /// The tokens of the locks by URI, as JSON.
    async fn wait_until_granted(&mut self) -> Result<String, Report> {
        match self.next_message().await {
            Some(HolderMessage::Granted { tokens }) => {
                serde_json::to_string(&tokens).into_diagnostic()
            }
            Some(HolderMessage::Refused { error, help: Some(help) }) => {
                Err(miette!(help = help, "{error}"))
            }
            Some(HolderMessage::Refused { error, help: None } | HolderMessage::Lost { error }) => {
                Err(miette!("{error}"))
            }
            None => Err(miette!("the process that takes the locks has ended without an answer")),
        }
    }

    /// Runs the command. Locks that are lost meanwhile are printed, and do not stop it.
    async fn during(&mut self, command: &[OsString], tokens: String) -> Outcome {
        let mut command = ForegroundCommand::start(command, [(VARIABLE, tokens)]).await?;
        let mut is_running = true;
        loop {
            tokio::select! {
                code = command.wait() => return Ok(code),
                message = self.next_message(), if is_running => {
                    is_running = message.is_some();
                    self.tell_loss(message);
                }
            }
        }
    }

    /// Ends the session, and waits for the safe states; false if it had not all locks to its end.
    async fn end(mut self) -> bool {
        self.process.stdin = None;
        while let Some(message) = self.next_message().await {
            self.tell_loss(Some(message));
        }
        self.process.wait().await.success() && self.keeps_all
    }

    fn tell_loss(&mut self, message: Option<HolderMessage>) {
        self.keeps_all = false;
        match message {
            Some(HolderMessage::Lost { error }) => eprintln!("{error}"),
            Some(_) => {}
            None => eprintln!(
                "the process that has the locks of this session has ended: the daemons end them \
                 within 60 s"
            ),
        }
    }

    async fn next_message(&mut self) -> Option<HolderMessage> {
        let line = self.process.stdout.as_mut()?.next().await.ok()??;
        serde_json::from_str(&line).ok()
    }
}
