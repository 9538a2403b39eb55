//! The object `Pyro.NameServer`: answers calls, alone and in batches.

use std::net::IpAddr;
use std::sync::Arc;

use remote::{
    AccessGate, Answer, AnswerMemory, Exception, Metadata, MethodCall, Object, Operation, Peer,
    Reply, Request, Session, Value,
};
use tokio::sync::oneshot;
use wire::exception::wrap_in_batch;

use crate::change_log::ChangeLog;
use crate::directory;
use crate::leases;
use crate::limits::{Budget, SMALL_ANSWER};
use crate::methods::{Found, LIST_HIDDEN, NameCall, REMOVE_HIDDEN};
use crate::owner::NameClient;
use crate::search::{Among, Searches, Sought};
use crate::store::{Change, Store};

/// Calls of a batch in one transaction, at most: other clients wait for its end.
const MAX_CALLS_PER_TRANSACTION: usize = 1000;

/// Names and tags that are looked at while the index is locked, at most; a list that needs more is
/// a search.
const MAX_LOOKED_AT: usize = 1000;

/// The nameserver's object. Clones share its names and the permits of its searches.
#[derive(Clone)]
pub struct NameServerObject {
    store: Arc<Store>,
    searches: Searches,
    /// Of the clone that answers a call: the address at which its client has reached this host.
    reached_at: Option<IpAddr>,
    /// Of the clone that answers a call: the address of its client's host, where that is another.
    other_host: Option<IpAddr>,
    /// Of the clone that answers a call: its client.
    client: NameClient,
    changes: ChangeLog,
    /// The id of the lab that runs the nameserver, where there is one.
    lab: Option<String>,
    /// The rules of access, where the lab may have some.
    access: Option<Arc<AccessGate>>,
    /// In a shared directory, the address at which others reach this host.
    public: Option<IpAddr>,
    /// In a shared directory, the host that this lab is.
    host: Option<String>,
}

impl NameServerObject {
    /// The object over the names of `store`.
    pub fn new(store: Arc<Store>) -> Self {
        NameServerObject {
            searches: Searches::new(Arc::clone(&store)),
            store,
            reached_at: None,
            other_host: None,
            client: Peer::Unix { process: None }.into(),
            changes: ChangeLog::default(),
            lab: None,
            access: None,
            public: None,
            host: None,
        }
    }

    /// The same, as part of the lab with this id: daemons of other labs that take the nameserver
    /// for their own are refused.
    #[must_use]
    pub fn of_lab(self, lab: Option<String>) -> Self {
        NameServerObject { lab, ..self }
    }

    /// The same as a replica, of the lab that is this host in the shared directory. Others reach it
    /// at the address, which stands in the URIs of daemons that listen at all addresses.
    #[must_use]
    pub fn of_host(self, host: Option<String>, address: Option<IpAddr>) -> Self {
        match self.store.hosts() {
            None => self,
            Some(_) => NameServerObject { public: address, host, ..self },
        }
    }

    /// The same under the rules of access of its daemon.
    #[must_use]
    pub fn with_access(self, gate: Arc<AccessGate>) -> Self {
        NameServerObject { access: Some(gate), ..self }
    }

    /// Whether the names are those of a shared directory.
    fn is_replica(&self) -> bool {
        self.store.hosts().is_some()
    }

