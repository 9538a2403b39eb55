//! `Pyro.NameServer`: the names as a Pyro5 object.
//!
//! Owns how calls are carried out, alone and in batches. What they come to is [`plan`]'s.

use std::sync::Arc;

use remote::{
    Answer, AnswerMemory, CallResult, Context, Exception, Metadata, MethodCall, Object, Operation,
    Reply, Request, Session, Value,
};
use tokio::sync::oneshot;
use wire::exception::wrap_in_batch;

use crate::directory::{self, Which};
use crate::leases;
use crate::limits::Budget;
use crate::plan::{Found, Plan, Question, Then, plan};
use crate::search::{Searches, Sought};
use crate::snapshot::Selection;
use crate::store::{Change, Changed, Store};

/// Calls of a batch that are carried out together, at most: others wait as long.
const TOGETHER: usize = 1000;

/// Names and tags that are looked at where they are, at most; a question that takes more is a search.
const FEW: usize = 1000;

/// The nameserver's object.
pub struct NameServerObject {
    desk: Desk,
}

/// Where calls are carried out.
#[derive(Clone)]
struct Desk {
    store: Arc<Store>,
    searches: Searches,
}

impl NameServerObject {
    /// The object over the names of `store`.
    pub fn new(store: Arc<Store>) -> Self {
        let searches = Searches::new(Arc::clone(&store));
        NameServerObject { desk: Desk { store, searches } }
    }

    fn call_method(&self, call: MethodCall, context: &Context) -> Answer {
        let desk = self.desk.clone();
        let longer = match plan(call) {
            Err(exception) => return Answer::exception(exception),
            Ok(Plan::Ask(question)) => {
                let found = question(&desk.store.read());
                match found {
                    Err(exception) => return Answer::exception(exception),
                    Ok(found) if found.is_little() => {
                        return Answer::from(put(found, &mut Budget::default()));
                    }
                    Ok(found) => Longer::Put(found),
                }
            }
            Ok(Plan::List { which, with_metadata }) => {
                let few = desk.few(&which, with_metadata);
                match few {
                    Some(few) => return Answer::from(put(few, &mut Budget::default())),
                    None => Longer::List { sought: Sought::Names(which), with_metadata },
                }
            }
            Ok(Plan::Change(change, value)) => {
                return match desk.store.change(change) {
                    Changed::Now(outcome) => Answer::from(outcome.map(value)),
                    Changed::Later(outcome) => Answer::Pending(Box::pin(async move {
                        outcome.await.map(|count| Reply::from(value(count)))
                    })),
                };
            }
            Ok(Plan::Search { pattern, then: Then::List { with_metadata } }) => {
                Longer::List { sought: Sought::Pattern(pattern), with_metadata }
            }
            Ok(Plan::Search { pattern, then: Then::Remove }) => Longer::Remove { pattern },
        };
        let mut budget = Budget::of(context);
        Answer::Pending(Box::pin(async move {
            let value = desk.take_time(longer, &mut budget).await?;
            Ok(reply(value, budget.room()))
        }))
    }
}

/// What takes longer.
enum Longer {
    /// To put something large into words.
    Put(Found),
    List {
        sought: Sought,
        with_metadata: bool,
    },
    Remove {
        pattern: String,
    },
}

/// One step of a batch that takes no time to speak of.
enum Step {
    Ask(Question),
    Change(Change, fn(usize) -> Value),
}

/// What some steps of a batch came to: as many results as were made, and why there are no more.
#[derive(Default)]
struct Results {
    found: Vec<Found>,
    failure: Option<Exception>,
}

