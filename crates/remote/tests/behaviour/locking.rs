//! Locks over real sockets: what the policy's own tests cannot see, which is when it is asked.

use std::io::Write;
use std::net::Shutdown;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use remote::{
    Answer, Break, Daemon, DaemonConfig, Error, Exception, LockEvent, LockRecord, LockSettings,
    LockState, LockStatus, Metadata, MethodCall, Object, Operation, PerCall, PerSession, Proxy,
    Request, ServerType, Session, Value,
};
use tokio::sync::watch;

use crate::abandoned::{call_of, hello_to};
use crate::common::{Serving, WAIT_DEADLINE, within};

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
        let Request { operation, context } = request;
        let Operation::Call(call) = operation else {
            return Answer::exception(operation.unexposed());
        };
        match call.method.as_str() {
            "work" => Answer::Pending(Box::pin(async move {
                // With what its request has taken.
                let _context = context;
                instrument.note("work begins");
                let _ = instrument.open.subscribe().wait_for(|open| *open).await;
                instrument.note("work ends");
                Ok(Value::from("done").into())
            })),
            "stuck" => Answer::exception(Exception::runtime_error("stuck")),
            "panics" => panic!("as it is meant to"),
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
    serve_with(DaemonConfig { server_type, ..DaemonConfig::default() }, on_disconnect).await
}

