//! `Pyro.Daemon`: the object by which a daemon describes itself and its objects.

use std::sync::{Arc, Weak};

use wire::exception::Exception;
use wire::value::Value;

use crate::access::AccessKind;
use crate::arguments::Signature;
use crate::card::Card;
use crate::config::{DAEMON_NAME, ServerType};
use crate::daemon::Shared;
use crate::daemon::locks::LockBreaker;
use crate::daemon::locks::described;
use crate::daemon::locks::lock_gate;
use crate::daemon::locks::methods::{self, ABORT, RELEASE};
use crate::daemon::streams::Origin;
use crate::object::{Answer, Context, Metadata, MethodCall, Object, Operation, Reply, Request};
use crate::session::Session;

/// The method that returns the next item of a stream.
pub(super) const NEXT_ITEM: &str = "get_next_stream_item";

/// The daemon's own object; weak, since the daemon owns it.
pub(crate) struct DaemonObject {
    shared: Weak<Shared>,
}

impl DaemonObject {
    pub(crate) fn new(shared: Weak<Shared>) -> Self {
        DaemonObject { shared }
    }
}

impl Object for DaemonObject {
    fn metadata(&self) -> Result<Metadata, Exception> {
        let mut metadata = Metadata::methods([
            "registered",
            "ping",
            "info",
            "get_metadata",
            NEXT_ITEM,
            "close_stream",
        ]);
        let own = [RELEASE, ABORT].into_iter().filter(|method| self.breaks_locks(method));
        metadata.methods.extend(own.map(str::to_owned));
        Ok(metadata)
    }

    fn breaks_locks(&self, method: &str) -> bool {
        let has = |any: fn(&Shared) -> bool| self.shared.upgrade().is_some_and(|it| any(&it));
        match method {
            RELEASE => has(|shared| shared.locks.any()),
            ABORT => has(|shared| shared.locks.aborts.any()),
            _ => false,
        }
    }

    fn checks_access(&self) -> bool {
        true
    }

    fn call(&self, session: &Arc<Session>, request: Request) -> Answer {
        let Some(shared) = self.shared.upgrade() else {
            return Answer::exception(Exception::daemon_error("the daemon is gone"));
        };
        match request.operation {
            Operation::Call(call) => call_method(shared, session, call, request.context),
            Operation::Batch(calls) => Answer::Pending(Box::pin(batch(
                shared,
                Arc::clone(session),
                calls,
                request.context,
            ))),
            other => Answer::exception(other.unexposed()),
        }
    }
}

async fn batch(
    shared: Arc<Shared>,
    session: Arc<Session>,
    calls: Vec<MethodCall>,
    context: Context,
) -> crate::object::CallResult {
    let one = |call: MethodCall| match call.method.as_str() {
        // The audit has a line for each, which a batch as a whole does not have.
        RELEASE | ABORT => Answer::exception(methods::not_in_batch()),
        _ => call_method(Arc::clone(&shared), &session, call, context.clone()),
    };
    crate::batch::batch(calls, one).await
}

fn call_method(
    shared: Arc<Shared>,
    session: &Arc<Session>,
    call: MethodCall,
    context: Context,
) -> Answer {
    match call.method.as_str() {
        "registered" => Answer::from(REGISTERED.bind(call).map(|[]| {
            let ids = shared.registry.ids().into_iter();
            let seen = ids.filter(|id| may_look(&shared, session, id));
            Value::List(seen.map(Value::from).collect())
        })),
        "ping" => Answer::from(PING.bind(call).map(|[]| Value::None)),
        "info" => Answer::from(INFO.bind(call).map(|[]| Value::from(info(&shared)))),
        "get_metadata" => Answer::from(text(GET_METADATA, call).and_then(|id| {
            check_look(&shared, session, &id)?;
            documented_metadata(&shared, &id)
        })),
        NEXT_ITEM => match text(GET_NEXT_STREAM_ITEM, call) {
            Err(exception) => Answer::exception(exception),
            Ok(id) => {
                let session = Arc::clone(session);
                Answer::Pending(Box::pin(async move {
                    let origin = shared.streams.origin(&id, session.id).unwrap_or_default();
                    if !origin.object.is_empty() {
                        session.call.set_stream(&origin.object, &origin.member);
                    }
                    let (object, member) = (&origin.object, Some(origin.member.as_str()));
                    let running = shared.locks.start_call(object, session.id, member, false)?;
                    check_stream(&shared, &session, &origin)?;
                    let mut context = context;
                    if let Some(running) = &running {
                        running.restrict(&mut context);
                    }
                    shared.streams.next(&id, &session, context).await
                }))
            }
        },
        // The end of a generator may drive the instrument.
        "close_stream" => Answer::from(text(CLOSE_STREAM, call).and_then(|id| {
            if let Some(origin) = shared.streams.origin_for_close(&id) {
                check_stream(&shared, session, &origin)?;
            }
            shared.streams.close(&id);
            Ok(Value::None)
        })),
        RELEASE if shared.locks.any() => {
            let breaker = LockBreaker { locks: Arc::downgrade(&shared.locks) };
            Answer::from(breaker.release(session, call))
        }
        ABORT if shared.locks.aborts.any() => {
            let (locks, session) = (Arc::clone(&shared.locks), Arc::clone(session));
            Answer::Pending(Box::pin(async move {
                methods::abort_calls(locks, session, call).await.map(Reply::from)
            }))
        }
        _ => Answer::exception(Operation::Call(call).unexposed()),
    }
}

