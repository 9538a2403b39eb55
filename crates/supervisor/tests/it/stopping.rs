//! Stopping: `stop`, SIGTERM, SIGKILL, and the order of a shutdown.

use std::time::{Duration, Instant};

use supervisor::{EntryPhase, EntrySpec, KeeperError, RestartPolicy, StartOutcome, StopOutcome};

use crate::bench::{Bench, DEADLINE, OBEDIENT, entry, is_alive, poll, process_state};

const GRACE: Duration = Duration::from_millis(500);

/// Ignores its input.
const DEAF: &str = r#"echo '{"event":"ready"}'; while :; do sleep 0.01; done"#;

/// Reads `stop`, and runs what follows.
const OBEDIENT_UNTIL: &str = r#"read -r assignment; echo '{"event":"ready"}'; read -r stop"#;

#[tokio::test]
async fn stopping_escalates() {
    let stubborn = format!("trap 'echo TERM >&2' TERM; {DEAF}");
    let polite = format!("trap 'echo TERM >&2; exit 5' TERM; {DEAF}");
    let cases: [(&str, &str, u32, &[&str]); 3] = [
        ("obeys the line", OBEDIENT, 0, &[]),
        ("obeys SIGTERM", &polite, 1, &["TERM"]),
        ("obeys nothing", &stubborn, 2, &["TERM"]),
    ];
    for (name, script, graces, lines) in cases {
        let bench = Bench::new();
        let spec = entry("a", script);
        let long = 10 * DEADLINE;
        let stop_grace = if graces == 0 { long } else { GRACE };
        let term_grace = if graces == 1 { long } else { GRACE };
        let running = bench.settle(EntrySpec { stop_grace, term_grace, ..spec }).await;
        let start = Instant::now();
        assert_eq!(bench.keeper.stop("a").await, Ok(StopOutcome::Stopped), "{name}");
        assert!(start.elapsed() >= GRACE * graces, "{name}");
        assert!(start.elapsed() < DEADLINE, "{name}");
        assert_eq!(bench.lines("a"), lines, "{name}");
        let status = bench.status("a").await.unwrap();
        assert_eq!((status.phase, status.error), (EntryPhase::Stopped, None), "{name}");
        assert_eq!(process_state(running.pid.unwrap()), None, "{name}");
    }
}

#[tokio::test]
async fn a_child_that_is_not_ready_can_be_stopped() {
    let bench = Bench::new();
    // Its assignment does not even fit into the pipe.
    let assignment = "x".repeat(1 << 20);
    let spec = entry("a", "echo up >&2; exec sleep 1000");
    bench.start(EntrySpec { assignment, stop_grace: GRACE, ..spec }).await;
    bench.until("a", |status| status.pid.is_some()).await;
    assert_eq!(bench.keeper.stop("a").await, Ok(StopOutcome::Stopped));
}

#[tokio::test]
async fn start_and_stop_while_stopping() {
    let bench = Bench::new();
    let dir = tempfile::tempdir().unwrap();
    let go = dir.path().join("go");
    let script = format!("{OBEDIENT_UNTIL}; until [ -e {} ]; do sleep 0.01; done", go.display());
    let first = bench.settle(entry("a", script)).await;
    let stop = tokio::spawn({
        let keeper = bench.keeper.clone();
        async move { keeper.stop("a").await }
    });
    let stopping = bench.until_phase("a", EntryPhase::Stopping).await;
    assert_eq!(stopping.pid, first.pid);
    assert_eq!(bench.keeper.start("a").await, Ok(StartOutcome::AfterStop));
    std::fs::File::create(&go).unwrap();
    assert_eq!(stop.await.unwrap(), Ok(StopOutcome::Stopped));
    let second = bench.keeper.wait_settled(&["a"], DEADLINE).await.remove(0);
    assert_eq!(second.phase, EntryPhase::Running);
    assert_ne!(first.pid, second.pid);

    std::fs::remove_file(&go).unwrap();
    assert_eq!(bench.keeper.restart("a").await, Ok(StartOutcome::AfterStop));
    let removal = tokio::spawn({
        let keeper = bench.keeper.clone();
        async move { keeper.remove("a").await }
    });
    let being_removed = KeeperError::BeingRemoved("a".into());
    let mut version = bench.keeper.watch();
    while bench.keeper.start("a").await != Err(being_removed.clone()) {
        version.changed().await.unwrap();
    }
    assert_eq!(bench.keeper.replace(entry("a", "")).await, Err(being_removed));
    std::fs::File::create(&go).unwrap();
    assert_eq!(removal.await.unwrap(), Ok(StopOutcome::Stopped));
    assert_eq!(bench.status("a").await, None);
}

