//! `ferrolab run session`: the process that holds the locks of `ferrolab session run`, and runs the
//! safe states when that ends.
//!
//! A separate process, which no terminal and no end of its parent interrupts: at the end of its
//! standard input it brings the services to their safe states, one after the other. It takes the
//! locks without a `ttl`, so that nothing is left where it dies before it has all of them, and
//! keeps them with one, so that a network may fail for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::time::Duration;

use miette::{IntoDiagnostic, Report, miette};
use remote::{Error, Proxy, Uri, Value};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::nslist::NameserverArgument;
use super::target::{ServiceTarget, TIMEOUT};
use super::{find, labs, lock, paths};

/// Interval of checks whether the locks are still the session's.
const LOCK_CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Seconds that a daemon keeps a lock whose connection is lost.
const TTL_SECONDS: u32 = 60;
/// Seconds before the end of a lock, whose owner is away, from which on it is taken again.
const RENEWAL_SECONDS: f64 = 30.0;
/// Timeout of a daemon's answer, in addition to the wait for a lock.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// Time for one look at a lock: a host that does not answer must not delay the others'.
const LOOK_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the safe state of one service is waited for.
const SAFE_STATE_TIMEOUT: Duration = Duration::from_secs(60);
/// Interval of looks whether a safe state is reached.
const SAFE_STATE_POLL: Duration = Duration::from_millis(50);

/// First line of the holder's standard input. Its end is the session's.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct SessionAssignment {
    pub(super) services: Vec<String>,
    /// Seconds.
    pub(super) wait: Option<f64>,
    pub(super) user: String,
    pub(super) nameserver: NameserverArgument,
}

/// Line of the holder's standard output.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub(super) enum HolderMessage {
    /// The session has all its locks.
    Granted { tokens: BTreeMap<String, String> },
    /// It has none.
    Refused { error: String, help: Option<String> },
    /// One of its locks is gone.
    Lost { error: String },
}

pub(super) fn run() -> ExitCode {
    match hold() {
        Ok(code) => code,
        Err(report) => {
            let help = report.help().map(|help| help.to_string());
            tell(&HolderMessage::Refused { error: report.to_string(), help });
            ExitCode::FAILURE
        }
    }
}

fn hold() -> Result<ExitCode, Report> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).into_diagnostic()?;
    let assignment: SessionAssignment = serde_json::from_str(&line)
        .map_err(|error| miette!("this process is for `ferrolab session run`: {error}"))?;
    let wait = assignment.wait.map(lock::seconds).transpose()?;
    labs::block_on(async {
        // Only its parent's end ends a session, whatever a service manager sends to all.
        let _ignored = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()]
            .map(|kind| signal(kind).ok());
        let mut parent_ended = watch_parent().into_diagnostic()?;
        let mut locks = Vec::new();
        let taken = tokio::select! {
            taken = take_all(&assignment, wait, &mut locks) => taken,
            _ = &mut parent_ended => Err(miette!("the session was ended")),
        };
        // Not broken off: a request that is still on its way would lock a service for nobody.
        let taken = match taken {
            Ok(()) => keep_all(&mut locks).await,
            refused => refused,
        };
        if let Err(report) = taken {
            for lock in locks.into_iter().rev() {
                lock.roll_back().await;
            }
            return Err(report);
        }
        let tokens = locks.iter().map(|lock| (lock.uri.to_string(), lock.token.clone()));
        tell(&HolderMessage::Granted { tokens: tokens.collect() });
        tokio::select! {
            () = look_after(&mut locks) => {}
            _ = parent_ended => {}
        }
        Ok(end_all(locks, &assignment.services).await)
    })?
}

/// Reports the end of standard input.
fn watch_parent() -> io::Result<oneshot::Receiver<()>> {
    let (ended, watched) = oneshot::channel();
    std::thread::Builder::new().name("parent".into()).spawn(move || {
        // An error is an end too.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = ended.send(());
    })?;
    Ok(watched)
}

fn tell(message: &HolderMessage) {
    let Ok(mut line) = serde_json::to_vec(message) else { return };
    line.push(b'\n');
    let mut output = io::stdout().lock();
    // The parent may be gone.
    let _ = output.write_all(&line).and_then(|()| output.flush());
}

