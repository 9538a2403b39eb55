//! Crashes: restarts, giving up, and error texts.

use std::sync::Arc;
use std::time::Duration;

use supervisor::{
    CommandSpec, EntryPhase, EntrySpec, EntryStatus, RestartPolicy, Spawner, StartOutcome,
};

use crate::bench::{Bench, DEADLINE, OBEDIENT, entry, is_alive, poll, sh};

fn policy(backoff_ms: &[u64], give_up_after: u32) -> RestartPolicy {
    RestartPolicy {
        backoff: backoff_ms.iter().copied().map(Duration::from_millis).collect(),
        give_up_after: Some(give_up_after),
        ..RestartPolicy::default()
    }
}

#[tokio::test]
async fn restarts_at_once_then_later_then_never() {
    let bench = Bench::new();
    let spec = entry("a", "echo start >&2; exit 7");
    let status = EntrySpec { restart: policy(&[60, 120], 4), ..spec };
    bench.start(status).await;
    let failed = bench.until_phase("a", EntryPhase::Failed).await;
    assert_eq!(failed.error.as_deref(), Some("exited with code 7: start"));
    assert_eq!((failed.restarts, failed.pid, failed.retry_in), (3, None, None));
    let starts = bench.times("start");
    assert_eq!(starts.len(), 4);
    // The first gap has no lower bound that a test could see.
    assert!(starts[2] - starts[1] >= Duration::from_millis(60));
    assert!(starts[3] - starts[2] >= Duration::from_millis(120));

    assert_eq!(bench.keeper.start("a").await, Ok(StartOutcome::Started));
    let failed = bench.until_phase("a", EntryPhase::Failed).await;
    assert_eq!((failed.restarts, bench.times("start").len()), (3, 8), "a new count");
}

#[tokio::test]
async fn a_restart_to_come_is_shown_and_can_be_hurried_or_called_off() {
    let bench = Bench::new();
    let spec = entry("a", "echo 'port in use' >&2; exit 1");
    bench.start(EntrySpec { restart: policy(&[3_600_000], 5), ..spec }).await;
    let waiting = bench.until_phase("a", EntryPhase::Restarting).await;
    assert_eq!(waiting.error.as_deref(), Some("exited with code 1: port in use"));
    assert_eq!((waiting.restarts, waiting.pid), (1, None));
    let retry_in = waiting.retry_in.unwrap();
    assert!((3500..=3600).contains(&retry_in.as_secs()), "{retry_in:?}");

    assert_eq!(bench.keeper.start("a").await, Ok(StartOutcome::Started));
    bench.until_phase("a", EntryPhase::Restarting).await;
    assert_eq!(bench.lines("a").len(), 4);
    bench.keeper.stop("a").await.unwrap();
    let stopped = bench.status("a").await.unwrap();
    assert_eq!((stopped.phase, stopped.error, stopped.retry_in), (EntryPhase::Stopped, None, None));
}

#[tokio::test]
async fn a_condemned_child_is_killed_and_restarted() {
    let bench = Bench::new();
    let spec = EntrySpec { restart: RestartPolicy::default(), ..entry("a", OBEDIENT) };
    let first = bench.settle(spec).await.pid.unwrap();
    bench.keeper.kill_as_crashed("a", first + 1, "another process's fault");
    bench.keeper.kill_as_crashed("b", first, "nobody's fault");
    bench.keeper.kill_as_crashed("a", first, "it does not answer");
    bench.keeper.kill_as_crashed("a", first, "once is enough");
    let again = bench.until("a", |status| status.restarts == 1).await;
    assert_ne!(again.pid, Some(first));
    if again.phase == EntryPhase::Starting {
        assert_eq!(again.error.as_deref(), Some("it does not answer"));
    }
    assert!(!is_alive(first));
    assert_eq!(bench.until_phase("a", EntryPhase::Running).await.restarts, 1);
}

#[tokio::test]
async fn the_error_stays_until_the_next_run_is_ready() {
    let bench = Bench::new();
    let dir = tempfile::tempdir().unwrap();
    let (crashed, go) = (dir.path().join("crashed"), dir.path().join("go"));
    let script = format!(
        "[ -e {crashed} ] || {{ touch {crashed}; exit 9; }}; until [ -e {go} ]; do sleep 0.01; done; {OBEDIENT}",
        crashed = crashed.display(),
        go = go.display(),
    );
    bench.start(EntrySpec { restart: policy(&[], 5), ..entry("a", script) }).await;
    let again = bench.until("a", |status| status.restarts == 1).await;
    assert_eq!(again.phase, EntryPhase::Starting);
    assert_eq!(again.error.as_deref(), Some("exited with code 9"));
    std::fs::File::create(go).unwrap();
    let running = bench.until_phase("a", EntryPhase::Running).await;
    assert_eq!((running.error, running.restarts), (None, 1));
}