impl Desk {
    /// Carries out a batch in order, up to the first call that raises. All of it together may take
    /// no more of the answer and of time for searches than a single call.
    ///
    /// Changes that follow each other are one change, which waits for the disk once; the small
    /// questions between them belong to it. What takes longer has its turn between two changes:
    /// everybody else would wait for it.
    async fn batch(self, calls: Vec<MethodCall>, mut budget: Budget) -> CallResult {
        let mut results = Vec::with_capacity(calls.len());
        // Kept here, since the budget goes with the call that fails.
        let room = budget.room();
        let mut calls = calls.into_iter();
        loop {
            let (mut steps, mut last, mut failure) = (Vec::new(), None, None);
            let mut is_done = false;
            while steps.len() < TOGETHER && last.is_none() && failure.is_none() && !is_done {
                match calls.next().map(plan) {
                    Some(Ok(Plan::Ask(question))) => steps.push(Step::Ask(question)),
                    Some(Ok(Plan::Change(change, value))) => {
                        steps.push(Step::Change(change, value));
                    }
                    Some(Ok(longer)) => last = Some(longer),
                    Some(Err(exception)) => failure = Some(exception),
                    None => is_done = true,
                }
            }
            let made = self.take(steps, &mut budget).await?;
            results.extend(self.put_all(made.found, &budget).await?);
            failure = made.failure.or(failure);
            if let (None, Some(longer)) = (&failure, last) {
                match self.carry_out(longer, &mut budget).await {
                    Ok(value) => results.push(value),
                    Err(exception) => failure = Some(exception),
                }
            }
            if let Some(exception) = &failure {
                results.push(wrap_in_batch(exception));
            }
            if is_done || failure.is_some() {
                return Ok(reply(Value::List(results), room));
            }
            tokio::task::yield_now().await;
        }
    }

    /// Takes steps in order. Only a change shuts others out meanwhile.
    async fn take(&self, steps: Vec<Step>, budget: &mut Budget) -> Result<Results, Exception> {
        let has_change = steps.iter().any(|step| matches!(step, Step::Change(..)));
        if !has_change {
            let mut results = Results::default();
            let names = self.store.read();
            for step in steps {
                let Step::Ask(question) = step else { continue };
                if !results.add(question(&names), budget) {
                    break;
                }
            }
            return Ok(results);
        }
        let (done, made) = oneshot::channel();
        let mut left = std::mem::take(budget);
        let change: Change = Box::new(move |names| {
            let mut results = Results::default();
            for step in steps {
                let result = match step {
                    Step::Ask(question) => question(names.index()),
                    Step::Change(change, value) => change(names).map(value).map(Found::Value),
                };
                if !results.add(result, &mut left) {
                    break;
                }
            }
            // Who does not wait any more does not want the results.
            let _ = done.send((results, left));
            Ok(0)
        });
        if let Err(refusal) = self.store.change(change).wait().await {
            // What was kept before stays kept: the batch ends here.
            return Ok(Results { found: Vec::new(), failure: Some(refusal) });
        }
        let (results, left) =
            made.await.map_err(|_| Exception::naming_error("the nameserver is stopping"))?;
        *budget = left;
        Ok(results)
    }

    /// Carries out one call of a batch.
    async fn carry_out(&self, plan: Plan, budget: &mut Budget) -> Result<Value, Exception> {
        let longer = match plan {
            Plan::Ask(question) => {
                let found = question(&self.store.read());
                Longer::Put(found?)
            }
            Plan::Change(change, value) => {
                return self.store.change(change).wait().await.map(value);
            }
            Plan::List { which, with_metadata } => match self.few(&which, with_metadata) {
                Some(few) => return put(few, budget),
                None => Longer::List { sought: Sought::Names(which), with_metadata },
            },
            Plan::Search { pattern, then: Then::List { with_metadata } } => {
                Longer::List { sought: Sought::Pattern(pattern), with_metadata }
            }
            Plan::Search { pattern, then: Then::Remove } => Longer::Remove { pattern },
        };
        self.take_time(longer, budget).await
    }

