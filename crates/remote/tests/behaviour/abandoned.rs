//! Calls whose clients are gone: they go on, and keep nobody else from being served.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;

use remote::{
    Answer, ConnectError, Daemon, DaemonConfig, Error, Exception, Metadata, Object, Operation,
    Proxy, Request, Serializer, ServerType, Session, Value,
};
use tokio::sync::watch;
use wire::message::MessageType;

use crate::common::{Echo, Serving, ask, frame, raised, until, within};

/// A driver whose calls hang until they are let go.
struct Stuck {
    running: watch::Sender<usize>,
    open: watch::Sender<bool>,
    ended: watch::Sender<usize>,
}

struct Served(Arc<Stuck>);

impl Object for Served {
    fn metadata(&self) -> Result<Metadata, Exception> {
        Ok(Metadata::methods(["work"]))
    }

    fn call(&self, _session: &Arc<Session>, request: Request) -> Answer {
        let Operation::Call(_) = request.operation else {
            return Answer::exception(request.operation.unexposed());
        };
        let stuck = Arc::clone(&self.0);
        Answer::Pending(Box::pin(async move {
            stuck.running.send_modify(|running| *running += 1);
            let _ = stuck.open.subscribe().wait_for(|open| *open).await;
            stuck.running.send_modify(|running| *running -= 1);
            Ok(Value::from("done").into())
        }))
    }

    fn session_ended(&self, _session: &Session) {
        self.0.ended.send_modify(|ended| *ended += 1);
    }
}

struct Fixture {
    stuck: Arc<Stuck>,
    serving: Serving,
}

const PLACES: usize = 3;
/// More clients than any object may have abandoned calls.
const IMPATIENT: usize = 100;

async fn serve(server_type: ServerType, connections: Option<usize>) -> Fixture {
    let stuck = Arc::new(Stuck {
        running: watch::Sender::new(0),
        open: watch::Sender::new(false),
        ended: watch::Sender::new(0),
    });
    let daemon = Daemon::new(DaemonConfig {
        server_type,
        threadpool_size: PLACES,
        connections,
        ..DaemonConfig::default()
    });
    daemon.register("stuck", Arc::new(Served(Arc::clone(&stuck)))).unwrap();
    daemon.register("echo", Arc::new(Echo)).unwrap();
    Fixture { stuck, serving: Serving::of(daemon).await }
}

impl Fixture {
    /// Clients that call what hangs, and go.
    async fn abandon(&self, clients: usize) {
        let before = *self.stuck.running.borrow();
        let calls: Vec<_> = (0..clients)
            .map(|_| {
                let mut proxy = self.serving.proxy("stuck");
                tokio::spawn(async move { proxy.call("work", Vec::new(), Vec::new()).await })
            })
            .collect();
        let mut running = self.stuck.running.subscribe();
        within(running.wait_for(|running| *running == before + clients)).await.unwrap();
        for call in calls {
            call.abort();
        }
    }

    /// A client that is let in, however often it has to ask.
    async fn let_in(&self, object: &str) -> Proxy {
        let asking = async {
            loop {
                let mut proxy = self.serving.proxy(object);
                match proxy.connect().await {
                    Ok(()) => return proxy,
                    Err(error) if is_refused(&error) => tokio::task::yield_now().await,
                    Err(other) => panic!("{other:?}"),
                }
            }
        };
        within(asking).await
    }
}

#[tokio::test]
async fn the_place_of_a_client_that_is_gone_is_free_and_its_call_goes_on() {
    let fixture = serve(ServerType::Thread, None).await;
    fixture.abandon(PLACES).await;
    let mut clients = Vec::new();
    for _ in 0..PLACES {
        clients.push(fixture.let_in("echo").await);
    }
    for client in &mut clients {
        let echo = client.call("echo", vec![1.into()], Vec::new()).await.unwrap();
        assert_eq!(echo, Value::List(vec![1.into()]));
    }
    let Stuck { running, open, ended } = &*fixture.stuck;
    assert_eq!(*running.borrow(), PLACES, "what they had begun goes on");
    assert_eq!(*ended.borrow(), 0, "and so do their sessions");
    open.send_replace(true);
    until(|| *ended.borrow() == PLACES).await;
    assert_eq!(*running.borrow(), 0);
}

