//! Failures of one driver, which harm no other.

use std::io::Write;

use remote::SafeState;

use super::*;

#[tokio::test]
async fn deaths_are_told_and_mended() {
    let bench = Bench::start(vec![
        worker(vec![probe("lab.probe"), probe("lab.other")]),
        WorkerSpec { name: "apart".into(), ..worker(vec![probe("lab.apart")]) },
    ])
    .await;
    let neighbour = bench.client();
    assert_eq!(neighbour.call("lab.apart", "bump", vec![]).await, Ok(Value::Int(1)));
    let client = bench.client();
    let cases: [(&str, Vec<Value>, &str); 3] = [
        ("kill_me", vec![9.into()], "was killed by SIGKILL during 'kill_me'"),
        ("kill_me", vec![11.into()], "was killed by SIGSEGV during 'kill_me'"),
        ("die", vec![7.into()], "exited with code 7 during 'die'"),
    ];
    for (method, args, fate) in cases {
        let child = client.call("lab.probe", "spawn", vec![]).await.unwrap().as_i64().unwrap();
        client.call_when_up("lab.other", "bump").await;
        let sleeping = Operation::Call(call("sleep", vec![3600.into()]));
        let sleeper = bench.client();
        let other = tokio::spawn(sleeper.begin("lab.other", sleeping, Flags::default()).wait());
        until_it_sleeps(&client).await;
        let died = client.call("lab.probe", method, args).await;
        let other = other.await.unwrap();
        let died = died.unwrap_err();
        assert_eq!(died.class, "Pyro5.errors.DaemonError");
        assert_eq!(
            died.message(),
            format!("service 'lab.probe': its Python worker {fate}; it is being restarted")
        );
        let other = other.err().unwrap().message();
        assert!(other.starts_with("service 'lab.other': its Python worker "), "{other}");
        assert!(other.contains("during 'sleep'"), "{other}");
        let answered = client.call_when_up("lab.probe", "bump").await;
        assert_eq!(answered, Value::Int(1), "a new instance");
        assert!(!is_alive(child), "its children are gone");
    }
    assert_eq!(neighbour.call("lab.apart", "bump", vec![]).await, Ok(Value::Int(2)));
    bench.workers.stop().await;
}