/// Takes the locks in the order that all clients have: by the object's name, then by its location.
async fn take_all(
    assignment: &SessionAssignment,
    wait: Option<Duration>,
    locks: &mut Vec<SessionLock>,
) -> Result<(), Report> {
    let paths = paths()?;
    let mut targets = BTreeMap::new();
    for name in &assignment.services {
        let target = find::service(&paths, name, &assignment.nameserver).await?;
        let target = target.resolved(TIMEOUT).await;
        let target = target.map_err(|error| lock::explain(name, &error))?;
        let Uri::Pyro { object, location } = target.uri.clone() else {
            return Err(miette!("'{name}' has no address"));
        };
        let place = (object.to_string(), location.to_string());
        if targets.insert(place, (name.clone(), target)).is_some() {
            return Err(miette!("'{name}' is named twice: a session names each service once"));
        }
    }
    let deadline = wait.map(|wait| Instant::now() + wait);
    for (name, target) in targets.into_values() {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        locks.push(SessionLock::take(name, target, &assignment.user, left).await?);
    }
    Ok(())
}

/// Has the daemons keep the locks for a while where their connections are lost.
async fn keep_all(locks: &mut [SessionLock]) -> Result<(), Report> {
    for lock in locks {
        let kept = lock.request(None, TTL_SECONDS).await;
        kept.map_err(|error| lock::explain(&lock.name, &error))?;
    }
    Ok(())
}

/// Looks after the locks, for ever.
async fn look_after(locks: &mut [SessionLock]) {
    let mut beat = tokio::time::interval(LOCK_CHECK_INTERVAL);
    loop {
        beat.tick().await;
        for lock in &mut *locks {
            if lock.is_over() {
                continue;
            }
            let Ok(is_ours) = tokio::time::timeout(LOOK_TIMEOUT, lock.renew()).await else {
                // The request's connection was dropped with it.
                lock.is_cut = true;
                continue;
            };
            if is_ours {
                continue;
            }
            let given_up = tokio::time::timeout(LOOK_TIMEOUT, lock.was_given_up()).await;
            if !given_up.unwrap_or(false) {
                lock.tell_loss();
            }
        }
    }
}

/// Brings the services to their safe states in the order in which the session names them.
async fn end_all(mut locks: Vec<SessionLock>, order: &[String]) -> ExitCode {
    locks.sort_by_key(|lock| order.iter().position(|name| *name == lock.name));
    let lost: BTreeSet<String> =
        locks.iter().filter(|lock| lock.is_lost).map(|lock| lock.name.clone()).collect();
    let mut code = if lost.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    for mut lock in locks {
        if lock.is_over() {
            continue;
        }
        if let Err(error) = lock.end().await {
            tell(&HolderMessage::Lost { error });
            code = ExitCode::FAILURE;
        }
    }
    code
}

/// A lock of the session, by its token: the command may have taken it over.
struct SessionLock {
    name: String,
    uri: Uri,
    user: String,
    token: String,
    target: ServiceTarget,
    proxy: Proxy,
    is_lost: bool,
    /// The command has taken the lock over and given it up.
    is_given_up: bool,
    /// The connection that had the lock has failed.
    is_cut: bool,
}

impl SessionLock {
    async fn take(
        name: String,
        target: ServiceTarget,
        user: &str,
        wait: Option<Duration>,
    ) -> Result<Self, Report> {
        let mut lock = SessionLock {
            uri: target.uri.clone(),
            user: user.to_owned(),
            token: lock::new_token(),
            proxy: target
                .proxy()
                .with_timeout(ANSWER_TIMEOUT.saturating_add(wait.unwrap_or_default())),
            name,
            target,
            is_lost: false,
            is_given_up: false,
            is_cut: false,
        };
        let granted = lock.request(wait, 0).await;
        if !granted.map_err(|error| lock::explain(&lock.name, &error))? {
            let owner = lock::owner(&mut lock.proxy).await;
            let by = if owner.is_empty() { "another client" } else { owner.as_str() };
            return Err(miette!(
                help = "see who waits with `ferrolab locks`",
                "'{}' is still locked by {by} after {} s",
                lock.name,
                wait.unwrap_or_default().as_secs_f64()
            ));
        }
        lock.proxy.set_timeout(Some(ANSWER_TIMEOUT));
        Ok(lock)
    }

