//! Child processes of the tests: this test program, started with the name of a role in its
//! environment.

use std::sync::Arc;

use serde_json::{Value, json};
use supervisor::{CommandSpec, EntrySpec, Keeper, Lifeline, Signal, Spawner};

use crate::bench::{DEADLINE, entry, sh};

const ROLE: &str = "SUPERVISOR_TEST_ROLE";

/// This program in a role. (With one thread the test harness would print the test's name, without
/// a newline, before the role's first words.)
pub(crate) fn command(role: &str) -> CommandSpec {
    let program = std::env::current_exe().unwrap();
    CommandSpec::new(program)
        .args(["--exact", "roles::play", "--nocapture", "--test-threads=2"])
        .env(ROLE, role)
}

/// As [`command`], with SIGTERM ignored: only the lifeline can end it.
fn deaf_command(role: &str) -> CommandSpec {
    let command = command(role);
    CommandSpec { env: command.env, ..sh(r#"trap "" TERM; exec "$0" "$@""#) }
        .args([command.program.into_os_string()])
        .args(command.args)
}

#[test]
fn play() {
    match std::env::var(ROLE).as_deref() {
        Ok("parent") => parent(),
        Ok("worker") => worker(),
        Ok("stuck") => stuck(),
        _ => {}
    }
}

/// Prints many lines, reports, and ends at `stop`.
#[tokio::main(flavor = "current_thread")]
async fn worker() {
    let (assignment, line) = Lifeline::take().unwrap();
    let assignment: Value = serde_json::from_str(&assignment).unwrap();
    println!("{}", json!({"event": "failed", "error": "printed by some library"}));
    println!("stdin is empty: {:?}", std::io::read_to_string(std::io::stdin()));
    line.ready(assignment);
    line.status(json!("still well"));
    line.stopping().cancelled().await;
    eprintln!("stopping");
    std::process::exit(0);
}

/// A process whose threads all hang, as in a driver's call.
fn stuck() {
    let (_, line) = Lifeline::take().unwrap();
    line.ready(Value::Null);
    loop {
        std::thread::park();
    }
}

/// A supervisor with children of several kinds. It prints their pids and waits to be killed.
#[tokio::main(flavor = "current_thread")]
async fn parent() {
    let keeper = Keeper::start(Spawner::permanent().unwrap(), Arc::new(|_, _| {}));
    let with_term = |script: &'static str| {
        let command = || CommandSpec { parent_death_signal: Some(Signal::Term), ..sh(script) };
        Arc::new(command) as supervisor::CommandFactory
    };
    let specs = [
        // Reads nothing: only the parent death signal can end it.
        entry("ignores-eof", r#"echo '{"event":"ready"}'; exec sleep 1000"#),
        EntrySpec::new(
            "obeys-term",
            with_term(r#"echo '{"event":"ready"}'; exec sleep 1000 < /dev/zero"#),
        ),
        EntrySpec::new(
            "reacts-to-eof",
            with_term(
                r#"trap "" TERM; echo '{"event":"ready"}'; while read -r line; do :; done; exit"#,
            ),
        ),
        EntrySpec::new(
            "stuck",
            Arc::new(|| CommandSpec {
                parent_death_signal: Some(Signal::Term),
                ..deaf_command("stuck")
            }),
        ),
    ];
    let ids: Vec<_> = specs.iter().map(|spec| spec.id.clone()).collect();
    for spec in specs {
        let id = spec.id.clone();
        keeper.add(spec).await.unwrap();
        keeper.start(&id).await.unwrap();
    }
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    let pids: Vec<_> = keeper
        .wait_settled(&ids, DEADLINE)
        .await
        .into_iter()
        .map(|status| (status.id, status.pid.unwrap()))
        .collect();
    println!("{}", json!({ "children": pids }));
    std::future::pending::<()>().await;
}