/// Later each time is for a worker that dies by itself.
#[tokio::test]
async fn a_worker_that_others_kill_again_and_again_is_never_away_for_long() {
    let bench = Bench::start(vec![worker(vec![probe("lab.probe")])]).await;
    let client = bench.client();
    let mut told = Vec::new();
    for _ in 0..6 {
        let pid = client.call_when_up("lab.probe", "pid").await.as_i64().unwrap();
        let kill = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
        assert!(kill.unwrap().success());
        let back = async {
            while let Err(away) = client.call("lab.probe", "bump", vec![]).await {
                told.push(away.message());
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SOON, back).await.expect("it is up again");
    }
    let pauses = ["2s", "5s", "15s"].map(|pause| format!("it is started again after {pause}"));
    let long = |text: &&String| pauses.iter().any(|pause| text.contains(pause));
    assert_eq!(told.iter().find(long), None);
    bench.workers.stop().await;
}

fn create(path: &std::path::Path, text: &str) {
    std::fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// A folder with the driver `waits`, whose import waits for the gate: a file, which is there.
fn driver_that_waits() -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let gate = directory.path().join("gate");
    let text = format!(
        "import ferrolab, os, time\n\
         while not os.path.exists({gate:?}): time.sleep(0.01)\n\
         @ferrolab.expose\nclass X:\n def x(self): return 'there'\n"
    );
    create(&directory.path().join("waits.py"), &text);
    create(&gate, "");
    (directory, gate)
}

/// Its neighbours serve again before it is imported.
#[tokio::test]
async fn a_service_whose_import_takes_time_after_a_pause_is_waited_for() {
    let (directory, gate) = driver_that_waits();
    let mut spec = worker(vec![probe("a.probe"), ServiceSpec::new("b.waits", "waits", "X")]);
    spec.python.path.push(directory.path().to_owned());
    let bench = Bench::start(vec![spec]).await;
    let client = bench.client();
    std::fs::remove_file(&gate).unwrap();
    // The second death in a row has a pause.
    for _ in 0..2 {
        client.call("a.probe", "kill_me", vec![11.into()]).await.unwrap_err();
        client.call_when_up("a.probe", "bump").await;
    }
    assert_eq!(bench.workers.status("b.waits"), ServiceStatus::Starting);
    let waiting = bench.client();
    let x = Operation::Call(call("x", vec![]));
    let answer = tokio::spawn(waiting.begin("b.waits", x, Flags::default()).wait());
    create(&gate, "");
    let mut answer = answer.await.unwrap().and_then(value);
    // A call waits two seconds, which a slow import may take.
    let starts = |text: &str| text.contains("is still starting") || text.contains("not loaded");
    while answer.as_ref().is_err_and(|error| starts(&error.message())) {
        answer = waiting.call("b.waits", "x", vec![]).await;
    }
    assert_eq!(answer, Ok("there".into()));
    bench.workers.stop().await;
}

/// It is the first that its worker imports, so that none before it says that the worker is there.
#[tokio::test]
async fn the_first_service_to_be_imported_after_a_pause_is_down_no_longer() {
    let (directory, gate) = driver_that_waits();
    let mut spec = worker(vec![ServiceSpec::new("a.waits", "waits", "X"), probe("b.probe")]);
    spec.python.path.push(directory.path().to_owned());
    let bench = Bench::start(vec![spec]).await;
    let client = bench.client();
    client.call("b.probe", "kill_me", vec![11.into()]).await.unwrap_err();
    client.call_when_up("b.probe", "bump").await;
    std::fs::remove_file(&gate).unwrap();
    // The second death in a row has a pause.
    client.call("b.probe", "kill_me", vec![11.into()]).await.unwrap_err();
    bench.wait_until(|| bench.workers.status("a.waits") == ServiceStatus::Starting).await;
    create(&gate, "");
    assert_eq!(client.call_when_up("a.waits", "x").await, "there".into());
    bench.workers.stop().await;
}

#[tokio::test]
async fn failures_are_told_and_retried() {
    let directory = tempfile::tempdir().unwrap();
    let mut spec = worker(vec![
        ServiceSpec::new("a.missing", "nosuch_module", "X"),
        ServiceSpec::new("b.later", "written_later", "X"),
        ServiceSpec::new("c.picky", "standard", "Picky"),
        probe("d.fine"),
    ]);
    spec.python.path.push(directory.path().to_owned());
    let bench = Bench::start(vec![spec]).await;
    let client = bench.client();
    let refused = bench.object("a.missing").metadata().unwrap_err();
    // The interpreter is named by its path, whatever the configuration calls it.
    let python = bench.workers.python("a.missing").unwrap();
    assert!(python.starts_with('/'), "{python}");
    let cause = format!("ModuleNotFoundError: No module named 'nosuch_module' (python {python})");
    assert_eq!(
        refused.message(),
        format!("service 'a.missing' is not available: {cause}; see `ferrolab ps`")
    );
    assert!(client.error("a.missing", "x", vec![]).await.contains("ModuleNotFoundError"));
    assert!(matches!(bench.workers.status("a.missing"), ServiceStatus::Failed { error }
        if error == cause));
    assert_eq!(client.call("d.fine", "bump", vec![]).await, Ok(Value::Int(1)));

    let text = "import ferrolab\n@ferrolab.expose\nclass X:\n def x(self): return 'there'\n";
    let mut file = std::fs::File::create(directory.path().join("written_later.py")).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    bench.wait_until(|| bench.workers.status("b.later") == ServiceStatus::Ready).await;
    assert_eq!(client.call("b.later", "x", vec![]).await, Ok("there".into()));

    for _ in 0..2 {
        let text = client.error("c.picky", "ok", vec![]).await;
        assert_eq!(text, "OSError: [Errno 5] no device");
        bench.wait_until(|| bench.workers.status("c.picky") != ServiceStatus::Ready).await;
        assert!(matches!(bench.workers.status("c.picky"), ServiceStatus::Failed { error }
            if error == "its constructor raised OSError: [Errno 5] no device"));
    }
    assert_eq!(client.call("c.picky", "ok", vec![]).await, Ok(Value::Int(3)));
    bench.wait_until(|| bench.workers.status("c.picky") == ServiceStatus::Ready).await;
    bench.workers.stop().await;
}

#[tokio::test]
async fn why_new_clients_are_refused_is_told() {
    let mut service = ServiceSpec::new("scarce", "scarce", "Scarce");
    service.expose = Expose::All;
    let bench = Bench::start(vec![worker(vec![service])]).await;
    let first = bench.client();
    let mut earlier = None;
    for (method, [without, with], reason) in [
        ("threads", [false.into(), true.into()], "no further thread can be started"),
        ("descriptors", [0.into(), 100.into()], "no file descriptors left"),
    ] {
        assert_eq!(first.call("scarce", method, vec![without]).await, Ok(Value::None));
        let mut served = Vec::new();
        let end = Instant::now() + SOON;
        // There are channels from before, served and refused ones.
        let refused = loop {
            let client = bench.client();
            match client.call("scarce", "fine", vec![]).await {
                Ok(_) => served.push(client),
                Err(error) if Some(error.message()) == earlier => assert!(Instant::now() < end),
                Err(error) => break error.message(),
            }
        };
        let expected = format!(
            "service 'scarce': the connection to its Python worker was lost during 'fine': \
             {reason} in the driver's process"
        );
        assert_eq!(refused, expected);
        assert_eq!(first.call("scarce", method, vec![with]).await, Ok(Value::None));
        // A channel that was made ready before may be refused at this moment.
        let end = Instant::now() + SOON;
        let served = loop {
            match bench.client().call("scarce", "fine", vec![]).await {
                Err(error) if Instant::now() > end => panic!("{error}"),
                Err(error) => assert_eq!(error.message(), expected),
                served => break served,
            }
        };
        assert_eq!(served, Ok("fine".into()));
        earlier = Some(expected);
    }
    bench.workers.stop().await;
}

#[tokio::test]
async fn a_process_that_dies_at_import_names_its_interpreter() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = std::fs::File::create(directory.path().join("dies.py")).unwrap();
    file.write_all(b"import os\nos._exit(3)\n").unwrap();
    let mut spec = worker(vec![ServiceSpec::new("dies", "dies", "X")]);
    spec.python.path.push(directory.path().to_owned());
    let bench = Bench::begin(vec![spec]);
    let failed = || match bench.workers.status("dies") {
        ServiceStatus::Failed { error } => Some(error),
        _ => None,
    };
    bench.wait_until(|| failed().is_some_and(|error| error.contains("(python /"))).await;
    assert!(!bench.workers.shares("dies"));
    bench.workers.stop().await;
}