#[tokio::test]
async fn shutdown_goes_by_order_and_together_within_one() {
    let bench = Bench::new();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    // Two of one order that end only when both have been asked.
    let twin = |id: &str, other: &str| {
        let script = format!(
            "{OBEDIENT_UNTIL}; touch {}; until [ -e {} ]; do sleep 0.01; done; echo bye >&2",
            path(id),
            path(other)
        );
        EntrySpec { order: 2, ..entry(id, script) }
    };
    let last = |id: &str, order| EntrySpec {
        order,
        ..entry(id, format!("{OBEDIENT_UNTIL}; echo bye >&2"))
    };
    for spec in [last("ns", 0), twin("b", "c"), twin("c", "b"), last("a", 1)] {
        assert_eq!(bench.settle(spec).await.phase, EntryPhase::Running);
    }
    let snapshot = bench.keeper.snapshot().await;
    let pids: Vec<_> = snapshot.iter().filter_map(|status| status.pid).collect();
    let ids: Vec<_> = snapshot.iter().map(|status| status.id.as_str()).collect();
    assert_eq!(ids, ["ns", "a", "b", "c"]);
    tokio::join!(bench.keeper.shutdown(), bench.keeper.shutdown());
    let mut order = bench.who("bye");
    order[..2].sort();
    assert_eq!(order, ["b", "c", "a", "ns"]);
    assert_eq!(pids.len(), 4);
    assert!(pids.iter().all(|pid| process_state(*pid).is_none()));
    assert_eq!(bench.keeper.snapshot().await, []);
    assert_eq!(bench.keeper.start("a").await, Err(KeeperError::ShuttingDown));
    bench.keeper.shutdown().await;
}

#[tokio::test]
async fn nothing_is_started_any_more_during_a_shutdown() {
    let bench = Bench::new();
    let delay = Duration::from_secs(3);
    let restart = RestartPolicy { backoff: vec![delay], ..RestartPolicy::default() };
    let slow = format!("echo start >&2; {OBEDIENT_UNTIL}; sleep 3.3");
    bench.settle(EntrySpec { order: 1, ..entry("slow", slow) }).await;
    let crashing = entry("crashing", "echo start >&2; exit 1");
    let waiting = bench.settle(EntrySpec { restart, ..crashing }).await;
    assert_eq!(waiting.phase, EntryPhase::Restarting);
    let begin = Instant::now();
    assert_eq!(bench.keeper.restart("slow").await, Ok(StartOutcome::AfterStop));
    bench.keeper.shutdown().await;
    assert!(begin.elapsed() > delay, "or else this test tests nothing");
    assert_eq!(bench.who("start"), ["slow", "crashing", "crashing"]);
}

#[tokio::test]
async fn nothing_outlives_the_last_handle() {
    let bench = Bench::new();
    let pid = bench.settle(entry("a", OBEDIENT)).await.pid.unwrap();
    drop(bench);
    tokio::time::timeout(DEADLINE, wait_until(|| !is_alive(pid))).await.expect("the child ends");
}

/// Waits for a condition without blocking the runtime.
async fn wait_until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn nothing_outlives_the_runtime() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (bench, pid) = runtime.block_on(async {
        let bench = Bench::new();
        let status = bench.settle(entry("a", DEAF)).await;
        (bench, status.pid.unwrap())
    });
    drop(runtime);
    poll(DEADLINE, "the child is killed and reaped", || process_state(pid).is_none());
    drop(bench);
}

#[tokio::test]
async fn fifty_cycles_leave_no_zombie() {
    let bench = Bench::new();
    bench.keeper.add(entry("a", OBEDIENT)).await.unwrap();
    let mut pids = Vec::new();
    for _ in 0..50 {
        bench.keeper.start("a").await.unwrap();
        let running = bench.keeper.wait_settled(&["a"], DEADLINE).await.remove(0);
        assert_eq!(running.phase, EntryPhase::Running);
        pids.push(running.pid.unwrap());
        bench.keeper.stop("a").await.unwrap();
    }
    let left: Vec<_> = pids.iter().filter(|pid| process_state(**pid).is_some()).collect();
    assert!(left.is_empty(), "{left:?}");
}
