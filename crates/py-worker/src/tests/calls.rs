//! Calls of drivers when nothing goes wrong.

use super::*;

#[tokio::test]
async fn calls_properties_exceptions_and_batches() {
    let bench = Bench::start(vec![worker(vec![probe("lab.probe")])]).await;
    let members = bench.object("lab.probe").metadata().unwrap();
    assert_eq!(members.attrs, ["fixed", "readings", "value"]);
    assert_eq!(members.oneway, ["later"]);

    let client = bench.client();
    let echoed = client.call("lab.probe", "echo", vec![1.into(), "a".into()]).await.unwrap();
    assert_eq!(echoed.to_string(), "((1, 'a'), {})");
    let set = Operation::SetAttr("value".into(), vec![Value::from(2)].into());
    assert_eq!(value(client.operate("lab.probe", set).await.unwrap()), Ok(Value::None));
    let got = client.operate("lab.probe", Operation::GetAttr("value".into())).await.unwrap();
    assert_eq!(value(got).unwrap().to_string(), "[2]");

    let raised = client.call("lab.probe", "fail", vec!["broken".into(), 9.into()]).await;
    let raised = raised.unwrap_err();
    assert_eq!((raised.class.as_str(), raised.args.len()), ("standard.ProbeError", 2));
    assert_eq!(raised.attributes.get("code"), Some(&Value::Int(9)));
    assert!(raised.traceback().unwrap().concat().contains("standard.py"));
    let text = client.error("lab.probe", "_private", vec![]).await;
    assert_eq!(text, "AttributeError: attempt to access private attribute '_private'");
    let half = client.call("lab.probe", "surrogate", vec![]).await;
    assert_eq!(half.unwrap().to_string(), "'\\udc80'");

    let batch = vec![call("bump", vec![]), call("fail", vec![]), call("bump", vec![])];
    let Value::List(results) =
        value(client.operate("lab.probe", Operation::Batch(batch)).await.unwrap()).unwrap()
    else {
        panic!("no list")
    };
    assert_eq!(results[0], Value::Int(1));
    assert_eq!(unwrap_from_batch(&results[1]).unwrap().class, "standard.ProbeError");
    assert_eq!(results.len(), 2);

    for size in [10, 16_000, 70_000, 3_000_000] {
        let data = Value::bytes(vec![7; size]);
        let echoed = client.call("lab.probe", "echo", vec![data.clone()]).await.unwrap();
        assert_eq!(echoed.as_list().unwrap()[0].as_list().unwrap()[0], data);
    }
    bench.workers.stop().await;
}

#[tokio::test]
async fn instances_follow_sessions() {
    let of = |name: &str, mode| ServiceSpec { instance_mode: Some(mode), ..probe(name) };
    let modes = [
        ("session", InstanceMode::Session, [1, 1, 2]),
        ("single", InstanceMode::Single, [1, 2, 3]),
        ("percall", InstanceMode::PerCall, [1, 1, 1]),
    ];
    let services = modes.iter().map(|(name, mode, _)| of(name, *mode)).collect();
    let bench = Bench::start(vec![worker(services)]).await;
    let (one, two) = (bench.client(), bench.client());
    for (name, _, counts) in modes {
        for (client, count) in [&one, &two, &one].into_iter().zip(counts) {
            assert_eq!(client.call(name, "bump", vec![]).await, Ok(Value::Int(count)), "{name}");
        }
    }
    // a oneway call is one of the session's, be it the first, and runs beside the others
    let three = bench.client();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("now");
    let later = call("later", vec![0.into(), file.to_str().unwrap().into()]);
    let later = Operation::Call(later);
    let oneway = tokio::spawn({
        let answer = three.begin("session", later, Flags::ONEWAY);
        answer.wait()
    });
    tokio::task::yield_now().await;
    assert_eq!(three.call("session", "bump", vec![]).await, Ok(Value::Int(1)));
    assert!(!oneway.is_finished());
    drop(std::fs::File::create(&file).unwrap());
    oneway.await.unwrap().unwrap();
    assert_eq!(three.call("session", "bump", vec![]).await, Ok(Value::Int(102)));
    bench.workers.stop().await;
}

