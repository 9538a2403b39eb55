//! Entries: start, reports, replacement, removal.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use supervisor::{EntryPhase, EntrySpec, KeeperError, StartOutcome, StopOutcome};

use crate::bench::{Bench, DEADLINE, OBEDIENT, entry, is_alive};
use crate::roles;

#[tokio::test]
async fn an_entry_lives_its_life() {
    let bench = Bench::new();
    let script = r#"
        read -r assignment
        echo "{\"event\":\"ready\",\"detail\":$assignment}"
        echo "not a report"
        while read -r line; do
            [ "$line" = stop ] && exit 0
        done"#;
    let spec = EntrySpec { assignment: r#"{"port":9090}"#.into(), ..entry("a", script) };
    bench.keeper.add(spec).await.unwrap();
    let status = bench.status("a").await.unwrap();
    assert_eq!((status.phase, status.pid, status.since), (EntryPhase::Stopped, None, None));

    assert_eq!(bench.keeper.start("a").await, Ok(StartOutcome::Started));
    let running = bench.until_phase("a", EntryPhase::Running).await;
    assert_eq!(running.detail, json!({"port": 9090}));
    assert!(is_alive(running.pid.unwrap()));
    assert!(running.since.unwrap() <= SystemTime::now());
    assert_eq!((running.restarts, running.error), (0, None));

    assert_eq!(bench.keeper.stop("a").await, Ok(StopOutcome::Stopped));
    let status = bench.status("a").await.unwrap();
    assert_eq!((status.phase, status.pid, status.detail), (EntryPhase::Stopped, None, Value::Null));
    assert!(!is_alive(running.pid.unwrap()));
    assert_eq!(bench.lines("a"), ["not a report"]);
}

#[tokio::test]
async fn our_own_processes_use_the_lifeline() {
    let bench = Bench::new();
    let spec = EntrySpec {
        assignment: json!({"name": "scope"}).to_string(),
        ..EntrySpec::new("a", Arc::new(|| roles::command("worker")))
    };
    bench.start(spec).await;
    let status = bench.until("a", |status| status.detail == "still well").await;
    assert_eq!((status.phase, status.error), (EntryPhase::Running, None));
    assert_eq!(bench.keeper.stop("a").await, Ok(StopOutcome::Stopped));
    let lines = bench.lines("a");
    for line in [r#"stdin is empty: Ok("")"#, "stopping"] {
        assert!(lines.iter().any(|have| have == line), "{line} is missing in {lines:?}");
    }
    assert!(lines.iter().any(|line| line.contains("printed by some library")), "{lines:?}");
}

#[tokio::test]
async fn a_running_child_takes_up_a_change_by_a_message() {
    let bench = Bench::new();
    let script = r#"
        read -r assignment
        echo "{\"event\":\"ready\",\"detail\":$assignment}"
        while read -r line; do
            [ "$line" = stop ] && exit 0
            echo "{\"event\":\"status\",\"detail\":$line}"
        done"#;
    let spec = |number: u32| EntrySpec { assignment: number.to_string(), ..entry("a", script) };
    bench.keeper.add(spec(1)).await.unwrap();
    let not_running = Err(KeeperError::NotRunning("a".into()));
    assert_eq!(bench.keeper.send("a", json!(1)).await, not_running);
    assert_eq!(bench.keeper.change(spec(2), json!(2)).await, not_running);

    bench.keeper.start("a").await.unwrap();
    let running = bench.until_phase("a", EntryPhase::Running).await;
    assert_eq!(running.detail, json!(1), "a refused change replaces nothing");
    bench.keeper.change(spec(3), json!({"to": 3})).await.unwrap();
    let changed = bench.until("a", |status| status.detail != json!(1)).await;
    assert_eq!(changed.detail, json!({"message": {"to": 3}}));
    assert_eq!(changed.pid, running.pid, "it was not restarted");
    bench.keeper.send("a", json!(4)).await.unwrap();
    bench.until("a", |status| status.detail == json!({"message": 4})).await;

    bench.keeper.restart("a").await.unwrap();
    bench.until("a", |status| status.detail == json!(3)).await;
}

#[tokio::test]
async fn requests_say_what_came_of_them() {
    let bench = Bench::new();
    let keeper = &bench.keeper;
    let unknown = || KeeperError::Unknown("b".into());
    bench.settle(entry("a", OBEDIENT)).await;
    assert_eq!(keeper.start("a").await, Ok(StartOutcome::AlreadyRunning));
    assert_eq!(keeper.add(entry("a", "")).await, Err(KeeperError::Exists("a".into())));
    let two_lines = EntrySpec { assignment: "a\nb".into(), ..entry("c", "") };
    assert_eq!(keeper.add(two_lines).await, Err(KeeperError::BadAssignment("c".into())));
    assert_eq!(keeper.start("b").await, Err(unknown()));
    assert_eq!(keeper.restart("b").await, Err(unknown()));
    assert_eq!(keeper.stop("b").await, Err(unknown()));
    assert_eq!(keeper.remove("b").await, Err(unknown()));
    assert_eq!(keeper.replace(entry("b", "")).await, Err(unknown()));
    assert_eq!(keeper.stop("a").await, Ok(StopOutcome::Stopped));
    assert_eq!(keeper.stop("a").await, Ok(StopOutcome::NotRunning));
    keeper.add(entry("slow", "sleep 1000")).await.unwrap();
    assert_eq!(keeper.start("slow").await, Ok(StartOutcome::Started));
    assert_eq!(keeper.start("slow").await, Ok(StartOutcome::AlreadyStarting));
    let starting = keeper.wait_settled(&["slow"], Duration::ZERO).await;
    assert_eq!(starting[0].phase, EntryPhase::Starting, "the time is up");
    assert_eq!(keeper.wait_settled(&["a", "b"], DEADLINE).await.len(), 1, "b is unknown");
}

#[tokio::test]
async fn restart_means_a_new_process() {
    let bench = Bench::new();
    let first = bench.settle(entry("a", OBEDIENT)).await;
    assert_eq!(bench.keeper.restart("a").await, Ok(StartOutcome::AfterStop));
    let second = bench.keeper.wait_settled(&["a"], DEADLINE).await.remove(0);
    assert_eq!((second.phase, second.restarts), (EntryPhase::Running, 0));
    assert_ne!(first.pid, second.pid);
    bench.keeper.stop("a").await.unwrap();
    assert_eq!(bench.keeper.restart("a").await, Ok(StartOutcome::Started));
}

#[tokio::test]
async fn replace_restarts_what_runs_or_has_failed() {
    let bench = Bench::new();
    let with = |id: &str, word: &str| {
        let script =
            format!(r#"echo '{{"event":"ready","detail":"{word}"}}'; read assignment; read stop"#);
        entry(id, script)
    };
    bench.settle(with("runs", "old")).await;
    assert_eq!(bench.settle(entry("failed", "exit 1")).await.phase, EntryPhase::Failed);
    bench.keeper.add(with("stopped", "old")).await.unwrap();
    for id in ["runs", "failed", "stopped"] {
        bench.keeper.replace(with(id, "new")).await.unwrap();
    }
    let all = bench.keeper.wait_settled(&["runs", "failed", "stopped"], DEADLINE).await;
    let all: Vec<_> = all.iter().map(|s| (s.id.as_str(), s.phase, s.detail.clone())).collect();
    assert_eq!(
        all,
        [
            ("failed", EntryPhase::Running, json!("new")),
            ("runs", EntryPhase::Running, json!("new")),
            ("stopped", EntryPhase::Stopped, Value::Null),
        ]
    );
}

#[tokio::test]
async fn removed_entries_are_forgotten() {
    let bench = Bench::new();
    let running = bench.settle(entry("a", OBEDIENT)).await;
    bench.keeper.add(entry("b", OBEDIENT)).await.unwrap();
    assert_eq!(bench.keeper.remove("a").await, Ok(StopOutcome::Stopped));
    assert_eq!(bench.keeper.remove("b").await, Ok(StopOutcome::NotRunning));
    assert_eq!(bench.keeper.snapshot().await, []);
    assert!(!is_alive(running.pid.unwrap()));
    bench.settle(entry("a", OBEDIENT)).await;
}