    /// Asks for the lock with its token; whether it is granted.
    async fn request(&mut self, wait: Option<Duration>, ttl: u32) -> Result<bool, Error> {
        let request = vec![
            ("user".to_owned(), Value::from(self.user.as_str())),
            ("wait".to_owned(), wait.map(|wait| wait.as_secs_f64()).into()),
            ("token".to_owned(), Value::from(self.token.as_str())),
            ("ttl".to_owned(), Value::from(i64::from(ttl))),
        ];
        Ok(self.proxy.call("lock", Vec::new(), request).await?.as_bool() == Some(true))
    }

    /// Gives the lock back: nothing was driven.
    async fn roll_back(mut self) {
        let answer = self.proxy.call("unlock", Vec::new(), Vec::new()).await;
        if answer.is_err() {
            // Its connection is lost.
            let _ = self.proxy.call("unlock", Vec::new(), self.with_token()).await;
        }
    }

    /// Whether the lock is still the session's. It is taken again where its connection was lost.
    async fn renew(&mut self) -> bool {
        let info = match self.proxy.call("lock_info", Vec::new(), self.with_token()).await {
            Ok(info) => info,
            Err(Error::Remote(_)) => return false,
            // The next look is on another connection.
            Err(_) => {
                self.is_cut = true;
                return true;
            }
        };
        let Some(info) = info.as_dict() else { return false };
        if info.get("yours").and_then(Value::as_bool) != Some(true) {
            return false;
        }
        let left = match info.get("expires_in") {
            Some(Value::Float(seconds)) => *seconds,
            _ => f64::INFINITY,
        };
        let is_away = info.get("state").and_then(Value::as_str) == Some("away");
        // The command may have taken it over and come back: it is left alone while there is time.
        if is_away && (self.is_cut || left < RENEWAL_SECONDS) {
            match self.request(None, TTL_SECONDS).await {
                Ok(granted) => self.is_cut = !granted,
                Err(Error::Remote(_)) => return false,
                Err(_) => {}
            }
        }
        true
    }

    /// Ends the lock and waits for the safe state.
    async fn end(&mut self) -> Result<(), String> {
        // On another connection than the owner's: to give it up there would be no abrupt end, and
        // the driver's safe state is for those.
        let mut proxy = self.target.proxy().with_timeout(ANSWER_TIMEOUT);
        match proxy.call("unlock", Vec::new(), self.with_token()).await {
            Ok(unlocked) if unlocked.as_bool() == Some(true) => {}
            Ok(_) | Err(Error::Remote(_)) if self.was_given_up().await => return Ok(()),
            Ok(_) | Err(Error::Remote(_)) => return Err(self.loss()),
            Err(error) => {
                return Err(format!(
                    "the lock of '{}' could not be ended, its daemon does that within \
                     {TTL_SECONDS} s: {error}",
                    self.name
                ));
            }
        }
        let deadline = Instant::now() + SAFE_STATE_TIMEOUT;
        while is_resting(&mut proxy).await {
            if Instant::now() > deadline {
                return Err(format!(
                    "the safe state of '{}' takes more than {} s",
                    self.name,
                    SAFE_STATE_TIMEOUT.as_secs()
                ));
            }
            tokio::time::sleep(SAFE_STATE_POLL).await;
        }
        Ok(())
    }

    /// Whether the command has given up a lock that is not the session's any longer. The connection
    /// that had it is told the reason of its loss, once.
    async fn was_given_up(&mut self) -> bool {
        let refusal = self.proxy.call("unlock", Vec::new(), Vec::new()).await;
        self.is_given_up =
            matches!(refusal, Err(Error::Remote(told)) if told.message().contains("taken over"));
        self.is_given_up
    }

    fn is_over(&self) -> bool {
        self.is_lost || self.is_given_up
    }

    fn tell_loss(&mut self) {
        self.is_lost = true;
        tell(&HolderMessage::Lost { error: self.loss() });
    }

    fn loss(&self) -> String {
        format!(
            "the lock of '{}' is lost while the command runs; see `ferrolab locks --history`",
            self.name
        )
    }

    fn with_token(&self) -> Vec<(String, Value)> {
        vec![("token".to_owned(), Value::from(self.token.as_str()))]
    }
}

/// Whether calls of the last owner still run, or the safe state does.
async fn is_resting(proxy: &mut Proxy) -> bool {
    let info = proxy.call("lock_info", Vec::new(), Vec::new()).await.ok();
    let state = info.as_ref().and_then(Value::as_dict).and_then(|info| info.get("state"));
    matches!(state.and_then(Value::as_str), Some("ending" | "resting"))
}
