//! `ferrolab lock`: a command that runs while its caller has a lock.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use miette::{Report, miette};
use remote::{Error, Proxy, Uri, Value};

use super::foreground::ForegroundCommand;
use super::nslist::NameserverArgument;
use super::target::ServiceTarget;
use super::{Outcome, find, labs, paths};
use crate::os;

/// Interval of checks whether the lock is still ours; also keeps the connection from being idle.
const BEAT: Duration = Duration::from_secs(5);
/// Timeout of a daemon's answer, in addition to the wait for the lock.
const LOCK_CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Hold a service's lock while a command runs
///
/// The lock is this process's: it is given back when the command has ended, and also when this
/// process dies. The command finds the service's URI in FERROLAB_LOCK_URI; to use the service
/// itself it takes the lock over with the token in FERROLAB_LOCK_TOKEN:
/// `proxy.lock(token=os.environ["FERROLAB_LOCK_TOKEN"])`. From then on the lock is the command's: if
/// this process is killed, it lasts as long as the command's connection and its `ttl` (60 seconds
/// if `lock` is not told one), so that the command's next step finds it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab lock lab.laser -- python3 measure.py\n  \
    ferrolab lock lab.laser --wait 600 --user ada -- ./align.sh\n\n\
    The exit code is the command's, 128 and more where a signal has ended it, or 1 where the lock \
    cannot be had, or was lost before the command had ended.")]
pub(super) struct Arguments {
    /// The service's name, or its URI; LAB/NAME for one of another lab
    name: String,
    #[command(flatten)]
    locked: LockedCommand,
}

/// Options of a command that runs while its caller has locks.
#[derive(Debug, Args)]
pub(super) struct LockedCommand {
    /// Wait this many seconds for each lock (default: fail at once where another client has one)
    #[arg(long, value_name = "SECONDS")]
    pub(super) wait: Option<f64>,
    /// The name that others are shown (default: yours, from $USER or the host's user database)
    #[arg(long)]
    user: Option<String>,
    #[command(flatten)]
    pub(super) nameserver: NameserverArgument,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(super) command: Vec<OsString>,
}

impl LockedCommand {
    /// The wait for the locks.
    ///
    /// # Errors
    /// It is no time.
    pub(super) fn wait(&self) -> Result<Option<Duration>, Report> {
        self.wait.map(seconds).transpose()
    }

    /// The name that others are shown.
    pub(super) fn user(&self) -> String {
        self.user.clone().unwrap_or_else(own_name)
    }
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let paths = paths()?;
    let wait = arguments.locked.wait()?;
    labs::block_on(async {
        let target = find::service(&paths, &arguments.name, &arguments.locked.nameserver).await?;
        let user = arguments.locked.user();
        let mut held = Held::take(arguments, target, user, wait).await?;
        let outcome = held.during(&arguments.locked.command).await;
        match held.give_back().await {
            true => outcome,
            false => outcome.map(|_| ExitCode::FAILURE),
        }
    })?
}

/// Default owner of locks that are taken, and default user of `unlock --break`.
pub(super) fn own_name() -> String {
    let variable = |name| std::env::var(name).ok().filter(|name| !name.is_empty());
    // A service manager or a container may set neither.
    let known = ["USER", "LOGNAME"].into_iter().find_map(variable).or_else(os::user_name);
    known.unwrap_or_else(|| format!("user {}", os::user_id()))
}

/// A secret that a lock is taken with.
pub(super) fn new_token() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}

/// A refused or failed call on a lock, as an error for a person.
pub(super) fn explain(name: &str, error: &Error) -> Report {
    let no_lock = match error {
        Error::Remote(exception) => exception.class == "builtins.AttributeError",
        Error::Unexposed { .. } => true,
        _ => false,
    };
    match error {
        _ if no_lock => miette!(
            help = "write `classname: LockableDaemon` in its daemon's configuration",
            "'{name}' has no lock"
        ),
        Error::Remote(exception) => miette!("'{name}': {}", exception.message()),
        error => miette!("{error}"),
    }
}

/// A lock that this process has.
struct Held {
    name: String,
    uri: Uri,
    proxy: Proxy,
    token: String,
    is_lost: bool,
}

