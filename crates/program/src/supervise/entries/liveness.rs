//! Whether children that run still answer: a real call on each one's own listening socket.
//!
//! Owns the calls and the verdict. Killing and restarting are the keeper's. A stopped or hanging
//! process still has a socket that the kernel connects for it; only an answer tells.

use std::collections::HashMap;
use std::time::Duration;

use remote::{ClientTls, ConnectError, Error, Proxy};
use supervisor::{EntryPhase, KeeperHandle};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tracing::debug;

use super::EntryKind;
use super::in_force::InForce;
use crate::authority::AuthorityFiles;
use crate::history_process::PROCESS_NAME as HISTORY;
use crate::host::ChildReport;
use crate::web::PROCESS_NAME as WEB;

/// Between an answer and the next call.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// So many calls in a row to which nobody listens at all are as good as no answer.
const DEAF: u32 = 5;

/// The patience with a call is so many steps.
const STEPS: u32 = 16;

/// Follows all children for ever; to be dropped with the fleet.
pub(super) async fn watch(
    keeper: KeeperHandle,
    mut force: watch::Receiver<InForce>,
    authority: AuthorityFiles,
) {
    let mut watched: HashMap<(String, u32), AbortHandle> = HashMap::new();
    let mut changes = keeper.watch();
    loop {
        changes.borrow_and_update();
        let limits = force.borrow_and_update().hang_timeouts();
        let mut running = HashMap::new();
        for status in keeper.snapshot().await {
            let address = ChildReport::read(&status.detail).address;
            if let (EntryPhase::Running, Some(pid), Some(address), Some(limit)) =
                (status.phase, status.pid, address, limits.get(&status.id))
            {
                running.insert((status.id, pid), (address, *limit));
            }
        }
        watched.retain(|child, task| {
            let stays = running.contains_key(child) && !task.is_finished();
            if !stays {
                task.abort();
            }
            stays
        });
        for (child, (address, limit)) in running {
            watched.entry(child).or_insert_with_key(|(id, pid)| {
                let tls = force.borrow().tls_of(id, &authority);
                let follow = follow(keeper.clone(), id.clone(), *pid, address, limit, tls);
                tokio::spawn(follow).abort_handle()
            });
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { break },
            changed = force.changed() => if changed.is_err() { break },
        }
    }
    watched.values().for_each(AbortHandle::abort);
}

/// Calls one process again and again, until it does not answer.
async fn follow(
    keeper: KeeperHandle,
    id: String,
    pid: u32,
    address: String,
    limit: Duration,
    tls: Option<ClientTls>,
) {
    let mut deaf = 0;
    loop {
        tokio::time::sleep(PROBE_INTERVAL).await;
        let answer = match Proxy::new(&address) {
            Ok(proxy) => {
                let proxy = match &tls {
                    Some(tls) => proxy.with_tls(tls.clone()),
                    None => proxy,
                };
                ask(proxy, limit).await
            }
            Err(error) => {
                debug!(entry = id, %error, "cannot be called, so it is not watched");
                return;
            }
        };
        deaf = match answer {
            Answer::Alive => 0,
            Answer::Deaf => deaf + 1,
            Answer::None => DEAF,
        };
        if deaf >= DEAF {
            let reason = match answer {
                Answer::Deaf => "nobody listens on its socket any more".to_owned(),
                _ => format!(
                    "it hangs: no answer to a call on its own socket within {} s",
                    limit.as_secs_f64()
                ),
            };
            keeper.kill_as_crashed(&id, pid, reason);
            return;
        }
    }
}

#[derive(Clone, Copy)]
enum Answer {
    /// It answered; a refusal too is an answer.
    Alive,
    /// Nobody listens.
    Deaf,
    /// It was called, and nothing came.
    None,
}

async fn ask(mut proxy: Proxy, limit: Duration) -> Answer {
    // The limit is the whole call's, so the proxy has none for each step.
    let called = tokio::select! {
        // An answer that has come counts, even a late one.
        biased;
        called = proxy.ping() => called,
        () = patience(limit) => return Answer::None,
    };
    match called {
        Err(Error::Connect { source: ConnectError::Io(error), .. })
            if matches!(
                error.kind(),
                std::io::ErrorKind::ConnectionRefused | std::io::ErrorKind::NotFound
            ) =>
        {
            Answer::Deaf
        }
        _ => Answer::Alive,
    }
}

/// So long in which this process itself runs. It may be stopped (Ctrl-Z, a debugger, a frozen
/// container) while an answer comes; that is one long step here, and leaves it time to read.
async fn patience(limit: Duration) {
    for _ in 0..STEPS {
        tokio::time::sleep(limit / STEPS).await;
    }
}

impl InForce {
    /// How long each entry may leave a call without an answer, by its id.
    fn hang_timeouts(&self) -> HashMap<String, Duration> {
        let nameservers = self.configuration.nameservers.iter();
        let nameservers =
            nameservers.map(|ns| (EntryKind::Nameserver.id(&ns.name), ns.supervision.hang_timeout));
        let daemons = self.configuration.daemons.iter();
        let daemons = daemons
            .map(|daemon| (EntryKind::Daemon.id(&daemon.name), daemon.supervision.hang_timeout));
        let history = self.configuration.history.iter();
        let history = history
            .map(|history| (EntryKind::Process.id(HISTORY), history.supervision.hang_timeout));
        let web = self.configuration.web.iter();
        let web = web.map(|web| (EntryKind::Process.id(WEB), web.supervision.hang_timeout));
        nameservers
            .chain(daemons)
            .chain(history)
            .chain(web)
            .filter_map(|(id, limit)| Some((id, limit?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pause_of_our_own_does_not_count() {
        let limit = Duration::from_secs(8);
        let waiting = tokio::spawn(async move {
            patience(limit).await;
            Instant::now()
        });
        tokio::task::yield_now().await;
        // A minute in which nothing of this process runs.
        tokio::time::advance(Duration::from_secs(60)).await;
        let again = Instant::now();
        assert!(waiting.await.unwrap() - again > limit * 3 / 4);
        let begun = Instant::now();
        patience(limit).await;
        assert!(begun.elapsed() < limit + Duration::from_millis(100), "nor does it take longer");
    }
}