#[tokio::test]
async fn an_object_with_too_many_of_them_takes_no_further_call_until_they_have_ended() {
    let fixture = serve(ServerType::Thread, None).await;
    fixture.abandon(PLACES).await;
    let mut witness = fixture.let_in("stuck").await;
    let refused = within(async {
        loop {
            let call = witness.call("work", Vec::new(), Vec::new());
            let patience = std::time::Duration::from_millis(200);
            match tokio::time::timeout(patience, call).await {
                Ok(refused) => return refused,
                // It hangs as well, as long as they are not all known to be gone.
                Err(_) => witness = fixture.let_in("stuck").await,
            }
        }
    })
    .await;
    let refused = raised(refused);
    assert!(refused.contains("'stuck' takes no further calls: "), "{refused}");
    assert!(refused.contains(&format!("(at most {PLACES} may)")), "{refused}");
    // Its neighbours serve.
    ask(&mut fixture.let_in("echo").await, "echo").await;
    fixture.stuck.open.send_replace(true);
    let going_on = async {
        while witness.call("work", Vec::new(), Vec::new()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    within(going_on).await;
}

#[tokio::test]
async fn whose_client_goes_before_its_turn_never_begins_and_shuts_nobody_out() {
    let fixture = serve(ServerType::Multiplex, None).await;
    fixture.abandon(1).await;
    let Stuck { running, open, ended } = &*fixture.stuck;
    for _ in 0..IMPATIENT {
        let mut socket = fixture.serving.socket();
        socket.write_all(&hello_to("stuck")).unwrap();
        socket.write_all(&call_of("stuck", "work", &[])).unwrap();
    }
    until(|| *ended.borrow() == IMPATIENT).await;
    assert_eq!(*running.borrow(), 1, "the one that hangs still does");
    // A client that has only closed its own direction gets the refusal.
    let mut socket = fixture.serving.socket();
    socket.write_all(&hello_to("stuck")).unwrap();
    socket.write_all(&call_of("stuck", "work", &[])).unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    let told = tokio::task::spawn_blocking(move || {
        let mut told = Vec::new();
        socket.read_to_end(&mut told).map(|_| told)
    });
    let told = String::from_utf8_lossy(&within(told).await.unwrap().unwrap()).into_owned();
    assert!(told.contains("closed the connection before its turn came"), "{told}");
    let mut patient = fixture.let_in("stuck").await;
    let call = tokio::spawn(async move { patient.call("work", Vec::new(), Vec::new()).await });
    open.send_replace(true);
    assert_eq!(within(call).await.unwrap().unwrap(), Value::from("done"));
}

#[tokio::test]
async fn who_closes_only_its_own_direction_gives_up_its_place_and_gets_its_answer() {
    let fixture = serve(ServerType::Thread, None).await;
    let mut socket = fixture.serving.socket();
    socket.write_all(&hello_to("stuck")).unwrap();
    socket.write_all(&call_of("stuck", "work", &[])).unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    let mut others = Vec::new();
    for _ in 0..PLACES {
        others.push(fixture.let_in("echo").await);
    }
    fixture.stuck.open.send_replace(true);
    let answers = tokio::task::spawn_blocking(move || {
        let mut answers = Vec::new();
        socket.read_to_end(&mut answers).map(|_| answers)
    });
    let answers = within(answers).await.unwrap().unwrap();
    assert!(answers.windows(4).any(|bytes| bytes == b"done"), "{answers:?}");
}

#[tokio::test]
async fn places_are_kept_where_there_are_descriptors_for_no_further_connections() {
    let fixture = serve(ServerType::Thread, Some(PLACES + 1)).await;
    fixture.abandon(PLACES).await;
    let _only = fixture.let_in("echo").await;
    let late = fixture.serving.proxy("echo").connect().await.unwrap_err();
    assert!(is_refused(&late), "{late:?}");
    fixture.stuck.open.send_replace(true);
    fixture.let_in("echo").await;
}

fn is_refused(error: &Error) -> bool {
    matches!(error, Error::Connect { source: ConnectError::Refused(_), .. })
}

pub(crate) fn hello_to(object: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    let mut greeting = wire::value::Dict::new();
    greeting.insert("handshake", "hello");
    greeting.insert("object", object);
    Serializer::Serpent.encode(&Value::Dict(greeting), &mut payload).unwrap();
    frame(MessageType::Connect, Serializer::Serpent, &payload, false)
}

/// Compressed, so that it is sent at once however large.
pub(crate) fn call_of(object: &str, method: &str, args: &[Value]) -> Vec<u8> {
    let mut payload = Vec::new();
    let call = wire::serializer::CallRef { object, method, args, kwargs: &[] };
    Serializer::Serpent.encode_call(call, &mut payload).unwrap();
    frame(MessageType::Invoke, Serializer::Serpent, &payload, true)
}
