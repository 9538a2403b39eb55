//! The supervisor's end of the conversation with the command line.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::RecvFlags;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::admin_audit::{AdminAct, peer_user};
use super::client::SIGN_OF_LIFE;
use super::{Action, Answer, Listing, Request, WhenInUse};
use crate::access::AccessClient;
use crate::audit::Audit;
use crate::supervise::control::EntryKind;
use crate::supervise::entries::{Fleet, NotDone};

/// A request is one short line.
const MAX_REQUEST: u64 = 64 * 1024;
/// Time for a request to arrive: a program that only connects must not keep a file descriptor.
const CONTROL_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Nobody waits longer than this for entries to settle.
const MAX_SETTLE_TIME: Duration = Duration::from_secs(24 * 60 * 60);
/// A command line that does not take an answer for so long is given up.
const WRITING: Duration = Duration::from_secs(10);
/// The last answers have this long when the lab has ended; then the process ends.
const LAST_ANSWER_TIME: Duration = Duration::from_secs(1);
/// Least time between two answers to a client that watches,
const WATCH_PAUSE: Duration = Duration::from_millis(100);
/// and the most: such a client is shown within two seconds that this process is stopped.
const WATCH_INTERVAL: Duration = Duration::from_millis(900);
/// Between two attempts of an action that waits for clients.
const ATTEMPT_INTERVAL: Duration = Duration::from_secs(1);
/// Pause after a failed accept.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Listens at `socket`. A socket of an earlier supervisor, which this home's lock shows to be gone,
/// is removed.
///
/// # Errors
/// The socket cannot be made.
pub(crate) fn bind(socket: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers requests until `ended`; a `Down` cancels `stop`, and is answered when `ended` comes.
pub(crate) async fn serve(
    listener: UnixListener,
    fleet: Arc<Fleet>,
    audit: Option<Audit>,
    stop: CancellationToken,
    ended: CancellationToken,
) {
    let conversations = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = ended.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let (fleet, audit) = (Arc::clone(&fleet), audit.clone());
                let conversation = converse(stream, fleet, audit, stop.clone(), ended.clone());
                conversations.spawn(async move {
                    if let Err(error) = conversation.await {
                        info!(%error, "a command line went away");
                    }
                });
            }
            Err(error) => {
                warn!(%error, "cannot accept a command line's connection");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
    conversations.close();
    if tokio::time::timeout(LAST_ANSWER_TIME, conversations.wait()).await.is_err() {
        warn!(left = conversations.len(), "command lines do not read their last answers");
    }
}

async fn converse(
    stream: UnixStream,
    fleet: Arc<Fleet>,
    audit: Option<Audit>,
    stop: CancellationToken,
    ended: CancellationToken,
) -> io::Result<()> {
    let who = peer_user(&stream);
    let (reader, writer) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(MAX_REQUEST));
    let reading = tokio::time::timeout(CONTROL_REQUEST_TIMEOUT, reader.read_line(&mut line));
    match ended.run_until_cancelled(reading).await {
        Some(Ok(Ok(1..))) => {}
        Some(Err(_)) => {
            info!(
                seconds = CONTROL_REQUEST_TIMEOUT.as_secs(),
                "a program connected to the control socket and asked nothing; it was disconnected"
            );
            return Ok(());
        }
        _ => return Ok(()),
    }
    if has_left(&writer) {
        // It has waited while this process was stopped, and told its user that nothing is done.
        info!(request = line.trim_end(), "not carried out: whoever asked has gone away");
        return Ok(());
    }
    let request = serde_json::from_str::<Request>(&line);
    let act = request.as_ref().ok();
    let act = act.and_then(|request| AdminAct::of(audit.as_ref(), &who, request));
    let mut talk = Conversation { writer, who, fleet, act, stop, ended };
    tokio::select! {
        answered = talk.answer(request) => answered,
        // An order that waits for others is dropped; one that is being carried out goes on.
        () = gone(reader.into_inner().into_inner()) => Ok(()),
    }
}