async fn serve_with(config: DaemonConfig, on_disconnect: &[&str]) -> Fixture {
    let instrument = Arc::new(Instrument {
        seen: watch::Sender::new(Vec::new()),
        open: watch::Sender::new(false),
    });
    let daemon = Daemon::new(DaemonConfig {
        first_epoch: 100,
        safe_state_timeout: Duration::from_millis(50),
        threadpool_size: 20,
        ..config
    });
    let settings = LockSettings {
        read_while_locked: vec!["look".into()],
        on_disconnect: on_disconnect.iter().map(|name| (*name).to_owned()).collect(),
        ..LockSettings::default()
    };
    let object = Arc::new(Served(Arc::clone(&instrument)));
    daemon.register_lockable("instrument", object, settings).unwrap();
    let log = Arc::new(Mutex::new(Vec::new()));
    let records = Arc::clone(&log);
    daemon.log_locks(Arc::new(move |id: &str, record: &LockRecord| {
        assert_eq!(id, "instrument");
        records.lock().unwrap().push((record.event.clone(), record.epoch.unwrap_or_default()));
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
        // The next waits for the call, and the safe state after it.
        let mut eve = fixture.proxy();
        let waiting = tokio::spawn(async move {
            let granted = lock(&mut eve, "eve", Some(600.0)).await;
            (granted, eve)
        });
        fixture.wait_for_locks(|lock| lock.waiting.len() == 1).await;
        assert_eq!(fixture.instrument.seen(), ["work begins"]);
        fixture.instrument.open.send_replace(true);
        let (granted, mut eve) = within(waiting).await.unwrap();
        assert_eq!(granted.unwrap(), Value::Bool(true));
        call(&mut eve, "drive").await.unwrap();
        // The object hears of the end of the session after the safe state.
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
async fn an_owner_that_goes_while_its_large_request_waits_for_room_frees_its_lock() {
    let room = DaemonConfig { request_memory: 256 << 10, ..DaemonConfig::default() };
    let fixture = serve_with(room, &[]).await;
    // All of the room is another's, whose call runs.
    fixture.daemon.register("other", Arc::new(Served(Arc::clone(&fixture.instrument)))).unwrap();
    let mut other = fixture._serving.proxy("other");
    let large = vec![Value::from("x".repeat(200_000))];
    let argument = large.clone();
    let working = tokio::spawn(async move { other.call("work", argument, Vec::new()).await });
    fixture.instrument.wait_for("work begins").await;
    let mut ada = fixture._serving.socket();
    ada.write_all(&hello_to("instrument")).unwrap();
    ada.write_all(&call_of("instrument", "lock", &[])).unwrap();
    fixture.wait_for_locks(|lock| lock.state == LockState::Locked).await;
    ada.write_all(&call_of("instrument", "drive", &large)).unwrap();
    // All of it arrives, and then the end.
    ada.shutdown(Shutdown::Write).unwrap();
    fixture.wait_for_locks(|lock| lock.state == LockState::Free).await;
    assert!(!working.is_finished(), "the room is another's still");
    fixture.instrument.open.send_replace(true);
    within(working).await.unwrap().unwrap();
    assert!(!fixture.instrument.seen().iter().any(|line| line == "drive"));
}

#[tokio::test]
async fn a_request_that_waits_holds_nobody_up() {
    let fixture = serve(ServerType::Multiplex, &[]).await;
    let (mut ada, mut eve) = (fixture.proxy(), fixture.proxy());
    lock(&mut ada, "ada", None).await.unwrap();
    let waiting = tokio::spawn(async move {
        let granted = lock(&mut eve, "eve", Some(600.0)).await;
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

#[tokio::test]
async fn whoever_waits_is_woken_when_its_own_time_is_up_and_a_lock_has_one_timer() {
    let fixture = serve(ServerType::Thread, &[]).await;
    let (mut ada, mut eve, mut bob) = (fixture.proxy(), fixture.proxy(), fixture.proxy());
    lock(&mut ada, "ada", None).await.unwrap();
    for proxy in [&mut eve, &mut bob] {
        call(proxy, "islocked").await.unwrap();
    }
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let long = tokio::spawn(async move { lock(&mut eve, "eve", Some(600.0)).await });
    fixture.wait_for_locks(|lock| lock.waiting.len() == 1).await;
    for _ in 0..20 {
        assert_eq!(lock(&mut bob, "bob", Some(0.001)).await.unwrap(), Value::Bool(false));
    }
    assert!(!long.is_finished());
    assert!(tasks() <= before + 2, "the one that waits, and the timer: {} {before}", tasks());
    call(&mut ada, "unlock").await.unwrap();
    assert_eq!(within(long).await.unwrap().unwrap(), Value::Bool(true));
    // One that is kept for an owner who comes back again and again.
    fixture.wait_for_locks(|lock| lock.owner.is_none()).await;
    for _ in 0..20 {
        let mut owner = fixture.proxy();
        let token = vec![("token".to_owned(), "t".into()), ("ttl".to_owned(), 3600.into())];
        within(owner.call("lock", vec!["ada".into()], token)).await.unwrap();
        drop(owner);
        fixture.wait_for_locks(|lock| lock.state == LockState::Away).await;
    }
    assert!(tasks() <= before + 2, "one timer: {} {before}", tasks());
}

#[tokio::test]
async fn nobody_drives_beside_a_method_that_brings_to_rest_however_long_it_takes() {
    let fixture = serve(ServerType::Thread, &["work", "panics", "off"]).await;
    let (mut ada, mut eve) = (fixture.proxy(), fixture.proxy());
    lock(&mut ada, "ada", None).await.unwrap();
    drop(ada);
    // The next are called all the same, one that panics does no harm.
    fixture.instrument.wait_for("off").await;
    let late = |lock: &LockStatus| {
        lock.trouble.as_ref().is_some_and(|trouble| {
            trouble.contains("work() has not returned within")
                && trouble.contains("panics() has ended")
        })
    };
    fixture.wait_for_locks(late).await;
    let Err(Error::Remote(refused)) = call(&mut eve, "drive").await else { panic!("it drives") };
    assert!(refused.message().contains("safe state, since 'ada' has lost"), "{refused}");
    let info = call(&mut eve, "lock_info").await.unwrap();
    let told = |key: &str| info.as_dict().unwrap().get(key).cloned().unwrap();
    assert_eq!((told("state"), told("after")), ("resting".into(), "ada".into()));
    let waiting =
        tokio::spawn(async move { lock(&mut eve, "eve", Some(600.0)).await.map(|_| eve) });
    fixture.wait_for_locks(|lock| lock.waiting.len() == 1).await;
    assert!(!fixture.instrument.seen().contains(&"work ends".to_owned()));
    fixture.instrument.open.send_replace(true);
    let mut eve = within(waiting).await.unwrap().unwrap();
    call(&mut eve, "drive").await.unwrap();
    let seen = fixture.instrument.seen();
    let position = |what: &str| seen.iter().position(|line| line == what).unwrap();
    assert!(position("work ends") < position("drive"), "{seen:?}");
}

#[tokio::test]
async fn parts_of_an_object_have_its_lock() {
    let fixture = serve(ServerType::Thread, &[]).await;
    let part = Arc::new(Served(Arc::clone(&fixture.instrument)));
    fixture.daemon.register_part("part", part, "instrument").unwrap();
    let at_part = fixture.uri.replace("instrument", "part");
    let part = || Proxy::new(&at_part).unwrap();
    let (mut ada, mut eve, mut hers) = (fixture.proxy(), part(), part());
    let token = || vec![("token".to_owned(), Value::from("t"))];
    within(ada.call("lock", vec!["ada".into()], token())).await.unwrap();
    assert_eq!(call(&mut eve, "islocked").await.unwrap(), Value::Bool(true));
    for proxy in [&mut eve, &mut hers] {
        let Err(Error::Remote(refused)) = call(proxy, "drive").await else { panic!("it drives") };
        assert_eq!(refused.message(), "Pyro object is locked (by 'ada')");
    }
    within(hers.call("lock", vec!["ada".into()], token())).await.unwrap();
    call(&mut hers, "drive").await.unwrap();
    call(&mut ada, "drive").await.unwrap();
    call(&mut ada, "unlock").await.unwrap();
    assert_eq!(lock(&mut eve, "eve", None).await.unwrap(), Value::Bool(true));
    assert!(call(&mut ada, "drive").await.is_err());
    // It may go while a call of it runs; the books are kept all the same.
    let working = tokio::spawn(async move { call(&mut eve, "work").await });
    fixture.instrument.wait_for("work begins").await;
    assert!(fixture.daemon.unregister("part"));
    fixture.instrument.open.send_replace(true);
    within(working).await.unwrap().unwrap();
    fixture.wait_for_locks(|lock| lock.state == LockState::Free).await;
    assert_eq!(lock(&mut ada, "ada", None).await.unwrap(), Value::Bool(true));
}

#[tokio::test]
async fn times_have_their_limits() {
    let fixture = serve(ServerType::Thread, &[]).await;
    let mut ada = fixture.proxy();
    for (name, value, limit) in [
        ("wait", f64::INFINITY, "lock_max_wait"),
        ("wait", 1e300, "lock_max_wait"),
        ("wait", 86_401.0, "lock_max_wait"),
        ("ttl", f64::INFINITY, "lock_max_ttl"),
        ("ttl", 86_401.0, "lock_max_ttl"),
        ("wait", f64::NAN, "0 or more"),
        ("wait", -1.0, "0 or more"),
    ] {
        let arguments =
            vec![(name.to_owned(), value.into()), ("token".to_owned(), Value::from("t"))];
        let Err(Error::Remote(refused)) = within(ada.call("lock", vec![], arguments)).await else {
            panic!("{name}={value} is accepted")
        };
        assert_eq!(refused.class, "builtins.ValueError");
        assert!(refused.message().contains(name) && refused.message().contains(limit), "{refused}");
    }
}

#[tokio::test]
async fn objects_of_every_mode_can_be_locked() {
    for server_type in [ServerType::Thread, ServerType::Multiplex] {
        for mode in ["single", "session", "percall"] {
            let fixture = serve(server_type, &[]).await;
            fixture.daemon.log_locks(Arc::new(|_: &str, _: &LockRecord| {}));
            let instrument = Arc::clone(&fixture.instrument);
            let metadata = Metadata::methods(["drive"]);
            let make = move || {
                instrument.note("made");
                Ok(Served(Arc::clone(&instrument)))
            };
            let object: Arc<dyn Object> = match mode {
                "single" => Arc::new(make().unwrap()),
                "session" => Arc::new(PerSession::new(metadata, make)),
                _ => Arc::new(PerCall::new(metadata, make)),
            };
            fixture.daemon.register_lockable(mode, object, LockSettings::default()).unwrap();
            let proxy = || Proxy::new(&fixture.uri.replace("instrument", mode)).unwrap();
            let (mut ada, mut eve) = (proxy(), proxy());
            lock(&mut ada, "ada", None).await.unwrap();
            let before = fixture.instrument.seen();
            let batch = |method: &str| {
                let call =
                    MethodCall { method: method.into(), args: Vec::new(), kwargs: Vec::new() };
                vec![call.clone(), call]
            };
            assert!(call(&mut eve, "drive").await.is_err());
            assert!(within(eve.batch(batch("drive"))).await.is_err());
            assert_eq!(fixture.instrument.seen(), before, "{mode}: refused before it is made");
            assert_eq!(within(ada.batch(batch("drive"))).await.unwrap().len(), 2);
            let seen = fixture.instrument.seen();
            assert_eq!(seen, ["made", "drive", "drive"], "{mode}: one for a batch");
            call(&mut ada, "unlock").await.unwrap();
            call(&mut eve, "drive").await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_has_no_end_of_its_own_reaches_its_safe_state_with_the_daemon_that_its_lock_outlives()
{
    struct Hosted(Served);

    impl Object for Hosted {
        fn metadata(&self) -> Result<Metadata, Exception> {
            self.0.metadata()
        }

        fn call(&self, session: &Arc<Session>, request: Request) -> Answer {
            self.0.call(session, request)
        }

        fn ends_in_safe_state(&self) -> bool {
            true
        }
    }

    let fixture = serve(ServerType::Thread, &["panics", "stuck", "off"]).await;
    fixture.daemon.log_locks(Arc::new(|_: &str, _: &LockRecord| {}));
    let instrument = |daemon: &Daemon, id: &str, on_disconnect: &str, is_hosted: bool| {
        let seen = (watch::Sender::new(Vec::new()), watch::Sender::new(true));
        let instrument = Arc::new(Instrument { seen: seen.0, open: seen.1 });
        let served = Served(Arc::clone(&instrument));
        let on_disconnect = vec![on_disconnect.to_owned()];
        let settings = LockSettings { on_disconnect, ..LockSettings::default() };
        let object: Arc<dyn Object> = match is_hosted {
            true => Arc::new(Hosted(served)),
            false => Arc::new(served),
        };
        daemon.register_lockable(id, object, settings).unwrap();
        instrument
    };
    let hosted = instrument(&fixture.daemon, "hosted", "off", true);
    let free = instrument(&fixture.daemon, "free", "off", false);
    let mut owners = Vec::new();
    for id in ["instrument", "hosted"] {
        let mut owner = Proxy::new(&fixture.uri.replace("instrument", id)).unwrap();
        let token = vec![("token".to_owned(), "t".into()), ("ttl".to_owned(), 3600.into())];
        within(owner.call("lock", vec!["ada".into()], token)).await.unwrap();
        call(&mut owner, "drive").await.unwrap();
        owners.push(owner);
    }
    assert_eq!(fixture.daemon.kept_locks().len(), 2);
    let Fixture { instrument, _serving: serving, daemon, .. } = fixture;
    serving.end().await;
    // The end of the daemon does not wait for ever.
    instrument.wait_for("off").await;
    assert_eq!(instrument.seen(), ["drive", "off"]);
    assert_eq!((hosted.seen(), free.seen()), (vec!["drive".to_owned()], Vec::new()));
    // They are the next process's all the same.
    assert_eq!(daemon.kept_locks().len(), 2);
}

#[tokio::test]
async fn a_daemon_that_a_lock_outlives_lets_oneway_calls_end_before_the_safe_state() {
    let daemon =
        Daemon::new(DaemonConfig { safe_state_timeout: WAIT_DEADLINE, ..DaemonConfig::default() });
    let (seen, open) = (watch::Sender::new(Vec::new()), watch::Sender::new(false));
    let instrument = Arc::new(Instrument { seen, open });
    let settings = LockSettings { on_disconnect: vec!["off".into()], ..LockSettings::default() };
    let served = Arc::new(Served(Arc::clone(&instrument)));
    daemon.register_lockable("instrument", served, settings).unwrap();
    let serving = Serving::of(daemon.clone()).await;
    let mut owner = serving.proxy("instrument");
    let token = vec![("token".to_owned(), "t".into()), ("ttl".to_owned(), 3600.into())];
    within(owner.call("lock", vec!["ada".into()], token)).await.unwrap();
    owner.call_oneway("work", Vec::new(), Vec::new()).await.unwrap();
    instrument.wait_for("work begins").await;
    let ending = tokio::spawn(serving.end());
    let mut changes = daemon.lock_changes();
    while daemon.locks().remove(0).state != LockState::Away {
        within(changes.changed()).await.unwrap();
    }
    // The end of the daemon gets on as far as it can.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(instrument.seen(), ["work begins"]);
    instrument.open.send_replace(true);
    within(ending).await.unwrap();
    assert_eq!(instrument.seen(), ["work begins", "work ends", "off"]);
    assert_eq!(daemon.kept_locks().len(), 1);
}