    /// The method by which daemons renew their names.
    fn lease_method(&self) -> &'static str {
        match self.store.hosts() {
            None => leases::METHOD,
            Some(_) => leases::HOST_METHOD,
        }
    }

    /// Answers one call.
    async fn answer(&self, call: NameCall, budget: &mut Budget) -> Result<Value, Exception> {
        match self.find_at_once(&call) {
            Some(found) => self.build_value(found?, budget).await,
            None => self.answer_later(call, budget).await,
        }
    }

    /// The result of a call that waits for nothing: a question about one name, a short list.
    fn find_at_once(&self, call: &NameCall) -> Option<Result<Found, Exception>> {
        let found = match call {
            NameCall::Ask(question) => question(&self.store.read()),
            NameCall::List { which, with_metadata } => {
                let names = which.find(&self.store.read(), MAX_LOOKED_AT)?;
                Ok(Found::Names { names, with_metadata: *with_metadata })
            }
            _ => return None,
        };
        Some(found).filter(|found| found.as_ref().map_or(true, Found::is_small))
    }

    /// Answers a call that changes names, searches them, or has a large answer.
    async fn answer_later(&self, call: NameCall, budget: &mut Budget) -> Result<Value, Exception> {
        match call {
            NameCall::Ask(question) => {
                let found = question(&self.store.read());
                self.build_value(found?, budget).await
            }
            NameCall::Change(change, value) => self.change(change).await.map(value),
            NameCall::List { .. } | NameCall::Search { .. } => {
                self.list(call, Among::Shown, budget).await
            }
            NameCall::ListHidden(list) => self.list(*list, Among::Hidden, budget).await,
            NameCall::RemoveHidden { name } => {
                let change =
                    self.changes.watch(directory::remove(name.clone()), self.client.clone());
                self.store.change_hidden(name, change).await.map(Value::from)
            }
            NameCall::RemoveMatching { pattern } => {
                let sought = Sought::Pattern(pattern);
                let searches = &self.searches;
                let names =
                    searches.find(Among::Shown, sought, budget, |names, _| Ok(names)).await?;
                let change = directory::remove_found(names);
                self.change(change).await.map(Value::from)
            }
        }
    }

    /// Makes a change, and logs what it takes from others.
    async fn change(&self, change: Change) -> Result<usize, Exception> {
        self.store.change(self.changes.watch(change, self.client.clone())).wait().await
    }

    /// Answers the calls of a batch in order, up to the first that raises. All of them together may
    /// take no more of the answer and of the time for searches than a single call.
    ///
    /// A change and the quick calls after it are one transaction, which waits for the disk once.
    /// Searches stand between transactions: other clients would wait for them.
    async fn answer_batch(&self, calls: Vec<MethodCall>, budget: &mut Budget) -> Value {
        let mut results = Vec::with_capacity(calls.len());
        let parse = |call| NameCall::parse(call, self.other_host);
        let mut calls = calls.into_iter().map(parse).peekable();
        let is_quick = |call: &Result<NameCall, Exception>| {
            matches!(call, Ok(NameCall::Ask(_) | NameCall::Change(..)))
        };
        while let Some(call) = calls.next() {
            let answered = match call {
                Ok(change @ NameCall::Change(..)) => {
                    let mut transaction = vec![change];
                    while transaction.len() < MAX_CALLS_PER_TRANSACTION
                        && let Some(Ok(call)) = calls.next_if(is_quick)
                    {
                        transaction.push(call);
                    }
                    self.answer_transaction(transaction, budget, &mut results).await
                }
                Ok(call) => self.answer(call, budget).await.map(|value| results.push(value)),
                Err(exception) => Err(exception),
            };
            if let Err(exception) = answered {
                results.push(wrap_in_batch(&exception));
                break;
            }
            tokio::task::consume_budget().await;
        }
        Value::List(results)
    }

    /// Answers quick calls within one transaction, up to the first that raises. Changes before
    /// that stay.
    async fn answer_transaction(
        &self,
        calls: Vec<NameCall>,
        budget: &mut Budget,
        results: &mut Vec<Value>,
    ) -> Result<(), Exception> {
        let (done, found) = oneshot::channel();
        let before = budget.memory();
        let mut left = std::mem::take(budget);
        let (changes, client) = (self.changes.clone(), self.client.clone());
        let change: Change = Box::new(move |names| {
            let mut all = Vec::with_capacity(calls.len());
            let mut failure = None;
            for call in calls {
                let found = match call {
                    NameCall::Change(change, value) => {
                        let change = changes.watch(change, client.clone());
                        change(names).map(value).map(Found::Value)
                    }
                    NameCall::Ask(question) => question(names.index()),
                    // Not quick, so not in a transaction.
                    NameCall::List { .. }
                    | NameCall::Search { .. }
                    | NameCall::RemoveMatching { .. }
                    | NameCall::ListHidden(_)
                    | NameCall::RemoveHidden { .. } => continue,
                };
                match found.and_then(|found| found.charge(&mut left).map(|()| found)) {
                    Ok(found) => all.push(found),
                    Err(exception) => {
                        failure = Some(exception);
                        break;
                    }
                }
            }
            // The caller may be gone.
            let _ = done.send((all, failure, left));
            Ok(0)
        });
        self.store.change(change).wait().await?;
        let (all, failure, left) =
            found.await.map_err(|_| Exception::naming_error("the nameserver is stopping"))?;
        *budget = left;
        let is_small = budget.memory() - before <= SMALL_ANSWER;
        budget.reserve().await?;
        let reached_at = self.reached_at;
        let value = move |found: Found| found.into_value(reached_at);
        let build = move || all.into_iter().map(value).collect::<Result<Vec<_>, _>>();
        results.extend(if is_small { build()? } else { self.searches.run(build).await? });
        failure.map_or(Ok(()), Err)
    }

    /// Lists names. Without memory for the answer they are let go, and sought again when there is.
    async fn list(
        &self,
        call: NameCall,
        among: Among,
        budget: &mut Budget,
    ) -> Result<Value, Exception> {
        let (sought, with_metadata) = match call {
            NameCall::List { which, with_metadata } => (Sought::Names(which), with_metadata),
            NameCall::Search { pattern, with_metadata } => {
                (Sought::Pattern(pattern), with_metadata)
            }
            // No list.
            _ => return Ok(Value::None),
        };
        let reached_at = self.reached_at;
        loop {
            let before = budget.clone();
            let build = move |names, left: &mut Budget| {
                let found = Found::Names { names, with_metadata };
                found.charge(left)?;
                left.try_reserve().then(|| found.into_value(reached_at)).transpose()
            };
            let (sought, searches) = (sought.clone(), &self.searches);
            if let Some(value) = searches.find(among, sought, budget, build).await? {
                return Ok(value);
            }
            budget.reserve().await?;
            *budget = before;
        }
    }

    /// Builds the value of an answer; a large one on a blocking thread.
    async fn build_value(&self, found: Found, budget: &mut Budget) -> Result<Value, Exception> {
        if found.is_small() {
            found.charge(budget)?;
            budget.reserve().await?;
            return found.into_value(self.reached_at);
        }
        let mut left = std::mem::take(budget);
        let charge = move || found.charge(&mut left).map(|()| (found, left));
        let (found, left) = self.searches.run(charge).await?;
        *budget = left;
        budget.reserve().await?;
        let reached_at = self.reached_at;
        self.searches.run(move || found.into_value(reached_at)).await
    }
}

