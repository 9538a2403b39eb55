//! The supervisor's end of the conversation with the command line.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::{Answer, Listing, Request};
use crate::fleet::{Fleet, Kind};

/// A request is one short line.
const MAX_REQUEST: u64 = 64 * 1024;
/// Nobody waits longer than this for entries to settle.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// Pause after a failed accept.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Listens at `socket`; whoever held the lock of this home before is gone, and so may its socket.
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
                let conversation =
                    converse(stream, Arc::clone(&fleet), stop.clone(), ended.clone());
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
    conversations.wait().await;
}

async fn converse(
    stream: UnixStream,
    fleet: Arc<Fleet>,
    stop: CancellationToken,
    ended: CancellationToken,
) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(MAX_REQUEST));
    let read = ended.run_until_cancelled(reader.read_line(&mut line)).await;
    if !matches!(read, Some(Ok(1..))) {
        return Ok(());
    }
    match serde_json::from_str::<Request>(&line) {
        Err(error) => {
            let reason = format!("the supervisor does not understand this request: {error}");
            say(&mut writer, &Answer::Refused { reason }).await
        }
        Ok(Request::Ps) => {
            let listing = fleet.listing().await;
            say(&mut writer, &Answer::Done(listing)).await
        }
        Ok(Request::Settle { seconds }) => {
            settle(&mut writer, &fleet, Duration::from_secs(seconds).min(LONGEST), &ended, |_| true)
                .await
        }
        Ok(Request::Act { action, kind, name, seconds }) => {
            let text = match fleet.act(action, kind, name.clone()).await {
                Ok(text) => text,
                Err(reason) => return say(&mut writer, &Answer::Refused { reason }).await,
            };
            say(&mut writer, &Answer::Note { text }).await?;
            let limit = Duration::from_secs(seconds).min(LONGEST);
            settle(&mut writer, &fleet, limit, &ended, |(of, entry)| (of, entry) == (kind, &name))
                .await
        }
        Ok(Request::Renamed { kind, old, new }) => {
            let answer = match fleet.renamed(kind, &old, &new).await {
                Ok(()) => Answer::Done(fleet.listing().await),
                Err(reason) => Answer::Refused { reason },
            };
            say(&mut writer, &answer).await
        }
        Ok(Request::Reload { seconds }) => {
            let changes = match fleet.reload().await {
                Ok(changes) => changes,
                Err(reason) => return say(&mut writer, &Answer::Refused { reason }).await,
            };
            say(&mut writer, &Answer::Changes(changes)).await?;
            settle(&mut writer, &fleet, Duration::from_secs(seconds).min(LONGEST), &ended, |_| true)
                .await
        }
        Ok(Request::Down) => {
            info!("asked to stop everything");
            stop.cancel();
            follow(&mut writer, &fleet, &ended).await
        }
    }
}

/// Tells of changes until all `awaited` entries have settled.
async fn settle(
    writer: &mut OwnedWriteHalf,
    fleet: &Fleet,
    limit: Duration,
    ended: &CancellationToken,
    awaited: impl Fn((Kind, &str)) -> bool,
) -> io::Result<()> {
    let deadline = Instant::now() + limit;
    let mut changes = fleet.changes();
    loop {
        changes.borrow_and_update();
        let listing = fleet.listing().await;
        if settled(&listing, &awaited) || Instant::now() >= deadline {
            return say(writer, &Answer::Done(listing)).await;
        }
        say(writer, &Answer::Progress(listing)).await?;
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { break },
            () = tokio::time::sleep_until(deadline) => {}
            () = ended.cancelled() => break,
        }
    }
    say(writer, &Answer::Refused { reason: "the lab is being stopped".into() }).await
}

/// Tells of changes until the lab has ended.
async fn follow(
    writer: &mut OwnedWriteHalf,
    fleet: &Fleet,
    ended: &CancellationToken,
) -> io::Result<()> {
    let mut changes = fleet.changes();
    while !ended.is_cancelled() {
        changes.borrow_and_update();
        say(writer, &Answer::Progress(fleet.listing().await)).await?;
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { ended.cancelled().await },
            () = ended.cancelled() => {}
        }
    }
    say(writer, &Answer::Done(Listing::default())).await
}

fn settled(listing: &Listing, awaited: impl Fn((Kind, &str)) -> bool) -> bool {
    let nameservers =
        listing.nameservers.iter().map(|row| (Kind::Nameserver, &row.name, &row.status));
    let daemons = listing.daemons.iter().map(|row| (Kind::Daemon, &row.name, &row.status));
    let services = listing.services.iter().map(|row| (Kind::Daemon, &row.daemon, &row.status));
    let mut all = nameservers.chain(daemons).chain(services);
    !all.any(|(kind, name, status)| {
        awaited((kind, name)) && matches!(status.as_str(), "starting" | "stopping")
    })
}

async fn say(writer: &mut OwnedWriteHalf, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_string(answer)?;
    line.push('\n');
    writer.write_all(line.as_bytes()).await
}
