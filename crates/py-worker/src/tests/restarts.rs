//! Restarts of one worker by an order.

use super::*;

#[tokio::test]
async fn a_worker_restarts_by_itself_and_its_clients_stay() {
    let shared = worker(vec![probe("lab.probe"), probe("lab.other")]);
    let apart = WorkerSpec { name: "apart".into(), ..worker(vec![probe("lab.apart")]) };
    let bench = Bench::start(vec![shared.clone(), apart]).await;
    let client = bench.client();
    for service in ["lab.probe", "lab.other", "lab.apart"] {
        assert_eq!(client.call(service, "bump", vec![]).await, Ok(Value::Int(1)));
    }
    let sleeping = Operation::Call(call("sleep", vec![3600.into()]));
    let sleeper = bench.client();
    let slept = tokio::spawn(sleeper.begin("lab.other", sleeping, Flags::default()).wait());
    until_it_sleeps(&client).await;

    let mut changed = shared.clone();
    changed.services[0].expose = Expose::Names(vec!["hidden".to_owned()]);
    assert!(bench.workers.restart(changed, "was restarted by hand").await);
    assert_eq!(client.call_when_up("lab.probe", "hidden").await, Value::from("hidden"));
    assert_eq!(client.call_when_up("lab.other", "bump").await, Value::Int(1), "a new instance");
    assert_eq!(client.call("lab.apart", "bump", vec![]).await, Ok(Value::Int(2)), "left alone");
    let ended = slept.await.unwrap().err().unwrap().message();
    assert!(ended.contains("was restarted by hand during 'sleep'"), "{ended}");

    let unknown = WorkerSpec { name: "unknown".into(), ..shared };
    assert!(!bench.workers.restart(unknown, "was restarted by hand").await);
    bench.workers.stop().await;
}

/// An order does not wait for a delay, nor for an interpreter that never says hello.
#[tokio::test]
async fn an_order_ends_a_delay_and_a_start_that_hangs() {
    for executable in ["/nonexistent/python", "/usr/bin/yes"] {
        let good = worker(vec![probe("lab.probe")]);
        let bad = worker_with(executable, vec![probe("lab.probe")]);
        let bench = Bench::begin(vec![bad]);
        if executable.contains("nonexistent") {
            let failed =
                || matches!(bench.workers.status("lab.probe"), ServiceStatus::Failed { .. });
            bench.wait_until(failed).await;
        }
        assert!(bench.workers.restart(good, "was restarted by hand").await);
        let client = bench.client();
        assert_eq!(client.call_when_up("lab.probe", "bump").await, Value::Int(1));
        bench.workers.stop().await;
    }
}

#[tokio::test]
async fn a_stop_tells_of_each_session_whether_what_it_drove_is_released() {
    let resting = |name: &str, method: &str| {
        let service = ServiceSpec {
            instance_mode: Some(InstanceMode::Session),
            on_disconnect: vec![method.to_owned()],
            ..ServiceSpec::new(name, "standard", "Resting")
        };
        WorkerSpec { name: name.to_owned(), ..worker(vec![service]) }
    };
    let (good, raises) = (resting("good", "rest"), resting("raises", "fail"));
    let bench = Bench::start(vec![good.clone(), raises]).await;
    let (first, second, idle) = (bench.client(), bench.client(), bench.client());
    first.call("good", "events", vec![]).await.unwrap();
    second.call("raises", "events", vec![]).await.unwrap();
    assert!(bench.workers.restart(good, "was restarted by hand").await);
    second.call_when_up("good", "events").await;
    bench.workers.stop().await;
    let released =
        |service, client: &Client| bench.workers.has_released(service, client.session.id);
    assert_eq!(released("good", &first), Some(false), "its instance was in an earlier process");
    assert_eq!(released("good", &second), Some(true));
    assert_eq!(released("good", &idle), None);
    assert_eq!(released("raises", &second), Some(false));
}