/// A session has one instance, whichever of its channels the worker serves first.
#[tokio::test]
async fn a_late_channel_makes_no_second_instance() {
    let late = ServiceSpec::new("late", "late_channel", "LateChannel");
    let session = ServiceSpec { instance_mode: Some(InstanceMode::Session), ..probe("session") };
    let bench = Bench::start(vec![worker(vec![late, session])]).await;
    let (watcher, client) = (bench.client(), bench.client());
    watcher.call("late", "hold_next", vec![]).await.unwrap();
    let later = Operation::Call(call("later", vec![]));
    let oneway = tokio::spawn(client.begin("session", later, Flags::ONEWAY).wait());
    tokio::task::yield_now().await;
    watcher.call("late", "wait_for_it", vec![]).await.unwrap();
    for count in [1, 2] {
        assert_eq!(client.call("session", "bump", vec![]).await, Ok(Value::Int(count)));
    }
    watcher.call("late", "let_go", vec![]).await.unwrap();
    oneway.await.unwrap().unwrap();
    assert_eq!(client.call("session", "bump", vec![]).await, Ok(Value::Int(103)));
    bench.workers.stop().await;
}

#[tokio::test]
async fn a_late_channel_makes_no_second_instance_for_a_session_that_ends() {
    let late = ServiceSpec::new("late", "late_channel", "LateChannel");
    let slow = ServiceSpec::new("slow", "standard", "Slow");
    let bench = Bench::start(vec![worker(vec![late, slow])]).await;
    let (watcher, client) = (bench.client(), bench.client());
    watcher.call("late", "hold_next", vec![]).await.unwrap();
    let count = Operation::Call(call("count", vec![]));
    let first = tokio::spawn(client.begin("slow", count, Flags::default()).wait());
    tokio::task::yield_now().await;
    watcher.call("late", "wait_for_it", vec![]).await.unwrap();
    assert_eq!(client.call("slow", "count", vec![]).await, Ok(Value::Int(1)));
    drop(client);
    watcher.call("late", "let_go", vec![]).await.unwrap();
    assert_eq!(first.await.unwrap().and_then(value), Ok(Value::Int(1)));
    bench.workers.stop().await;
}

#[tokio::test]
async fn streams_belong_to_their_session() {
    let bench = Bench::start(vec![worker(vec![probe("lab.probe")])]).await;
    let client = bench.client();
    let open = async |n: i64| {
        let stream = Operation::Call(call("stream", vec![n.into()]));
        match client.operate("lab.probe", stream).await.unwrap().body {
            ReplyBody::Stream(stream) => stream,
            _ => panic!("no stream"),
        }
    };
    let mut stream = open(2).await;
    for n in 0..2 {
        let item = stream.next().await.unwrap().unwrap();
        assert_eq!(item.as_dict().unwrap().get("n"), Some(&Value::Int(n)));
    }
    assert_eq!(stream.next().await, Ok(None));
    drop(stream);
    let ended = async || client.call("lab.probe", "events", vec![]).await.unwrap().to_string();
    assert_eq!(ended().await, "['stream ended']");
    let mut stream = open(5).await;
    stream.next().await.unwrap();
    drop(stream);
    assert_eq!(ended().await, "['stream ended', 'stream ended']");
    bench.workers.stop().await;
}