/// Whether the other end is closed: nobody sends a second request, or closes only one direction.
fn has_left(writer: &OwnedWriteHalf) -> bool {
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    let peeked = rustix::net::recv(writer.as_ref(), &mut [0; 1][..], flags);
    matches!(peeked, Ok((_, 0)) | Err(Errno::CONNRESET))
}

/// Returns once the other end is closed.
async fn gone(mut reader: OwnedReadHalf) {
    let mut rest = [0; 256];
    while let Ok(1..) = reader.read(&mut rest).await {}
}

/// A command line that has asked for something.
struct Conversation {
    writer: OwnedWriteHalf,
    /// The user whose program asks.
    who: String,
    fleet: Arc<Fleet>,
    /// The request, for the audit.
    act: Option<AdminAct>,
    /// Cancelled once everything is to stop.
    stop: CancellationToken,
    /// Cancelled once everything has stopped.
    ended: CancellationToken,
}

impl Conversation {
    async fn answer(&mut self, request: serde_json::Result<Request>) -> io::Result<()> {
        let fleet = Arc::clone(&self.fleet);
        if self.stop.is_cancelled()
            && !matches!(request, Ok(Request::Ps { .. } | Request::Down { .. }))
        {
            return self.say(&Answer::Ending).await;
        }
        match request {
            Err(error) => {
                let reason = format!("the supervisor does not understand this request: {error}");
                self.say(&Answer::Refused { reason }).await
            }
            Ok(Request::Ps { looks }) => {
                if looks {
                    self.meanwhile(false, fleet.look_at_drivers()).await?;
                }
                let listing = fleet.listing().await;
                self.say(&Answer::Done(listing)).await
            }
            Ok(Request::Watch) => self.watch().await,
            Ok(Request::Settle { seconds }) => self.settle(limit(seconds), |_| true).await,
            Ok(Request::Act { action, kind, name, seconds, in_use }) => {
                let act = |force| fleet.act(action, kind, name.clone(), force);
                let shown = action == Action::Stop;
                let Some(text) = self.when_free(in_use, shown, act).await? else { return Ok(()) };
                self.say(&Answer::Note { text }).await?;
                let is_meant = |entry: SettledEntry<'_>| entry.is_of(kind, &name);
                self.wait_until_settled(limit(seconds), is_meant).await?;
                if kind == EntryKind::Nameserver && action == Action::Restart {
                    // Clients that look a name up find it when the command has returned.
                    let fleet = Arc::clone(&self.fleet);
                    let waiting = fleet.wait_for_names(&name);
                    let names_back = tokio::time::timeout(limit(seconds), waiting);
                    let _ = self.meanwhile(false, names_back).await?;
                }
                self.finish().await
            }
            Ok(Request::RestartServices { names, seconds, in_use }) => {
                let planned = match fleet.plan_service_restart(&names).await {
                    Ok(planned) => planned,
                    Err(reason) => return self.say(&Answer::Refused { reason }).await,
                };
                if !planned.others.is_empty() {
                    let others = planned.others.join(", ");
                    let text = format!("{others}: in the same worker, restarting too");
                    self.say(&Answer::Note { text }).await?;
                }
                let restart = |force| fleet.restart_services(&names, force);
                if self.when_free(in_use, false, restart).await?.is_none() {
                    return Ok(());
                }
                let is_meant = |entry: SettledEntry<'_>| match entry {
                    SettledEntry::Service { name, .. } => planned.has(name),
                    SettledEntry::Process(..) => false,
                };
                self.settle(limit(seconds), is_meant).await
            }
            Ok(Request::AcknowledgeAlarms { name, by, reason, client }) => {
                let client = client.unwrap_or_else(|| AccessClient::of_this_host(self.who.clone()));
                let acknowledged = fleet.acknowledge_alarms(&name, &client, &by, &reason);
                let titles = match self.meanwhile(false, acknowledged).await? {
                    Ok(titles) => titles,
                    Err(reason) => return self.say(&Answer::Refused { reason }).await,
                };
                for text in titles {
                    self.say(&Answer::Note { text }).await?;
                }
                self.finish().await
            }
            Ok(Request::Renamed { kind, old, new }) => {
                let renamed = fleet.renamed(kind, &old, &new);
                let answer = match self.meanwhile(false, renamed).await? {
                    Ok(()) => Answer::Done(fleet.listing().await),
                    Err(reason) => Answer::Refused { reason },
                };
                self.say(&answer).await
            }
            Ok(Request::Reload { seconds, in_use }) => {
                let reload = |force| fleet.reload(force);
                let Some(changes) = self.when_free(in_use, false, reload).await? else {
                    return Ok(());
                };
                self.say(&Answer::Changes(changes)).await?;
                self.meanwhile(false, fleet.look_at_drivers()).await?;
                self.settle(limit(seconds), |_| true).await
            }
            Ok(Request::Down { in_use }) => {
                let check = async |force: bool| match force {
                    true => Ok(()),
                    false => fleet.check_all_free().await,
                };
                // A lab that is being stopped already is not asked for again.
                if !self.stop.is_cancelled()
                    && self.when_free(in_use, false, check).await?.is_none()
                {
                    return Ok(());
                }
                info!("asked to stop everything");
                if let Some(act) = &mut self.act.take() {
                    // The audit ends before the last answer.
                    act.note(&Answer::Done(Listing::default()));
                }
                self.stop.cancel();
                let ended = self.ended.clone();
                self.meanwhile(true, ended.cancelled()).await?;
                self.say(&Answer::Done(Listing::default())).await
            }
        }
    }

    /// Tells of each change, with a pause between two, and of the end.
    async fn watch(&mut self) -> io::Result<()> {
        let fleet = Arc::clone(&self.fleet);
        let mut changes = fleet.changes();
        loop {
            changes.borrow_and_update();
            self.say(&Answer::Progress(fleet.listing().await)).await?;
            if self.ended.run_until_cancelled(tokio::time::sleep(WATCH_PAUSE)).await.is_none() {
                return self.say(&Answer::Ending).await;
            }
            // Troubles of the host announce no change.
            let _ = tokio::time::timeout(WATCH_INTERVAL, changes.changed()).await;
        }
    }

    /// Attempts an action until no client's lock or call is in its way, as `in_use` says; with
    /// `force`, an attempt ends them. `None` where the last answer is given: it is not done.
    async fn when_free<T, F: Future<Output = Result<T, NotDone>>>(
        &mut self,
        in_use: WhenInUse,
        shown: bool,
        attempt: impl Fn(bool) -> F,
    ) -> io::Result<Option<T>> {
        let stop = self.stop.clone();
        loop {
            let attempted = self.meanwhile(shown, attempt(in_use == WhenInUse::Force)).await?;
            let uses = match attempted {
                Ok(done) => return Ok(Some(done)),
                Err(NotDone::Refused(reason)) => {
                    self.say(&Answer::Refused { reason }).await?;
                    return Ok(None);
                }
                Err(NotDone::InUse(uses)) => uses,
            };
            if in_use != WhenInUse::Wait {
                self.say(&Answer::InUse { uses }).await?;
                return Ok(None);
            }
            self.say(&Answer::Waiting { uses }).await?;
            let pause = tokio::time::sleep(ATTEMPT_INTERVAL);
            if stop.run_until_cancelled(pause).await.is_none() {
                self.say(&Answer::Ending).await?;
                return Ok(None);
            }
        }
    }

    /// Gives signs of life until `work` is done; `shown`: how things stand, at every change.
    async fn meanwhile<T>(&mut self, shown: bool, work: impl Future<Output = T>) -> io::Result<T> {
        let fleet = Arc::clone(&self.fleet);
        let mut changes = fleet.changes();
        let mut work = std::pin::pin!(work);
        loop {
            changes.borrow_and_update();
            let listing = if shown { fleet.listing().await } else { Listing::default() };
            self.say(&Answer::Progress(listing)).await?;
            tokio::select! {
                done = &mut work => return Ok(done),
                () = changed(&mut changes), if shown => {}
                () = tokio::time::sleep(SIGN_OF_LIFE) => {}
            }
        }
    }

    /// Tells of changes until all `awaited` entries have settled, and how things stand then.
    async fn settle(
        &mut self,
        limit: Duration,
        awaited: impl Fn(SettledEntry<'_>) -> bool,
    ) -> io::Result<()> {
        self.wait_until_settled(limit, awaited).await?;
        self.finish().await
    }

    /// The last answer: how things stand, or that the lab is being stopped.
    async fn finish(&mut self) -> io::Result<()> {
        if self.stop.is_cancelled() {
            return self.say(&Answer::Ending).await;
        }
        let listing = self.fleet.listing().await;
        self.say(&Answer::Done(listing)).await
    }

    /// Tells of changes until all `awaited` entries have settled.
    async fn wait_until_settled(
        &mut self,
        limit: Duration,
        awaited: impl Fn(SettledEntry<'_>) -> bool,
    ) -> io::Result<()> {
        let deadline = Instant::now() + limit;
        let (fleet, stop) = (Arc::clone(&self.fleet), self.stop.clone());
        let mut changes = fleet.changes();
        // An entry that stops with the whole lab has not settled.
        while !stop.is_cancelled() {
            changes.borrow_and_update();
            let listing = fleet.listing().await;
            if settled(&listing, &awaited) || Instant::now() >= deadline {
                break;
            }
            self.say(&Answer::Progress(listing)).await?;
            tokio::select! {
                () = changed(&mut changes) => {}
                () = tokio::time::sleep_until(deadline) => {}
                () = stop.cancelled() => {}
            }
        }
        Ok(())
    }

    async fn say(&mut self, answer: &Answer) -> io::Result<()> {
        if let Some(act) = &mut self.act {
            act.note(answer);
        }
        let mut line = serde_json::to_string(answer)?;
        line.push('\n');
        let written = tokio::time::timeout(WRITING, self.writer.write_all(line.as_bytes())).await;
        written
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "it does not read its answer"))?
    }
}