impl Held {
    async fn take(
        arguments: &Arguments,
        target: ServiceTarget,
        user: String,
        wait: Option<Duration>,
    ) -> Result<Self, Report> {
        let name = arguments.name.clone();
        let uri = target.uri.clone();
        let mut proxy =
            target.proxy().with_timeout(LOCK_CALL_TIMEOUT.saturating_add(wait.unwrap_or_default()));
        let token = new_token();
        // A connection of ours that ends takes its lock along: nothing outlives this process.
        let request = vec![
            ("user".to_owned(), Value::from(user.as_str())),
            ("wait".to_owned(), wait.map(|wait| wait.as_secs_f64()).into()),
            ("token".to_owned(), Value::from(token.as_str())),
            ("ttl".to_owned(), Value::from(0)),
        ];
        let granted = proxy.call("lock", Vec::new(), request).await;
        if granted.map_err(|error| explain(&name, &error))?.as_bool() != Some(true) {
            let owner = owner(&mut proxy).await;
            let by = if owner.is_empty() { "another client" } else { owner.as_str() };
            return Err(miette!(
                help = "see who waits with `ferrolab locks`",
                "'{name}' is still locked by {by} after {} s",
                wait.unwrap_or_default().as_secs_f64()
            ));
        }
        Ok(Held { name, uri, proxy: proxy.with_timeout(LOCK_CALL_TIMEOUT), token, is_lost: false })
    }

    /// Runs the command. Changes of the lock meanwhile are printed, and do not stop it.
    async fn during(&mut self, command: &[OsString]) -> Outcome {
        let environment = [
            ("FERROLAB_LOCK_URI", self.uri.to_string()),
            ("FERROLAB_LOCK_TOKEN", self.token.clone()),
        ];
        let mut command = ForegroundCommand::start(command, environment).await?;
        let mut beat = tokio::time::interval(BEAT);
        loop {
            tokio::select! {
                code = command.wait() => return Ok(code),
                _ = beat.tick() => {
                    let ours = self.is_ours().await;
                    if !ours && !self.is_lost {
                        self.tell_loss();
                    }
                }
            }
        }
    }

    fn tell_loss(&mut self) {
        self.is_lost = true;
        eprintln!(
            "the lock of '{}' is lost while the command runs; see `ferrolab locks --history`",
            self.name
        );
    }

    /// Whether this process or its command has the lock. The token decides: the command may give
    /// any name, and a stranger the same one.
    async fn is_ours(&mut self) -> bool {
        let token = vec![("token".to_owned(), Value::from(self.token.as_str()))];
        let info = self.proxy.call("lock_info", Vec::new(), token).await.ok();
        let info = info.as_ref().and_then(Value::as_dict);
        info.and_then(|info| info.get("yours")).and_then(Value::as_bool).unwrap_or(false)
    }

    /// Gives the lock up, this process's own or the one that its command took over and left behind;
    /// false if it was not theirs to the end.
    async fn give_back(mut self) -> bool {
        // With the token, since the daemon may not know yet that the command has ended. Taking the
        // lock over first would wait for a call that the command has left running.
        let token = vec![("token".to_owned(), Value::from(self.token.as_str()))];
        match self.proxy.call("unlock", Vec::new(), token).await {
            Ok(unlocked) if unlocked.as_bool() == Some(true) => true,
            // The command took it over, and has given it up itself.
            Err(Error::Remote(refused)) if refused.message().contains("taken over") => true,
            // It was broken, or ended with our connection, perhaps since the last check.
            _ => {
                if !self.is_lost {
                    self.tell_loss();
                }
                false
            }
        }
    }
}

/// The lock's owner as other clients see it; empty where that is not known.
pub(super) async fn owner(proxy: &mut Proxy) -> String {
    let info = proxy.call("lock_info", Vec::new(), Vec::new()).await.ok();
    let user = info.as_ref().and_then(Value::as_dict).and_then(|info| info.get("user"));
    user.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A `--wait` of this many seconds.
pub(super) fn seconds(seconds: f64) -> Result<Duration, Report> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| miette!("`--wait {seconds}` must be a number of seconds, 0 or more"))
}