#[tokio::test]
async fn what_comes_after_a_session_keeps_no_channel() {
    for multiplex in [false, true] {
        let of = |name: &str, mode| ServiceSpec { instance_mode: Some(mode), ..probe(name) };
        let services =
            vec![of("single", InstanceMode::Single), of("session", InstanceMode::Session)];
        let bench = Bench::start(vec![WorkerSpec { multiplex, ..worker(services) }]).await;
        let watcher = bench.client();
        let files = async || match watcher.call("single", "open_files", vec![]).await {
            Ok(Value::Int(files)) => files,
            other => panic!("{other:?}"),
        };
        // There may not be as many channels on standby yet as there will be.
        let most = files().await + i64::try_from(STANDBY).unwrap();
        let mut streams = Vec::new();
        for service in ["single", "session"].repeat(8) {
            let client = bench.client();
            let stream = Operation::Call(call("stream", vec![3.into()]));
            match client.operate(service, stream).await.unwrap().body {
                ReplyBody::Stream(stream) => streams.push(stream),
                _ => panic!("no stream"),
            }
        }
        // However many sessions come and go before their streams do.
        for _ in 0..10_000 {
            drop(bench.client());
        }
        for mut stream in streams {
            stream.close().await;
        }
        let none_kept = async { while files().await > most {} };
        tokio::time::timeout(SOON, none_kept).await.expect("their channels close");
        bench.workers.stop().await;
    }
}

#[tokio::test]
async fn a_caller_that_leaves_does_not_upset_its_session() {
    let bench = Bench::start(vec![worker(vec![probe("lab.probe")])]).await;
    let client = bench.client();
    let thread = async || client.call("lab.probe", "thread", vec![]).await.unwrap();
    let own = thread().await;
    assert_eq!(client.call("lab.probe", "bump", vec![]).await, Ok(Value::Int(1)));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("now");
    let wait = Operation::Call(call("wait_for", vec![file.to_str().unwrap().into()]));
    let answer = client.begin("lab.probe", wait, Flags::default());
    assert!(tokio::time::timeout(Duration::from_millis(50), answer.wait()).await.is_err());
    assert_ne!(thread().await, own, "its own thread is still in the call");
    assert_eq!(client.call("lab.probe", "bump", vec![]).await, Ok(Value::Int(2)));
    drop(std::fs::File::create(&file).unwrap());
    let back = async { while thread().await != own {} };
    tokio::time::timeout(SOON, back).await.expect("its own thread again");
    assert_eq!(client.call("lab.probe", "bump", vec![]).await, Ok(Value::Int(3)));
    bench.workers.stop().await;
}

#[tokio::test]
async fn plain_classes_and_multiplex() {
    let plain = ServiceSpec {
        expose: Expose::All,
        arguments: Value::Dict([("channel", Value::from(2))].into_iter().collect::<Dict>()),
        ..ServiceSpec::new("plain", "standard", "Plain")
    };
    let spec = WorkerSpec { multiplex: true, ..worker(vec![plain, probe("lab.probe")]) };
    let bench = Bench::start(vec![spec]).await;
    assert_eq!(
        bench.object("plain").metadata().unwrap(),
        Metadata {
            methods: ["__len__", "measure", "reset"].map(str::to_owned).to_vec(),
            oneway: vec![],
            attrs: vec!["limit".to_owned(), "voltage".to_owned()],
            docs: vec![],
        }
    );
    let (one, two) = (bench.client(), bench.client());
    assert_eq!(one.call("plain", "measure", vec![]).await.unwrap().to_string(), "('plain', 2)");
    let thread = one.call("lab.probe", "thread", vec![]).await.unwrap();
    assert_eq!(two.call("lab.probe", "thread", vec![]).await.unwrap(), thread);
    bench.workers.stop().await;
}