#[tokio::test]
async fn a_call_behind_its_session_leaves_nothing_to_bring_to_rest() {
    let mut service = ServiceSpec::new("rest", "standard", "Resting");
    service.on_disconnect = vec!["rest".to_owned()];
    let bench = Bench::start(vec![worker(vec![service])]).await;
    let client = bench.client();
    assert!(client.call("rest", "events", vec![]).await.is_ok());
    let object = bench.object("rest");
    let ends = || object.safe_state(&client.session, SafeState::SessionEnds { may_drive: false });
    assert!(ends().is_some());
    client.session.set_ended();
    object.session_ended(&client.session);
    assert!(client.call("rest", "events", vec![]).await.is_ok());
    assert!(ends().is_none());
    bench.workers.stop().await;
}

#[tokio::test]
async fn interpreters_that_do_not_work_are_named() {
    let bench = Bench::start(vec![
        worker_with("/nonexistent/python", vec![probe("none")]),
        worker_with("/bin/false", vec![probe("false")]),
    ])
    .await;
    for (name, text) in [
        ("none", "cannot start /nonexistent/python: no such file"),
        ("false", "/bin/false exited with code 1 before its worker was up; Python 3.8 or later"),
    ] {
        let is_named = || {
            let status = bench.workers.status(name);
            matches!(status, ServiceStatus::Failed { error } if error.contains(text))
        };
        bench.wait_until(is_named).await;
    }
    bench.workers.stop().await;
}

#[tokio::test]
async fn printing_and_closing_reach_no_channel() {
    let bench = Bench::start(vec![worker(vec![probe("lab.probe")])]).await;
    let client = bench.client();
    for method in ["write_binary", "flood", "close_low", "bump"] {
        client.call("lab.probe", method, vec![]).await.unwrap();
    }
    assert_eq!(bench.client().call("lab.probe", "bump", vec![]).await, Ok(Value::Int(1)));
    bench.workers.stop().await;
}