#[tokio::test]
async fn a_running_child_that_dies_is_restarted() {
    let bench = Bench::new();
    let spec = EntrySpec { restart: RestartPolicy::default(), ..entry("a", OBEDIENT) };
    let first = bench.settle(spec).await.pid.unwrap();
    let kill = format!("kill -9 {first}");
    let killer = Spawner::permanent().unwrap().spawn(sh(&kill)).await.unwrap();
    assert!(killer.wait().await.success());
    let ready = |status: &EntryStatus| {
        status.phase == EntryPhase::Running && status.restarts == 1 && status.pid != Some(first)
    };
    bench.until("a", ready).await;
}

#[tokio::test]
async fn errors_name_the_cause() {
    let bench = Bench::new();
    let quick = Duration::from_millis(150);
    let cases = [
        ("exit 3", "exited with code 3"),
        ("exit 0", "exited with code 0"),
        ("kill -SEGV $$", "killed by SIGSEGV"),
        ("kill -42 $$", "killed by signal 42"),
        ("echo one >&2; echo >&2; echo two >&2; exit 3", "exited with code 3: one | two"),
        ("seq 9 >&2; exit 3", "exited with code 3: 7 | 8 | 9"),
        (r#"echo '{"level":"INFO"}' >&2; kill -KILL $$"#, "killed by SIGKILL"),
        (r#"echo panic >&2; echo '{"level":"INFO"}' >&2; exit 3"#, "exited with code 3: panic"),
        (r#"echo '{"event":"failed","error":"no port"}'; echo x >&2; exit 1"#, "no port"),
        (r#"echo '{"event":"failed","error":"no port"}'; exec sleep 1000"#, "no port"),
        (r#"echo '{"event":"ready"}'; echo '{"event":"failed","error":"late"}'; exit"#, "late"),
        ("exec sleep 1000", "not ready within 150ms"),
        ("echo busy >&2; sleep 1000; exit 1", "not ready within 150ms"),
    ];
    for (n, (script, error)) in cases.iter().enumerate() {
        let spec = entry(&n.to_string(), *script);
        // Only children that never report ready may reach this limit.
        let limit = if error.starts_with("not ready") { quick } else { spec.ready_timeout };
        bench.start(EntrySpec { ready_timeout: limit, stop_grace: quick, ..spec }).await;
    }
    for (n, (script, error)) in cases.iter().enumerate() {
        let failed = bench.until_phase(&n.to_string(), EntryPhase::Failed).await;
        assert_eq!(failed.error.as_deref(), Some(*error), "{script}");
        assert_eq!(failed.pid, None, "{script}");
    }
}

#[tokio::test]
async fn what_cannot_be_started_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let no_interpreter = dir.path().join("no-interpreter");
    let no_interpreter = no_interpreter.to_str().unwrap();
    // Not written by this process: a fork of another test might hold it open ("text file busy").
    let write = format!("echo '#!/nowhere/python' > {no_interpreter}; chmod +x {no_interpreter}");
    let writer = Spawner::permanent().unwrap().spawn(sh(&write)).await.unwrap();
    assert!(writer.wait().await.success());
    let nowhere = || CommandSpec { current_dir: Some("/x".into()), ..sh("") };
    let cases = [
        (CommandSpec::new("/x/python"), "/x/python", "no such file"),
        (CommandSpec::new("no-such-program"), "no-such-program", "no such program in PATH"),
        (nowhere(), "/bin/sh", "its working directory /x does not exist"),
        (
            CommandSpec::new("/etc/passwd"),
            "/etc/passwd",
            "permission denied (is it an executable file?)",
        ),
        (
            CommandSpec::new(no_interpreter),
            no_interpreter,
            "the interpreter or loader it names does not exist",
        ),
    ];
    for (command, program, reason) in cases {
        let error = Spawner::permanent().unwrap().spawn(command).await.unwrap_err();
        assert_eq!(error.to_string(), format!("cannot start {program}: {reason}"));
    }

    let bench = Bench::new();
    let spec = EntrySpec::new("a", Arc::new(|| CommandSpec::new("/x/python")));
    let failed = bench.settle(EntrySpec { restart: policy(&[], 1), ..spec }).await;
    assert_eq!(failed.phase, EntryPhase::Failed);
    assert_eq!(failed.error.as_deref(), Some("cannot start /x/python: no such file"));
}

#[tokio::test]
async fn a_factory_that_panics_is_a_crash() {
    let bench = Bench::new();
    let spec = EntrySpec::new("a", Arc::new(|| panic!("on purpose")));
    let failed = bench.settle(EntrySpec { restart: policy(&[], 1), ..spec }).await;
    assert_eq!(failed.phase, EntryPhase::Failed);
    assert!(failed.error.unwrap().contains("on purpose"));
}

#[tokio::test]
async fn what_a_child_has_started_dies_with_it() {
    let bench = Bench::new();
    bench.settle(entry("crashes", "sleep 1000 & echo $! >&2; exit 1")).await;
    bench.settle(entry("stops", format!("sleep 1000 & echo $! >&2; {OBEDIENT}"))).await;
    bench.keeper.stop("stops").await.unwrap();
    for id in ["crashes", "stops"] {
        let grandchild = bench.lines(id)[0].parse().unwrap();
        poll(DEADLINE, id, || !is_alive(grandchild));
    }
}
