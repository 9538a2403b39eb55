//! Locks over real sockets: what the policy's own tests cannot see, which is when it is asked.

use std::sync::{Arc, Mutex};

use remote::{
    Answer, Break, Daemon, DaemonConfig, Error, Exception, LockEvent, LockRecord, LockSettings,
    Metadata, Object, Operation, Proxy, Request, ServerType, Session, Value,
};
use tokio::sync::watch;

use crate::common::{Serving, within};

/// An instrument that writes down what happens to it; `work` runs while its gate is shut.
struct Instrument {
    seen: watch::Sender<Vec<String>>,
    open: watch::Sender<bool>,
}

impl Instrument {
    fn note(&self, what: &str) {
        self.seen.send_modify(|seen| seen.push(what.to_owned()));
    }

    async fn wait_for(&self, what: &str) {
        let mut seen = self.seen.subscribe();
        within(seen.wait_for(|seen| seen.iter().any(|line| line == what))).await.unwrap();
    }

    fn seen(&self) -> Vec<String> {
        self.seen.borrow().clone()
    }
}

struct Served(Arc<Instrument>);

impl Object for Served {
    fn metadata(&self) -> Result<Metadata, Exception> {
        Ok(Metadata::methods(["drive", "look", "work", "lock"]))
    }

    fn call(&self, _session: &Arc<Session>, request: Request) -> Answer {
        let instrument = Arc::clone(&self.0);
        let Operation::Call(call) = request.operation else {
            return Answer::exception(request.operation.unexposed());
        };
        match call.method.as_str() {
            "work" => Answer::Pending(Box::pin(async move {
                instrument.note("work begins");
                let _ = instrument.open.subscribe().wait_for(|open| *open).await;
                instrument.note("work ends");
                Ok(Value::from("done").into())
            })),
            "stuck" => Answer::exception(Exception::runtime_error("stuck")),
            method => {
                instrument.note(method);
                Answer::value(())
            }
        }
    }

    fn session_ended(&self, session: &Session) {
        self.0.note(&format!("session {} ended", session.id));
    }
}

struct Fixture {
    daemon: Daemon,
    uri: String,
    instrument: Arc<Instrument>,
    log: Arc<Mutex<Vec<(LockEvent, u64)>>>,
    _serving: Serving,
}

async fn serve(server_type: ServerType, on_disconnect: &[&str]) -> Fixture {
    let instrument = Arc::new(Instrument {
        seen: watch::Sender::new(Vec::new()),
        open: watch::Sender::new(false),
    });
    let daemon =
        Daemon::new(DaemonConfig { server_type, first_epoch: 100, ..DaemonConfig::default() });
    let settings = LockSettings {
        read_while_locked: vec!["look".into()],
        on_disconnect: on_disconnect.iter().map(|name| (*name).to_owned()).collect(),
    };
    let object = Arc::new(Served(Arc::clone(&instrument)));
    daemon.register_lockable("instrument", object, settings).unwrap();
    let log = Arc::new(Mutex::new(Vec::new()));
    let records = Arc::clone(&log);
    daemon.log_locks(Arc::new(move |id: &str, record: &LockRecord| {
        assert_eq!(id, "instrument");
        records.lock().unwrap().push((record.event.clone(), record.epoch));
    }));
    let serving = Serving::of(daemon.clone()).await;
    let uri = serving.uri("instrument").to_string();
    Fixture { daemon, uri, instrument, log, _serving: serving }
}

impl Fixture {
    fn proxy(&self) -> Proxy {
        Proxy::new(&self.uri).unwrap()
    }

    async fn wait_for_locks(&self, condition: impl Fn(&remote::LockStatus) -> bool) {
        let mut changes = self.daemon.lock_changes();
        loop {
            changes.borrow_and_update();
            if self.daemon.locks().first().is_some_and(&condition) {
                return;
            }
            within(changes.changed()).await.unwrap();
        }
    }

    fn events(&self) -> Vec<(LockEvent, u64)> {
        self.log.lock().unwrap().clone()
    }
}

async fn call(proxy: &mut Proxy, method: &str) -> Result<Value, Error> {
    within(proxy.call(method, Vec::new(), Vec::new())).await
}

async fn lock(proxy: &mut Proxy, user: &str, wait: Option<f64>) -> Result<Value, Error> {
    let wait = ("wait".to_owned(), Value::from(wait));
    within(proxy.call("lock", vec![user.into()], vec![wait])).await
}