#[tokio::test]
async fn a_stop_releases_and_leaves_nothing() {
    let resting = ServiceSpec {
        instance_mode: Some(InstanceMode::Session),
        on_disconnect: vec!["rest".into()],
        ..ServiceSpec::new("rest", "standard", "Resting")
    };
    let spec = worker(vec![resting, probe("lab.probe")]);
    let bench = Bench::start(vec![spec.clone(), WorkerSpec { multiplex: true, ..spec }]).await;
    let client = bench.client();
    {
        let other = bench.client();
        other.call("rest", "events", vec![]).await.unwrap();
    }
    let rested = async || client.call("rest", "events", vec![]).await.unwrap().to_string();
    let began = Instant::now();
    while rested().await != "['rest']" {
        assert!(began.elapsed() < SOON);
    }
    let pid = client.call("lab.probe", "pid", vec![]).await.unwrap().as_i64().unwrap();
    drop(client);
    tokio::time::timeout(SOON, bench.workers.stop()).await.expect("stopped");
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn a_watchdog_kills_what_is_stuck() {
    let spec =
        WorkerSpec { watchdog: Some(Duration::from_secs(3)), ..worker(vec![probe("lab.probe")]) };
    let bench = Bench::start(vec![spec]).await;
    let client = bench.client();
    // A machine that itself stands still for that long kills it, too.
    let mut slept = false;
    for _ in 0..10 {
        slept = client.call("lab.probe", "sleep", vec![4.0.into()]).await == Ok("slept".into());
        if slept {
            break;
        }
        client.call_when_up("lab.probe", "bump").await;
    }
    assert!(slept, "merely busy");
    let text = client.error("lab.probe", "hold_the_lock", vec![3600.into()]).await;
    assert!(text.contains("gave no sign of life for 3s and was killed by its watchdog"), "{text}");
    assert_eq!(client.call_when_up("lab.probe", "bump").await, Value::Int(1));
    bench.workers.stop().await;
}

#[tokio::test]
async fn a_worker_that_answers_calls_moves() {
    let mut service = ServiceSpec::new("mute", "mute", "Mute");
    service.expose = Expose::All;
    let spec = WorkerSpec { watchdog: Some(Duration::from_secs(3)), ..worker(vec![service]) };
    let bench = Bench::start(vec![spec]).await;
    let client = bench.client();
    assert_eq!(client.call("mute", "mute", vec![]).await, Ok(Value::None));
    let end = Instant::now() + SOON;
    // It is asked four times within its limit.
    for calls in 1.. {
        assert!(Instant::now() < end, "its answers are not lost");
        let counted = client.call("mute", "count", vec![]).await.unwrap();
        let [counted, lost] = counted.as_list().unwrap() else { panic!("{counted}") };
        assert_eq!(counted, &Value::Int(calls), "it was killed");
        if lost.as_i64() >= Some(8) {
            break;
        }
    }
    bench.workers.stop().await;
}

/// Two hundred deaths of one worker: takes some minutes. Run with `--ignored two_hundred`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn two_hundred_deaths_beside_a_neighbour() {
    let bench = Bench::start(vec![
        worker(vec![probe("lab.probe")]),
        WorkerSpec { name: "apart".into(), ..worker(vec![probe("lab.apart")]) },
    ])
    .await;
    let bench = &bench;
    let done = tokio_util::sync::CancellationToken::new();
    let neighbours = (0..4).map(|_| async {
        let client = bench.client();
        let mut calls = 0;
        while !done.is_cancelled() {
            calls += 1;
            assert_eq!(client.call("lab.apart", "bump", vec![]).await, Ok(Value::Int(calls)));
            tokio::task::yield_now().await;
        }
        calls
    });
    let [one, two, three, four] = <[_; 4]>::try_from(Vec::from_iter(neighbours)).ok().unwrap();
    let killing = async {
        let client = bench.client();
        let mut children = Vec::new();
        let mut slowest = Duration::ZERO;
        for round in 0..200 {
            let number = |value: Value| value.as_i64().unwrap();
            let pid = number(client.call("lab.probe", "pid", vec![]).await.unwrap());
            children.push(number(client.call("lab.probe", "spawn", vec![]).await.unwrap()));
            // A run that has lived for a while may be started again at once.
            drop(client.call("lab.probe", "sleep", vec![1.0.into()]).await);
            match round % 3 {
                0 => {
                    drop(std::process::Command::new("kill").args(["-9", &pid.to_string()]).status())
                }
                1 => drop(client.call("lab.probe", "kill_me", vec![11.into()]).await),
                _ => drop(client.call("lab.probe", "die", vec![1.into()]).await),
            }
            let began = Instant::now();
            while client.call("lab.probe", "bump", vec![]).await.is_err() {
                assert!(began.elapsed() < Duration::from_secs(1), "round {round}");
            }
            slowest = slowest.max(began.elapsed());
        }
        done.cancel();
        (children, slowest)
    };
    let ((children, slowest), ..) = tokio::join!(killing, one, two, three, four);
    println!("answered again within {slowest:?}");
    assert!(!children.into_iter().any(is_alive));
    bench.workers.stop().await;
}
