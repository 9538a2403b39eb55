//! The gate before objects with a lock: each call asks the lock before it reaches the object.
//!
//! Each entry of a batch asks anew. A call of the lock's own methods waits without a call permit.
//! Which client has the lock is decided in [`lock`](crate::lock).

use std::sync::Arc;

use wire::exception::Exception;

use crate::access::AccessKind;
use crate::admission::call_permit::CallPermit;
use crate::batch::Results;
use crate::daemon::access_gate::AccessGate;
use crate::daemon::batch_entries::BatchEntries;
use crate::daemon::catch_panic::{self, CallName};
use crate::daemon::locks::methods;
use crate::daemon::locks::running_call::RunningCall;
use crate::daemon::locks::table::LockTable;
use crate::object::{CallResult, Context, Metadata, MethodCall, Object, Operation, Reply, Request};
use crate::session::Session;

/// Whether an operation is a call of a lock's own methods, which touch no instrument.
pub(crate) fn is_lock_method(operation: &Operation) -> bool {
    matches!(operation, Operation::Call(call) if is_lock_call(call))
}

fn is_lock_call(call: &MethodCall) -> bool {
    methods::METHODS.contains(&call.method.as_str())
}

/// Adds the lock's methods to an object's metadata.
pub(crate) fn add_methods(metadata: &mut Metadata) {
    for name in methods::METHODS {
        if !metadata.methods.iter().any(|known| known == name) {
            metadata.methods.push(name.to_owned());
        }
        // The driver's own method of this name is not the one that is called.
        metadata.oneway.retain(|oneway| oneway != name);
    }
}

/// An object with a lock, and the session that calls it.
pub(crate) struct GatedObject<'a> {
    pub(crate) locks: &'a Arc<LockTable>,
    pub(crate) access: &'a AccessGate,
    pub(crate) session: &'a Arc<Session>,
    pub(crate) id: &'a str,
    pub(crate) object: &'a Arc<dyn Object>,
}

impl GatedObject<'_> {
    /// Carries out a request, if the lock lets it.
    pub(crate) async fn call(&self, request: Request, permit: CallPermit) -> CallResult {
        let Request { operation, context } = request;
        match operation {
            Operation::Batch(calls) => self.batch(calls, &context, permit).await,
            Operation::Call(call) if is_lock_call(&call) => {
                // It may wait for a day, and what it carries is short or refused: others need the
                // memory that its request has reserved.
                drop(context);
                self.check_access((&call.method, methods::access_kind(&call.method, true)))?;
                methods::call(self.locks, self.id, self.session, call).await.map(Reply::from)
            }
            operation => {
                let _permit = permit;
                self.run(operation, context).await
            }
        }
    }

    async fn run(&self, operation: Operation, mut context: Context) -> CallResult {
        let kind = match &operation {
            Operation::Call(_) | Operation::Blob(_) | Operation::Batch(_) => AccessKind::Call,
            Operation::GetAttr(_) => AccessKind::Read,
            Operation::SetAttr(..) => AccessKind::Set,
        };
        let name = operation.name().to_owned();
        let _running = self.start((&name, kind), &mut context)?;
        let name = CallName { object: self.id, member: &name };
        let request = Request { operation, context };
        catch_panic::call_object(name, self.object, self.session, request).await
    }

    /// Asks the rules of access and the lock; the call counts as running until the result is
    /// dropped.
    fn start(
        &self,
        asked: (&str, AccessKind),
        context: &mut Context,
    ) -> Result<Option<RunningCall>, Exception> {
        let is_oneway = context.is_oneway();
        // Setting a property is no reading, whatever may be read.
        let member = Some(asked.0).filter(|_| asked.1 != AccessKind::Set);
        let needs_lock = self.check_access(asked)?;
        let running = self.locks.start_call(self.id, self.session.id, member, is_oneway)?;
        // The client may have lost it meanwhile; from now on nobody else gets it.
        if needs_lock {
            self.check_access(asked)?;
        }
        if let Some(running) = &running {
            running.restrict(context);
        }
        Ok(running)
    }

    /// Whether the client may make the call only with the lock, which it has.
    fn check_access(&self, asked: (&str, AccessKind)) -> Result<bool, Exception> {
        let holds_lock = || self.locks.is_owner(self.id, self.session.id);
        self.access.check(self.session, self.id, asked, holds_lock)
    }

    /// Carries out a batch entry by entry, since the lock may change hands between two of them, and
    /// the client may lose its rights. Also for an object without a lock.
    pub(crate) async fn batch(
        &self,
        calls: Vec<MethodCall>,
        context: &Context,
        mut permit: CallPermit,
    ) -> CallResult {
        let has_lock = self.locks.settings(self.id).is_some();
        let mut results = Results::default();
        // The entry that runs keeps the lock where it is until the next entry runs.
        let mut _running = None;
        let mut entries = BatchEntries::new(self.id, self.object, self.session);
        for call in calls {
            let result = if has_lock && context.request_memory.is_some() && methods::waits(&call) {
                // The entries after it would keep the memory that others need for as long.
                Err(Exception::value_error(
                    "a batch of this size cannot wait for the lock: call lock(wait=SECONDS) before \
                     the batch",
                ))
            } else if has_lock && is_lock_call(&call) {
                _running = None;
                drop(permit.take());
                let kind = methods::access_kind(&call.method, true);
                let result = match self.check_access((&call.method, kind)) {
                    Ok(_) => methods::call(self.locks, self.id, self.session, call).await,
                    Err(refused) => Err(refused),
                };
                permit = self.locks.calls.take().await;
                result
            } else {
                let mut context = context.clone();
                match self.start((&call.method, AccessKind::Call), &mut context) {
                    // As PyroLab, which looks at the lock before the first entry.
                    Err(refused) if results.is_empty() => return Err(refused),
                    Err(refused) => Err(refused),
                    Ok(running) => {
                        _running = running;
                        entries.call(call, context).await?
                    }
                }
            };
            if !results.push(result) {
                break;
            }
        }
        Ok(entries.into_reply(results))
    }
}
