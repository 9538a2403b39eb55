//! The thread that owns the database.
//!
//! Owns the order of changes and when they are acknowledged: not before they are on the disk. While
//! the disk is busy with some, the next ones gather and go together, so that a wait for the disk
//! is shared. A change that cannot be kept is undone and refused. A file that is deleted or replaced
//! while it is open would take all of it along: it is looked at every second, and written anew.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use remote::{BoxFuture, Exception};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info};

use super::database::{Database, DatabaseError, Loss};
use super::index::Entry;
use super::transaction::{Change, SharedIndex, Step, Transaction, undo, write};

/// Changes that may wait; who has more waits to hand them over.
const QUEUE: usize = 1024;
/// Changes that go to the disk together, at most.
const TOGETHER: usize = 1024;

/// Between two looks at the file.
const LOOK: Duration = Duration::from_secs(1);

type Reply = oneshot::Sender<Result<usize, Exception>>;

/// What the thread is to do.
enum Order {
    Change(Change, Reply),
    /// Look whether the file is still there.
    Look,
}

/// The way to the thread.
pub(super) struct Writer {
    orders: Mutex<Option<mpsc::Sender<Order>>>,
    _looking: AbortOnDropHandle<()>,
    trouble: watch::Receiver<Option<String>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(super) fn start(database: Database, index: SharedIndex) -> Result<Self, DatabaseError> {
        let (orders, queue) = mpsc::channel(QUEUE);
        let (trouble, told) = watch::channel(None);
        let thread = std::thread::Builder::new()
            .name("names".into())
            .spawn(move || Loop::new(database, index, trouble).run(queue))
            .map_err(DatabaseError::Thread)?;
        // Weak: it keeps the thread from nothing.
        let looking = tokio::spawn(look(orders.downgrade()));
        Ok(Writer {
            orders: Mutex::new(Some(orders)),
            _looking: AbortOnDropHandle::new(looking),
            trouble: told,
            thread: Mutex::new(Some(thread)),
        })
    }

    pub(super) fn change(&self, change: Change) -> BoxFuture<Result<usize, Exception>> {
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let closed = || Exception::naming_error("the nameserver is stopping");
            orders
                .ok_or_else(closed)?
                .send(Order::Change(change, reply))
                .await
                .map_err(|_| closed())?;
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

/// Has the file looked at, for as long as there is somebody to do it.
async fn look(orders: mpsc::WeakSender<Order>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(orders) = orders.upgrade() else { return };
        // Where there is no room the file is written to all the time.
        let _ = orders.try_send(Order::Look);
    }
}

/// Where changes go.
enum Place {
    Open(Database),
    /// The database was lost, and there is no new one yet.
    Lost {
        file: PathBuf,
        loss: Loss,
        /// What is to be told when there is one, if that is known already.
        told: Option<String>,
    },
}

struct Loop {
    place: Place,
    index: SharedIndex,
    /// What has become of the file; told until the end.
    notice: Option<String>,
    /// Why nothing can be kept.
    refusal: Option<String>,
    trouble: watch::Sender<Option<String>>,
}

impl Loop {
    fn new(database: Database, index: SharedIndex, trouble: watch::Sender<Option<String>>) -> Self {
        Loop { place: Place::Open(database), index, notice: None, refusal: None, trouble }
    }

    fn run(mut self, mut queue: mpsc::Receiver<Order>) {
        while let Some(first) = queue.blocking_recv() {
            let mut changes = Vec::new();
            let mut next = Some(first);
            let mut is_to_look = false;
            while let Some(order) = next {
                match order {
                    Order::Change(change, reply) => changes.push((change, reply)),
                    Order::Look => is_to_look = true,
                }
                next = match changes.len() < TOGETHER {
                    true => queue.try_recv().ok(),
                    false => None,
                };
            }
            if is_to_look {
                self.look();
            }
            if !changes.is_empty() {
                self.carry_out(changes);
            }
        }
        // What closes must be there to be opened again.
        self.look();
    }

    fn look(&mut self) {
        let refused = self.renew().err().map(|error| error.to_string());
        self.tell(refused);
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
        self.tell(refusal.as_ref().map(Exception::message));
        for (outcome, reply) in done {
            // Who does not wait for the answer any more does not want it.
            let _ = reply.send(match &refusal {
                Some(refusal) => outcome.and(Err(refusal.clone())),
                None => outcome,
            });
        }
    }

    fn keep(&mut self, steps: &[Step]) -> Result<(), DatabaseError> {
        if self.renew()? {
            // These steps were in the index already.
            return Ok(());
        }
        let Place::Open(database) = &mut self.place else { return Ok(()) };
        match database.write(steps) {
            Err(DatabaseError::Corrupt { reason, .. }) => self.begin(Loss::Corrupt(reason)),
            result => result,
        }
    }

    /// Begins a new file where the old one is lost; true if there is a new one.
    fn renew(&mut self) -> Result<bool, DatabaseError> {
        let loss = match &self.place {
            Place::Lost { loss, .. } => Some(loss.clone()),
            Place::Open(database) => database.loss(),
        };
        match loss {
            None => Ok(false),
            Some(loss) => self.begin(loss).map(|()| true),
        }
    }

    /// Writes everything that is known to a new file.
    fn begin(&mut self, loss: Loss) -> Result<(), DatabaseError> {
        let everything: Vec<Step> = {
            let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
            let step = |(name, entry): (&Arc<str>, &Arc<Entry>)| Step {
                name: Arc::clone(name),
                before: None,
                after: Some(Arc::clone(entry)),
            };
            index.with_prefix("").map(step).collect()
        };
        let gone = Place::Lost { file: PathBuf::new(), loss: loss.clone(), told: None };
        let (file, mut told) = match std::mem::replace(&mut self.place, gone) {
            Place::Open(database) => (database.close(&loss), None),
            Place::Lost { file, told, .. } => (file, told),
        };
        match Database::begin(&file, &loss, &everything, &mut told) {
            Ok(database) => {
                self.place = Place::Open(database);
                if let Some(told) = &told {
                    error!("{told}");
                }
                self.notice = told;
                Ok(())
            }
            Err(error) => {
                self.place = Place::Lost { file, loss, told };
                Err(error)
            }
        }
    }

    /// Told and logged once, not for every change.
    fn tell(&mut self, refusal: Option<String>) {
        if self.refusal != refusal {
            match &refusal {
                Some(refusal) => error!("{refusal}"),
                None => info!("the database takes changes again"),
            }
            self.refusal = refusal;
        }
        let told: Vec<&str> =
            self.notice.as_deref().into_iter().chain(self.refusal.as_deref()).collect();
        let trouble = (!told.is_empty()).then(|| told.join("; "));
        self.trouble.send_if_modified(|known| {
            let is_new = *known != trouble;
            *known = trouble;
            is_new
        });
    }
}