#[tokio::test]
async fn objects_registered_by_drivers() {
    let registering = ServiceSpec {
        instance_mode: Some(InstanceMode::Single),
        ..ServiceSpec::new("reg", "standard", "Registering")
    };
    let bench = Bench::start(vec![worker(vec![registering])]).await;
    let client = bench.client();
    let uri = client.call("reg", "make", vec![]).await.unwrap();
    assert_eq!(uri, Value::from("PYRO:thing@localhost:4321"));
    let got = client.call("thing", "measure", vec![]).await.unwrap();
    assert_eq!(got.to_string(), "('plain', 1)");
    let proxy = client.call("reg", "give", vec![]).await.unwrap();
    assert_eq!(proxy.as_dict().unwrap().class(), Some("Pyro5.client.Proxy"));
    client.call("reg", "drop", vec![]).await.unwrap();
    assert!(bench.registered.0.lock().unwrap().is_empty());
    bench.workers.stop().await;
}

#[tokio::test]
async fn pyrolabs_sample_service() {
    let Some(python) = lab_python() else { return };
    let sample = |name: &str, mode| ServiceSpec {
        instance_mode: Some(mode),
        ..ServiceSpec::new(name, "pyrolab.drivers.sample", "SampleService")
    };
    let bench = Bench::start(vec![worker_with(
        &python,
        vec![
            sample("lab.sample", InstanceMode::Session),
            sample("lab.shared", InstanceMode::Single),
            ServiceSpec::new("lab.pyro", "pyro", "Service"),
        ],
    )])
    .await;
    let (one, two) = (bench.client(), bench.client());
    let echoed = one.call("lab.sample", "echo", vec!["hi".into()]).await;
    assert_eq!(echoed, Ok("SERVER RECEIVED: hi".into()));
    let sum = one.call("lab.sample", "add", vec![1.into(), 2.into(), 3.into()]).await;
    assert_eq!(sum, Ok(Value::Int(6)));
    let raised = one.call("lab.sample", "add", vec!["x".into(), 1.into()]).await.unwrap_err();
    assert_eq!(raised.class, "builtins.TypeError");
    assert!(raised.traceback().unwrap().concat().contains("sample.py"));
    let whoami =
        async |client: &Client<'_>, name| client.call(name, "whoami", vec![]).await.unwrap();
    assert_ne!(whoami(&one, "lab.sample").await, whoami(&two, "lab.sample").await);
    assert_eq!(whoami(&one, "lab.shared").await, whoami(&two, "lab.shared").await);

    let context = Operation::Call(call("context", vec![]));
    let reply = one.operate("lab.pyro", context).await.unwrap();
    assert_eq!(reply.annotations, [(*b"XYZ1", b"back".to_vec())]);
    let text = value(reply).unwrap().to_string();
    assert!(text.starts_with("(('127.0.0.1', 5555), 1, 0, 1, '01010101-"), "{text}");
    let thing: Dict =
        [("__class__", Value::from("test.Thing")), ("n", 4.into())].into_iter().collect();
    let doubled = one.call("lab.pyro", "double", vec![thing.into()]).await.unwrap();
    assert_eq!(doubled.as_dict().unwrap().get("n"), Some(&Value::Int(8)));
    bench.workers.stop().await;
}

/// Prints what a call costs. Run with `--release -- --ignored --nocapture cost`.
#[tokio::test]
#[ignore = "a measurement"]
async fn the_cost_of_a_call() {
    let bench = Bench::start(vec![worker(vec![probe("lab.probe")])]).await;
    let client = bench.client();
    for (what, args) in [
        ("nothing", vec![]),
        (
            "10000 floats",
            vec![Value::List((0..10_000).map(|n| Value::Float(f64::from(n))).collect())],
        ),
        ("1 MB of bytes", vec![Value::bytes(vec![1; 1 << 20])]),
    ] {
        let rounds: u32 = if args.is_empty() { 20_000 } else { 500 };
        let mut best = Duration::MAX;
        for _ in 0..5 {
            let began = Instant::now();
            for _ in 0..rounds {
                client.call("lab.probe", "echo", args.clone()).await.unwrap();
            }
            best = best.min(began.elapsed() / rounds);
        }
        println!("{what}: {best:?} per call");
    }
    bench.workers.stop().await;
}
