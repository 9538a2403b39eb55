//! The thread that owns the database.
//!
//! Owns the order of changes and when they are acknowledged: not before they are on the disk. While
//! the disk is busy with some, the next ones gather and go together, so that a wait for the disk
//! is shared. A change that cannot be kept is undone and refused.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use remote::{BoxFuture, Exception};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, info};

use super::database::{Database, DatabaseError};
use super::{Change, Entry, SharedIndex, Step, Transaction, undo, write};

/// Changes that may wait; who has more waits to hand them over.
const QUEUE: usize = 1024;
/// Changes that go to the disk together, at most.
const TOGETHER: usize = 1024;

type Reply = oneshot::Sender<Result<usize, Exception>>;

/// The way to the thread.
pub(super) struct Writer {
    orders: Mutex<Option<mpsc::Sender<(Change, Reply)>>>,
    trouble: watch::Receiver<Option<String>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(super) fn start(database: Database, index: SharedIndex) -> Result<Self, DatabaseError> {
        let (orders, queue) = mpsc::channel(QUEUE);
        let (trouble, told) = watch::channel(None);
        let thread = std::thread::Builder::new()
            .name("names".into())
            .spawn(move || Loop { place: Place::Open(database), index, trouble }.run(queue))
            .map_err(DatabaseError::Thread)?;
        Ok(Writer {
            orders: Mutex::new(Some(orders)),
            trouble: told,
            thread: Mutex::new(Some(thread)),
        })
    }

    pub(super) fn change(&self, change: Change) -> BoxFuture<Result<usize, Exception>> {
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let closed = || Exception::naming_error("the nameserver is stopping");
            orders.ok_or_else(closed)?.send((change, reply)).await.map_err(|_| closed())?;
            answer.await.unwrap_or_else(|_| Err(closed()))
        })
    }

    pub(super) fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.clone()
    }

    pub(super) async fn close(&self) {
        drop(self.orders.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let joined = tokio::task::spawn_blocking(move || thread.join().is_ok()).await;
            if !matches!(joined, Ok(true)) {
                error!("the thread that writes the database has panicked");
            }
        }
    }
}

/// Where changes go.
enum Place {
    Open(Database),
    /// The database was lost, and there is no new one yet.
    Lost(PathBuf),
}

struct Loop {
    place: Place,
    index: SharedIndex,
    trouble: watch::Sender<Option<String>>,
}

impl Loop {
    fn run(mut self, mut queue: mpsc::Receiver<(Change, Reply)>) {
        while let Some(first) = queue.blocking_recv() {
            let mut orders = vec![first];
            while orders.len() < TOGETHER
                && let Ok(next) = queue.try_recv()
            {
                orders.push(next);
            }
            self.carry_out(orders);
        }
    }

    fn carry_out(&mut self, orders: Vec<(Change, Reply)>) {
        let mut steps = Vec::new();
        let mut done = Vec::new();
        {
            let mut index = write(&self.index);
            for (change, reply) in orders {
                let (outcome, mut its_steps) = Transaction::run(&mut index, change);
                // An answer that rests on others' unwritten steps waits for those all the same.
                done.push((outcome, reply));
                steps.append(&mut its_steps);
            }
        }
        let kept = if steps.is_empty() { Ok(()) } else { self.keep(&steps) };
        let refusal = kept.err().map(|error| {
            undo(&mut write(&self.index), steps);
            Exception::naming_error(format!("the nameserver cannot keep this: {error}"))
        });
        self.tell(refusal.as_ref());
        for (outcome, reply) in done {
            // Who does not wait for the answer any more does not want it.
            let _ = reply.send(match &refusal {
                Some(refusal) => outcome.and(Err(refusal.clone())),
                None => outcome,
            });
        }
    }

    fn keep(&mut self, steps: &[Step]) -> Result<(), DatabaseError> {
        let reason = match &mut self.place {
            Place::Lost(_) => "there was none to write to".to_owned(),
            Place::Open(database) if database.is_gone() => {
                "it was deleted while the nameserver ran".to_owned()
            }
            Place::Open(database) => match database.write(steps) {
                Err(DatabaseError::Corrupt { reason, .. }) => reason,
                result => return result,
            },
        };
        // Everything that is known goes to a new file: these steps are in the index already.
        let everything: Vec<Step> = {
            let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
            let step = |(name, entry): (&Arc<str>, &Arc<Entry>)| Step {
                name: Arc::clone(name),
                before: None,
                after: Some(Arc::clone(entry)),
            };
            index.with_prefix("").map(step).collect()
        };
        let file = match std::mem::replace(&mut self.place, Place::Lost(PathBuf::new())) {
            Place::Open(database) => database.close(),
            Place::Lost(file) => file,
        };
        let begun = Database::begin(&file, &reason, &everything);
        match begun {
            Ok(database) => self.place = Place::Open(database),
            Err(error) => {
                self.place = Place::Lost(file);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Told and logged once, not for every change.
    fn tell(&self, refusal: Option<&Exception>) {
        let trouble = refusal.map(Exception::message);
        self.trouble.send_if_modified(|known| {
            if *known == trouble {
                return false;
            }
            match &trouble {
                Some(trouble) => error!("{trouble}"),
                None => info!("the database takes changes again"),
            }
            *known = trouble.clone();
            true
        });
    }
}