fn limit(seconds: u64) -> Duration {
    Duration::from_secs(seconds).min(MAX_SETTLE_TIME)
}

/// Until something changes, or it is time for a sign of life.
async fn changed(changes: &mut watch::Receiver<u64>) {
    // An end of changes is no reason to speak more often.
    let change = async {
        if changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let _ = tokio::time::timeout(SIGN_OF_LIFE, change).await;
}

/// An entry that may be waited for.
#[derive(Clone, Copy)]
enum SettledEntry<'a> {
    Process(EntryKind, &'a str),
    Service { name: &'a str, daemon: &'a str },
}

impl SettledEntry<'_> {
    /// Whether it is this process, or a service of it.
    fn is_of(self, kind: EntryKind, process: &str) -> bool {
        match self {
            SettledEntry::Process(own, name) => (own, name) == (kind, process),
            SettledEntry::Service { daemon, .. } => (EntryKind::Daemon, daemon) == (kind, process),
        }
    }
}

fn settled(listing: &Listing, awaited: impl Fn(SettledEntry<'_>) -> bool) -> bool {
    let processes = listing
        .all_processes()
        .map(|(kind, row)| (SettledEntry::Process(kind, &row.name), row.status.as_str()));
    let services = listing.services.iter().map(|row| {
        let entry = SettledEntry::Service { name: &row.name, daemon: &row.daemon };
        (entry, row.report.status.as_str())
    });
    let mut all = processes.chain(services);
    !all.any(|(entry, status)| awaited(entry) && matches!(status, "starting" | "stopping"))
}