impl Object for NameServerObject {
    fn metadata(&self) -> Result<Metadata, Exception> {
        let lease = self.lease_method();
        let own = ["count", "list", "lookup", "ping", "register", "remove", lease];
        let hidden = [LIST_HIDDEN, REMOVE_HIDDEN].into_iter().filter(|_| self.is_replica());
        Ok(Metadata::methods(own.into_iter().chain(["set_metadata", "yplookup"]).chain(hidden)))
    }

    /// Names are everybody's to read; changes are checked name by name.
    fn checks_access(&self) -> bool {
        true
    }

    fn call(&self, session: &Arc<Session>, request: Request) -> Answer {
        let other_host = session.other_host().or(self.public);
        let reached_at = session.shareable_address();
        let Request { operation, context } = request;
        let work = match operation {
            Operation::Call(call) if call.method == self.lease_method() => {
                let lab = self.lab.as_deref();
                let client = |is_lab| match is_lab {
                    true => NameClient::of_lab(session, self.access.as_ref(), self.host.as_deref()),
                    false => NameClient::new(session, self.access.as_ref()),
                };
                let of = (lab, client, &self.changes);
                return leases::renew(&self.store, call, context, reached_at, of);
            }
            Operation::Call(call) => match NameCall::parse(call, other_host) {
                Ok(call) => match self.find_at_once(&call) {
                    Some(found) => {
                        return Answer::from(found.and_then(|found| found.into_value(reached_at)));
                    }
                    None => Work::Call(call),
                },
                Err(exception) => return Answer::exception(exception),
            },
            Operation::Batch(calls) => Work::Batch(calls),
            other => return Answer::exception(other.unexposed()),
        };
        let client = NameClient::new(session, self.access.as_ref());
        let object = NameServerObject { reached_at, other_host, client, ..self.clone() };
        Answer::Pending(Box::pin(async move {
            let mut budget = Budget::of(&context);
            let memory = budget.answer_memory();
            let value = match work {
                Work::Call(call) => object.answer_later(call, &mut budget).await?,
                Work::Batch(calls) => object.answer_batch(calls, &mut budget).await,
            };
            Ok(Reply { memory: memory.filter(AnswerMemory::is_reserved), ..Reply::from(value) })
        }))
    }
}

/// Calls that are answered later.
enum Work {
    Call(NameCall),
    Batch(Vec<MethodCall>),
}