#[tokio::test]
async fn a_client_that_goes_during_its_call_frees_its_lock_at_once() {
    for server_type in [ServerType::Thread, ServerType::Multiplex] {
        let fixture = serve(server_type, &["stuck", "off"]).await;
        let mut ada = fixture.proxy();
        assert_eq!(lock(&mut ada, "ada", None).await.unwrap(), Value::Bool(true));
        let working = tokio::spawn(async move { ada.call("work", Vec::new(), Vec::new()).await });
        fixture.instrument.wait_for("work begins").await;
        working.abort();
        fixture.wait_for_locks(|lock| lock.owner.is_none()).await;
        // The next waits for the call, and the safe state behind it.
        let mut eve = fixture.proxy();
        let waiting = tokio::spawn(async move {
            let granted = lock(&mut eve, "eve", Some(20.0)).await;
            (granted, eve)
        });
        fixture.wait_for_locks(|lock| lock.waiting.len() == 1).await;
        assert_eq!(fixture.instrument.seen(), ["work begins"]);
        fixture.instrument.open.send_replace(true);
        let (granted, mut eve) = within(waiting).await.unwrap();
        assert_eq!(granted.unwrap(), Value::Bool(true));
        call(&mut eve, "drive").await.unwrap();
        // Whose session it was hears of its end behind the safe state.
        fixture.instrument.wait_for("session 1 ended").await;
        let seen = fixture.instrument.seen();
        let position = |what: &str| seen.iter().position(|line| line == what).unwrap();
        assert!(position("work ends") < position("off"), "{seen:?}");
        assert!(position("off") < position("drive"), "{seen:?}");
        assert!(position("off") < position("session 1 ended"), "{seen:?}");
        assert_eq!(seen.iter().filter(|line| *line == "off").count(), 1, "{seen:?}");
        let trouble = fixture.daemon.locks().remove(0).trouble.unwrap();
        assert_eq!(trouble, "on_disconnect: stuck() raised RuntimeError: stuck");
        let epochs =
            [(LockEvent::Granted, 100), (LockEvent::Disconnected, 100), (LockEvent::Granted, 101)];
        assert_eq!(fixture.events(), epochs);
    }
}

#[tokio::test]
async fn a_request_that_waits_holds_nobody_up() {
    let fixture = serve(ServerType::Multiplex, &[]).await;
    let (mut ada, mut eve) = (fixture.proxy(), fixture.proxy());
    lock(&mut ada, "ada", None).await.unwrap();
    let waiting = tokio::spawn(async move {
        let granted = lock(&mut eve, "eve", Some(20.0)).await;
        (granted, eve)
    });
    fixture.wait_for_locks(|lock| lock.waiting.len() == 1).await;
    call(&mut ada, "drive").await.unwrap();
    assert_eq!(call(&mut fixture.proxy(), "islocked").await.unwrap(), Value::Bool(true));
    call(&mut ada, "unlock").await.unwrap();
    let (granted, _eve) = within(waiting).await.unwrap();
    assert_eq!(granted.unwrap(), Value::Bool(true));
}

#[tokio::test]
async fn what_is_refused_never_reaches_the_object() {
    let fixture = serve(ServerType::Thread, &[]).await;
    let (mut ada, mut eve) = (fixture.proxy(), fixture.proxy());
    lock(&mut ada, "ada", None).await.unwrap();
    let Err(Error::Remote(refused)) = call(&mut eve, "drive").await else { panic!("not refused") };
    assert_eq!(refused.class, "builtins.ConnectionRefusedError");
    assert_eq!(refused.message(), "Pyro object is locked (by 'ada')");
    eve.call_oneway("drive", Vec::new(), Vec::new()).await.unwrap();
    call(&mut eve, "look").await.unwrap();
    assert_eq!(fixture.instrument.seen(), ["look"]);
    let breaker = fixture.daemon.lock_breaker();
    let broken = Break { by: "me".into(), reason: "a test".into() };
    assert!(breaker.break_lock("instrument", broken.clone()).unwrap());
    assert!(!breaker.break_lock("instrument", broken.clone()).unwrap());
    assert!(breaker.break_lock("another", broken).is_err());
    let Err(Error::Remote(told)) = call(&mut ada, "drive").await else { panic!("not told") };
    assert!(told.message().contains("was broken by me (a test)"), "{told}");
    // The object's own method of that name is not asked.
    assert_eq!(lock(&mut ada, "ada", None).await.unwrap(), Value::Bool(true));
    assert_eq!(fixture.instrument.seen(), ["look"]);
}