    /// The names that are asked for, where they are few and soon put into words.
    fn few(&self, which: &Which, with_metadata: bool) -> Option<Found> {
        let names = which.find(&self.store.read(), FEW)?;
        Some(Found::Names { names, with_metadata }).filter(Found::is_little)
    }

    async fn take_time(&self, longer: Longer, budget: &mut Budget) -> Result<Value, Exception> {
        match longer {
            Longer::Put(found) => {
                found.charge(budget)?;
                self.put_apart(budget, || found.into_value()).await
            }
            Longer::List { sought, with_metadata } => {
                self.seek(sought, with_metadata, budget).await
            }
            Longer::Remove { pattern } => {
                let sought = Sought::Pattern(pattern);
                let names = |names: Selection, _: &mut Budget| Ok(names.named().cloned().collect());
                let names = self.searches.find(sought, budget, names).await?;
                let change = directory::remove_found(names);
                self.store.change(change).wait().await.map(Value::from)
            }
        }
    }

    /// Looks for names, and puts them into words where that keeps nobody waiting either. Where there
    /// is no room for those, what was found is let go meanwhile, and looked for anew.
    async fn seek(
        &self,
        sought: Sought,
        with_metadata: bool,
        budget: &mut Budget,
    ) -> Result<Value, Exception> {
        loop {
            let before = budget.clone();
            let put = move |names, left: &mut Budget| {
                let found = Found::Many { names, with_metadata };
                found.charge(left)?;
                left.has_room().then(|| found.into_value()).transpose()
            };
            if let Some(value) = self.searches.find(sought.clone(), budget, put).await? {
                return Ok(value);
            }
            budget.wait_for_room().await?;
            *budget = before;
        }
    }

    /// Puts into words what `budget` has been charged with.
    async fn put_all(&self, found: Vec<Found>, budget: &Budget) -> Result<Vec<Value>, Exception> {
        let put = || found.into_iter().map(Found::into_value).collect();
        if budget.is_small() { put() } else { self.put_apart(budget, put).await }
    }

    /// Puts something large into words, when there is room for it and where it keeps nobody waiting.
    async fn put_apart<T: Send + 'static>(
        &self,
        budget: &Budget,
        put: impl FnOnce() -> Result<T, Exception> + Send + 'static,
    ) -> Result<T, Exception> {
        budget.wait_for_room().await?;
        self.searches.apart(|_| put()).await
    }
}

impl Results {
    /// False where the batch ends.
    fn add(&mut self, result: Result<Found, Exception>, budget: &mut Budget) -> bool {
        let charged = result.and_then(|found| found.charge(budget).map(|()| found));
        match charged {
            Ok(found) => self.found.push(found),
            Err(exception) => self.failure = Some(exception),
        }
        self.failure.is_none()
    }
}

/// An answer with the room that it has taken.
fn reply(value: Value, room: Option<AnswerMemory>) -> Reply {
    Reply { memory: room.filter(AnswerMemory::is_reserved), ..Reply::from(value) }
}

/// Puts what was found into words, as far as there is room for it.
fn put(found: Found, budget: &mut Budget) -> Result<Value, Exception> {
    found.charge(budget)?;
    found.into_value()
}

impl Object for NameServerObject {
    fn metadata(&self) -> Result<Metadata, Exception> {
        Ok(Metadata::methods([
            "count",
            "list",
            "lookup",
            "ping",
            "register",
            "remove",
            leases::METHOD,
            "set_metadata",
            "yplookup",
        ]))
    }

    fn call(&self, _session: &Arc<Session>, request: Request) -> Answer {
        match request.operation {
            Operation::Call(call) if call.method == leases::METHOD => {
                leases::renew(&self.desk.store, call)
            }
            Operation::Call(call) => self.call_method(call, &request.context),
            Operation::Batch(calls) => {
                let budget = Budget::of(&request.context);
                Answer::Pending(Box::pin(self.desk.clone().batch(calls, budget)))
            }
            other => Answer::exception(other.unexposed()),
        }
    }
}
