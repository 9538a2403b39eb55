//! The store in this process: opened as soon as its disk allows, maintained each second.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use history::{AppendError, Batch, Moment, Settings, Store};
use supervisor::Lifeline;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tracing::{info, warn};

use crate::host::ChildReport;

/// Time between two looks at what is due. A killed process loses less than this of what a power cut
/// may take; of what a kill may take it loses nothing.
const MAINTENANCE: Duration = Duration::from_secs(1);

/// The store, and how it stands.
pub(super) struct Recorder {
    settings: Settings,
    started: Instant,
    store: watch::Sender<Option<Arc<Store>>>,
    /// Why the last batch was refused; none after one was taken.
    refused: Mutex<Option<String>>,
}

impl Recorder {
    /// A recorder that opens its store in [`report`](Self::report).
    pub(super) fn start(settings: Settings) -> Self {
        let store = watch::Sender::new(None);
        Recorder { settings, started: Instant::now(), store, refused: Mutex::default() }
    }

    /// Both clocks, now.
    pub(super) fn now(&self) -> Moment {
        let wall = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
        };
        Moment { wall, steady: self.started.elapsed() }
    }

    /// The store, once it is open.
    pub(super) fn store(&self) -> Option<Arc<Store>> {
        self.store.borrow().clone()
    }

    /// Waits for the store.
    pub(super) async fn opened(&self) -> Arc<Store> {
        let mut store = self.store.subscribe();
        loop {
            if let Some(store) = store.borrow_and_update().clone() {
                return store;
            }
            if store.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Records a batch; after a refusal again and again until it is taken.
    pub(super) async fn record(&self, batch: Batch) {
        let store = self.opened().await;
        loop {
            let (next, now) = (batch.clone(), self.now());
            let target = Arc::clone(&store);
            let appended = tokio::task::spawn_blocking(move || target.append(next, now)).await;
            let refused = match appended {
                Ok(Ok(())) => None,
                Ok(Err(error @ AppendError::Full { .. })) => {
                    // The words by which `status` knows a full disk.
                    Some(format!("{error} (No space left on device)"))
                }
                Ok(Err(error)) => Some(error.to_string()),
                Err(error) => Some(format!("recording broke off: {error}")),
            };
            let is_taken = refused.is_none();
            self.note_refusal(refused);
            if is_taken {
                return;
            }
            tokio::time::sleep(MAINTENANCE).await;
        }
    }

    fn note_refusal(&self, refused: Option<String>) {
        let mut last = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*last, &refused) {
            (None, Some(reason)) => warn!("{reason}"),
            (Some(_), None) => info!("recording goes on"),
            _ => {}
        }
        *last = refused;
    }

    /// Opens the store, keeps it in order and reports how it stands, for ever.
    pub(super) async fn report(
        &self,
        report: impl Fn(Vec<String>) -> ChildReport,
        lifeline: &Lifeline,
    ) {
        let mut ticks = tokio::time::interval(MAINTENANCE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last: Option<ChildReport> = None;
        loop {
            ticks.tick().await;
            let problems = self.maintain().await;
            let next = report(problems);
            match &last {
                None => lifeline.ready(next.to_json()),
                Some(last) if *last != next => {
                    lifeline.status(next.to_json());
                }
                Some(_) => continue,
            }
            if let Some(warning) = &next.warning {
                warn!("{warning}");
            }
            last = Some(next);
        }
    }

    /// One pass; what is wrong, a sentence each.
    async fn maintain(&self) -> Vec<String> {
        let (store, settings, now) = (self.store(), self.settings.clone(), self.now());
        let done = tokio::task::spawn_blocking(move || match store {
            Some(store) => Ok((None, store.maintain(now))),
            None => Store::open(settings, now).map(|store| {
                let problems = store.maintain(now);
                (Some(Arc::new(store)), problems)
            }),
        });
        let mut problems = match done.await {
            Ok(Ok((opened, problems))) => {
                if opened.is_some() {
                    self.store.send_replace(opened);
                }
                problems
            }
            Ok(Err(error)) => {
                vec![format!("recording has not begun: {error}")]
            }
            Err(error) => vec![format!("the store broke off: {error}")],
        };
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(refused) = refused
            && problems.is_empty()
        {
            problems.push(refused);
        }
        problems
    }

    /// Makes all that was recorded durable.
    pub(super) fn flush(&self) {
        if let Some(store) = self.store() {
            store.flush();
        }
    }
}
