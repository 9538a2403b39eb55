//! Tasks that keep the copy of the lab up to date.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::feeds::{FeedReaders, flush_samples};
use super::follow_log::follow_log;
use super::live::{LiveLab, SupervisorState};
use super::others::OtherLabs;
use crate::daemon_keys::DaemonKeys;
use crate::paths::Paths;
use crate::supervise::control::client::{Client, ControlError, News};
use crate::supervise::control::{Listing, Request};

/// Between two attempts to reach the supervisor.
const FOLLOWER_RETRY_INTERVAL: Duration = Duration::from_millis(300);
/// A supervisor that says nothing for so long hangs or is stopped: it speaks once a second.
/// The page says so within 2 s.
const MAX_SILENCE: Duration = Duration::from_millis(1800);

/// A listing, or the reason why it is missing.
type ListingNews = Result<Arc<Listing>, String>;

/// Follows the supervisor at `socket`, the feeds of its daemons, other labs and the log until
/// `stopping`.
pub(in crate::web) fn follow(
    socket: PathBuf,
    log_file: PathBuf,
    keys: Arc<DaemonKeys>,
    paths: Paths,
    stopping: &CancellationToken,
) -> Arc<LiveLab> {
    let lab = Arc::new(LiveLab::new(keys, OtherLabs::new(paths)));
    let (news, listings) = watch::channel(Err("it has not answered yet".to_owned()));
    let ask = async move {
        loop {
            let error = watch_supervisor(&socket, &news).await;
            let _ = news.send_replace(Err(error.to_string()));
            sleep(FOLLOWER_RETRY_INTERVAL).await;
        }
    };
    tokio::spawn(stopping.clone().run_until_cancelled_owned(ask));
    let take_up = take_up(Arc::clone(&lab), listings);
    tokio::spawn(stopping.clone().run_until_cancelled_owned(take_up));
    let flush = flush_samples(Arc::clone(&lab));
    tokio::spawn(stopping.clone().run_until_cancelled_owned(flush));
    let log = follow_log(Arc::clone(&lab), log_file);
    tokio::spawn(stopping.clone().run_until_cancelled_owned(log));
    lab
}

/// Takes up each listing; a silence counts as an error.
async fn take_up(lab: Arc<LiveLab>, mut listings: watch::Receiver<ListingNews>) {
    let mut readers = FeedReaders::default();
    loop {
        let changed = timeout(MAX_SILENCE, listings.changed()).await;
        let news = match changed {
            Ok(Ok(())) => listings.borrow_and_update().clone(),
            Ok(Err(_)) => return,
            Err(_) => {
                let silent = "it says nothing: it is stopped, or it hangs".to_owned();
                Err(listings.borrow().clone().err().unwrap_or(silent))
            }
        };
        match news {
            Ok(listing) => {
                lab.show(Arc::clone(&listing));
                readers.follow(&lab, &listing);
                lab.others.follow(&lab.ring, &listing.labs);
            }
            Err(error) => lab.show_supervisor(SupervisorState { up: false, error: Some(error) }),
        }
    }
}

/// Sends on each listing of the supervisor, until it ends or is lost.
async fn watch_supervisor(socket: &Path, news: &watch::Sender<ListingNews>) -> ControlError {
    let client = match Client::connect(socket).await {
        Ok(client) => client,
        Err(error) => return error,
    };
    let hear = |part: News<'_>| {
        if let News::Progress(listing) = part {
            let _ = news.send_replace(Ok(Arc::new(listing.clone())));
        }
    };
    match client.ask_for_news(&Request::Watch, hear).await {
        Ok(_) => ControlError::Ending,
        Err(error) => error,
    }
}
