//! `Pyro.NameServer`: the names as a Pyro5 object.
//!
//! Owns how calls are carried out, alone and in batches. What they come to is [`plan`]'s.

use std::sync::Arc;

use remote::{
    Answer, CallResult, Exception, Metadata, MethodCall, Object, Operation, Reply, Request,
    Session, Value,
};
use tokio::sync::oneshot;
use wire::exception::wrap_in_batch;

use crate::nameserver::directory;
use crate::nameserver::limits::Budget;
use crate::nameserver::plan::{Found, Plan, Question, Then, plan};
use crate::nameserver::search::{Searches, Sought};
use crate::nameserver::store::{Change, Changed, Store};

/// Calls of a batch that are carried out together, at most: others wait as long.
const TOGETHER: usize = 1000;

/// Names and tags that are looked at where they are, at most; a question that takes more is a search.
const FEW: usize = 1000;

/// The nameserver's object.
pub(crate) struct NameServerObject {
    desk: Desk,
}

/// Where calls are carried out.
#[derive(Clone)]
struct Desk {
    store: Arc<Store>,
    searches: Searches,
}

impl NameServerObject {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        let searches = Searches::new(Arc::clone(&store));
        NameServerObject { desk: Desk { store, searches } }
    }

    fn call_method(&self, call: MethodCall) -> Answer {
        let desk = self.desk.clone();
        match plan(call) {
            Err(exception) => Answer::exception(exception),
            Ok(Plan::Ask(question)) => {
                let found = question(&desk.store.read());
                Answer::from(found.and_then(|found| put(found, &mut Budget::default())))
            }
            Ok(Plan::List { which, with_metadata }) => {
                let few = which.find(&desk.store.read(), FEW);
                match few {
                    Some(names) => {
                        let found = Found::Names { names, with_metadata };
                        Answer::from(put(found, &mut Budget::default()))
                    }
                    None => Answer::Pending(Box::pin(async move {
                        let sought = Sought::Names(which);
                        let mut budget = Budget::default();
                        desk.seek(sought, with_metadata, &mut budget).await.map(Reply::from)
                    })),
                }
            }
            Ok(Plan::Change(change, value)) => match desk.store.change(change) {
                Changed::Now(outcome) => Answer::from(outcome.map(value)),
                Changed::Later(outcome) => Answer::Pending(Box::pin(async move {
                    outcome.await.map(|count| Reply::from(value(count)))
                })),
            },
            Ok(Plan::Search { pattern, then }) => Answer::Pending(Box::pin(async move {
                desk.search(pattern, then, &mut Budget::default()).await.map(Reply::from)
            })),
        }
    }
}

/// One step of a batch that takes no time to speak of.
enum Step {
    Ask(Question),
    Change(Change, fn(usize) -> Value),
}

/// What some steps of a batch came to: as many results as were made, and why there are no more.
#[derive(Default)]
struct Results {
    values: Vec<Value>,
    failure: Option<Exception>,
}

impl Desk {
    /// Carries out a batch in order, up to the first call that raises. All of it together may take
    /// no more of the answer and of time for searches than a single call.
    ///
    /// Changes that follow each other are one change, which waits for the disk once; the small
    /// questions between them belong to it. What takes longer has its turn between two changes:
    /// everybody else would wait for it.
    async fn batch(self, calls: Vec<MethodCall>) -> CallResult {
        let mut results = Vec::with_capacity(calls.len());
        let mut budget = Budget::default();
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
            results.extend(made.values);
            failure = made.failure.or(failure);
            if let (None, Some(longer)) = (&failure, last) {
                match self.list(longer, &mut budget).await {
                    Ok(value) => results.push(value),
                    Err(exception) => failure = Some(exception),
                }
            }
            if let Some(exception) = &failure {
                results.push(wrap_in_batch(exception));
            }
            if is_done || failure.is_some() {
                return Ok(Reply::from(Value::List(results)));
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
                if !results.add(question(&names).and_then(|found| put(found, budget))) {
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
                    Step::Ask(question) => {
                        question(names.index()).and_then(|found| put(found, &mut left))
                    }
                    Step::Change(change, value) => change(names).map(value),
                };
                if !results.add(result) {
                    break;
                }
            }
            // Who does not wait any more does not want the results.
            let _ = done.send((results, left));
            Ok(0)
        });
        if let Err(refusal) = self.store.change(change).wait().await {
            // What was kept before stays kept: the batch ends here.
            return Ok(Results { values: Vec::new(), failure: Some(refusal) });
        }
        let (results, left) =
            made.await.map_err(|_| Exception::naming_error("the nameserver is stopping"))?;
        *budget = left;
        Ok(results)
    }

    /// Carries out what has to do with many names, or with few among many.
    async fn list(&self, plan: Plan, budget: &mut Budget) -> Result<Value, Exception> {
        match plan {
            Plan::Ask(question) => {
                let found = question(&self.store.read());
                put(found?, budget)
            }
            Plan::List { which, with_metadata } => {
                let few = which.find(&self.store.read(), FEW);
                match few {
                    Some(names) => put(Found::Names { names, with_metadata }, budget),
                    None => self.seek(Sought::Names(which), with_metadata, budget).await,
                }
            }
            Plan::Change(change, value) => self.store.change(change).wait().await.map(value),
            Plan::Search { pattern, then } => self.search(pattern, then, budget).await,
        }
    }

    async fn search(
        &self,
        pattern: String,
        then: Then,
        budget: &mut Budget,
    ) -> Result<Value, Exception> {
        let sought = Sought::Pattern(pattern);
        match then {
            Then::List { with_metadata } => self.seek(sought, with_metadata, budget).await,
            Then::Remove => {
                let names = self.searches.find(sought, budget, |names, _| Ok(names)).await?;
                let change = directory::remove_found(names);
                self.store.change(change).wait().await.map(Value::from)
            }
        }
    }
}

impl Desk {
    /// Looks for names, and puts them into words where that keeps nobody waiting either.
    async fn seek(
        &self,
        sought: Sought,
        with_metadata: bool,
        budget: &mut Budget,
    ) -> Result<Value, Exception> {
        let put = move |names, left: &mut Budget| put(Found::Names { names, with_metadata }, left);
        self.searches.find(sought, budget, put).await
    }
}

impl Results {
    /// False where the batch ends.
    fn add(&mut self, result: Result<Value, Exception>) -> bool {
        match result {
            Ok(value) => self.values.push(value),
            Err(exception) => self.failure = Some(exception),
        }
        self.failure.is_none()
    }
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
            "set_metadata",
            "yplookup",
        ]))
    }

    fn call(&self, _session: &Arc<Session>, request: Request) -> Answer {
        match request.operation {
            Operation::Call(call) => self.call_method(call),
            Operation::Batch(calls) => Answer::Pending(Box::pin(self.desk.clone().batch(calls))),
            other => Answer::exception(other.unexposed()),
        }
    }
}
