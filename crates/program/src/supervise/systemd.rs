//! Notifications to systemd (`Type=notify`, watchdog): the lab is ready, lives, ends.
//!
//! Without a service manager nothing is sent.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::Instant;
use tracing::debug;

use crate::supervise::control::Listing;
use crate::supervise::entries::Fleet;

/// A lab in which something is still starting by then counts as ready.
const SETTLING: Duration = Duration::from_secs(60);

/// Extension of the service manager's stop timeout, in microseconds.
const MORE_MICROSECONDS: u32 = 30_000_000;
/// Time between two extensions.
const ASKING: Duration = Duration::from_secs(10);

/// Says that the lab is ready once it is, then that it lives, for ever.
pub(crate) async fn life(fleet: Arc<Fleet>) {
    settled(&fleet).await;
    say(&[NotifyState::Ready, NotifyState::Status(&sentence(&fleet.listing().await))]);
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let mut ticks = tokio::time::interval(limit / 3);
    loop {
        ticks.tick().await;
        // An answer of the keeper is the sign of life: a supervisor that only ticks is dead.
        let listing = fleet.listing().await;
        say(&[NotifyState::Watchdog, NotifyState::Status(&sentence(&listing))]);
    }
}

/// Says that the lab ends, then that it is still at it, for ever.
pub(crate) async fn end(fleet: Arc<Fleet>) {
    let alive = [NotifyState::Watchdog, NotifyState::ExtendTimeoutUsec(MORE_MICROSECONDS)];
    say(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(MORE_MICROSECONDS)]);
    let pause = sd_notify::watchdog_enabled().map_or(ASKING, |limit| ASKING.min(limit / 3));
    let mut ticks = tokio::time::interval(pause);
    loop {
        ticks.tick().await;
        // As long as the keeper answers, the graces of its entries are kept.
        fleet.listing().await;
        say(&alive);
    }
}

async fn settled(fleet: &Fleet) {
    let deadline = Instant::now() + SETTLING;
    let mut changes = fleet.changes();
    loop {
        changes.borrow_and_update();
        let listing = fleet.listing().await;
        let mut processes = listing.nameservers.iter().chain(&listing.daemons);
        if !processes.any(|row| row.status == "starting") {
            return;
        }
        match tokio::time::timeout_at(deadline, changes.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

fn sentence(listing: &Listing) -> String {
    let running = listing.services.iter().filter(|row| row.report.status == "running").count();
    format!("{running} of {} service(s) run", listing.services.len())
}

fn say(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "the service manager cannot be told");
    }
}
