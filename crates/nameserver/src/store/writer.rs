//! The thread that owns the database and writes changes to it in order.
//!
//! A change is acknowledged when it is on the disk. Changes that arrive while the disk is busy are
//! written together, so that they share one wait. A change that cannot be written is undone and
//! refused. A file that is deleted or replaced while it is open would lose all names: it is checked
//! every second, and written anew.

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

/// Changes in the queue; a caller waits for room in it.
const QUEUE_LENGTH: usize = 1024;
/// Changes that are written together, at most.
const MAX_CHANGES_PER_WRITE: usize = 1024;

/// Time between two checks of the file.
const FILE_CHECK_INTERVAL: Duration = Duration::from_secs(1);

type Reply = oneshot::Sender<Result<usize, Exception>>;

/// A message to the thread.
enum Order {
    Change(Change, Reply),
    /// Check that the file is still there.
    CheckFile,
}

/// Handle of the thread.
pub(super) struct Writer {
    orders: Mutex<Option<mpsc::Sender<Order>>>,
    _checking: AbortOnDropHandle<()>,
    trouble: watch::Receiver<Option<String>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(super) fn start(database: Database, index: SharedIndex) -> Result<Self, DatabaseError> {
        let (orders, queue) = mpsc::channel(QUEUE_LENGTH);
        let (trouble, told) = watch::channel(None);
        let thread = std::thread::Builder::new()
            .name("names".into())
            .spawn(move || Loop::new(database, index, trouble).run(queue))
            .map_err(DatabaseError::Thread)?;
        // Weak, so that the thread can end.
        let checking = tokio::spawn(request_file_checks(orders.downgrade()));
        Ok(Writer {
            orders: Mutex::new(Some(orders)),
            _checking: AbortOnDropHandle::new(checking),
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

/// Asks for checks of the file, as long as the thread runs.
async fn request_file_checks(orders: mpsc::WeakSender<Order>) {
    loop {
        tokio::time::sleep(FILE_CHECK_INTERVAL).await;
        let Some(orders) = orders.upgrade() else { return };
        // While the queue is full every write checks the file.
        let _ = orders.try_send(Order::CheckFile);
    }
}

/// The file that changes are written to.
enum Place {
    Open(Database),
    /// The database is lost, and a new one could not be made yet.
    Lost {
        file: PathBuf,
        loss: Loss,
        /// The notice for when there is a new one, if it is known already.
        told: Option<String>,
    },
}

struct Loop {
    place: Place,
    index: SharedIndex,
    /// The notice about a lost file; shown until the process ends.
    notice: Option<String>,
    /// The reason why changes are refused.
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
            let mut is_to_check = false;
            while let Some(order) = next {
                match order {
                    Order::Change(change, reply) => changes.push((change, reply)),
                    Order::CheckFile => is_to_check = true,
                }
                next = match changes.len() < MAX_CHANGES_PER_WRITE {
                    true => queue.try_recv().ok(),
                    false => None,
                };
            }
            if is_to_check {
                self.check_file();
            }
            if !changes.is_empty() {
                self.carry_out(changes);
            }
        }
        // The file must exist for the next start.
        self.check_file();
    }

    fn check_file(&mut self) {
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
                // Acknowledged together: an outcome may rest on steps of changes before it.
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
            // The caller may be gone.
            let _ = reply.send(match &refusal {
                Some(refusal) => outcome.and(Err(refusal.clone())),
                None => outcome,
            });
        }
    }

    fn keep(&mut self, steps: &[Step]) -> Result<(), DatabaseError> {
        if self.renew()? {
            // The new file was written from the index, which has these steps.
            return Ok(());
        }
        let Place::Open(database) = &mut self.place else { return Ok(()) };
        match database.write(steps) {
            Err(DatabaseError::Corrupt { reason, .. }) => self.begin(Loss::Corrupt(reason)),
            result => result,
        }
    }

    /// Makes a new file if the old one is lost; true if it did.
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

    /// Writes all names to a new file.
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

    /// Reports and logs a refusal once, not for every change.
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