/// Whether a client may look at an object. A daemon's own objects are everybody's to see.
fn may_look(shared: &Shared, session: &Session, id: &str) -> bool {
    let is_own = || shared.registry.get(id).is_some_and(|object| object.checks_access());
    shared.access.allows(session, id, ("", AccessKind::Describe), || false) || is_own()
}

/// The same as a check.
///
/// # Errors
/// It may not.
pub(crate) fn check_look(shared: &Shared, session: &Session, id: &str) -> Result<(), Exception> {
    match may_look(shared, session, id) {
        true => Ok(()),
        false => shared.access.check(session, id, ("", AccessKind::Describe), || false).map(drop),
    }
}

/// Checks whether a client may use a stream: as a call of the member that has returned it.
fn check_stream(shared: &Shared, session: &Session, origin: &Origin) -> Result<(), Exception> {
    let Origin { called, member, is_read, .. } = origin;
    if !shared.access.is_on() || called.is_empty() {
        return Ok(());
    }
    let kind = if *is_read { AccessKind::Read } else { AccessKind::Call };
    let holds_lock = || shared.locks.is_owner(called, session.id);
    shared.access.check(session, called, (member, kind), holds_lock).map(drop)
}

const REGISTERED: Signature = Signature::empty("DaemonObject.registered");
const PING: Signature = Signature::empty("DaemonObject.ping");
const INFO: Signature = Signature::empty("DaemonObject.info");
const GET_METADATA: Signature = one("DaemonObject.get_metadata", &["objectId"]);
const GET_NEXT_STREAM_ITEM: Signature = one("DaemonObject.get_next_stream_item", &["streamId"]);
const CLOSE_STREAM: Signature = one("DaemonObject.close_stream", &["streamId"]);

const fn one(name: &'static str, parameters: &'static [&'static str]) -> Signature {
    Signature { name, parameters, required: 1 }
}

/// The one text that a method takes.
fn text(signature: Signature, call: MethodCall) -> Result<String, Exception> {
    let [given] = signature.bind(call)?;
    match given {
        Some(Value::Str(text)) => Ok(text),
        other => Err(Exception::type_error(format!(
            "{}() takes a str, not {}",
            signature.name,
            other.as_ref().map_or("nothing", Value::type_name)
        ))),
    }
}

/// One line about the daemon, of the same build as Pyro5's.
fn info(shared: &Shared) -> String {
    let nat = shared.nat_location().map_or_else(|| "None".to_owned(), |nat| nat.to_string());
    let server = match shared.config.server_type {
        ServerType::Thread => {
            let most = shared.config.threadpool_size;
            let most = shared.config.connections.map_or(most, |connections| connections.min(most));
            format!("thread (at most {most} connections)")
        }
        ServerType::Multiplex => "multiplex".to_owned(),
    };
    format!(
        "{DAEMON_NAME} bound on {}, NAT {nat}, {} objects registered. Servertype: {server}",
        shared.locations(),
        shared.registry.ids().len(),
    )
}

/// The metadata dict of an object.
pub(crate) fn metadata(shared: &Shared, id: &str) -> Result<Value, Exception> {
    let object = shared.registry.get(id).ok_or_else(|| unknown_object(shared, id))?;
    let mut metadata = object.metadata()?;
    if shared.locks.settings(id).is_some() {
        lock_gate::add_methods(&mut metadata);
    }
    Ok(metadata.to_value())
}

/// The key of the service card in the metadata of an object. Stock clients overlook it.
const CARD_KEY: &str = "ferrolab";

/// The same with the documentation of its members and its service card. The handshake has neither:
/// stock clients read nothing else, and connect as fast as before.
pub(crate) fn documented_metadata(shared: &Shared, id: &str) -> Result<Value, Exception> {
    let object = shared.registry.get(id).ok_or_else(|| unknown_object(shared, id))?;
    let mut metadata = object.metadata()?.to_documented_value();
    if let (Value::Dict(dict), Some(card)) = (&mut metadata, object.card()) {
        let card = match shared.locks.settings(id) {
            Some(_) => with_lock(&card).to_value(),
            None => card.to_value(),
        };
        dict.insert(CARD_KEY, card);
    }
    Ok(metadata)
}

/// A card with the methods of the lock, which come before the driver's own of these names.
fn with_lock(card: &Card) -> Card {
    let mut card = card.clone();
    let added = described::members();
    card.members.retain(|member| added.iter().all(|one| one.name != member.name));
    card.members.extend(added);
    card.seal()
}

pub(crate) fn unknown_object(shared: &Shared, id: &str) -> Exception {
    let ids = shared.registry.ids();
    let served: Vec<&str> =
        ids.iter().map(String::as_str).filter(|id| *id != DAEMON_NAME).take(20).collect();
    let known = if served.is_empty() { "nothing yet".to_owned() } else { served.join(", ") };
    Exception::daemon_error(format!(
        "unknown object: daemon '{}' has no '{id}'; it serves {known}",
        shared.config.name
    ))
}
