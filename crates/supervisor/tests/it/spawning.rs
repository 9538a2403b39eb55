//! Single processes, without a keeper.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use supervisor::{Child, CommandSpec, EntryPhase, Exit, Output, Spawner, Stdin};
use tokio::io::AsyncWriteExt;

use crate::bench::{Bench, DEADLINE, entry, is_alive, poll, process_state, sh};

async fn spawn(command: CommandSpec) -> Child {
    Spawner::permanent().unwrap().spawn(command).await.unwrap()
}

#[tokio::test]
async fn pipes_environment_and_directory() {
    let mut command =
        sh(r#"read a; echo "$a $B ${HOME-none} $(pwd)"; echo e >&2; exit 4"#).env("B", "b");
    command.env_remove.push("HOME".into());
    command.current_dir = Some("/".into());
    (command.stdin, command.stdout, command.stderr) = (Stdin::Pipe, Output::Pipe, Output::Pipe);
    let mut child = spawn(command).await;
    child.stdin.take().unwrap().write_all(b"a\n").await.unwrap();
    let mut stdout = child.stdout.take().unwrap();
    assert_eq!(stdout.next().await.unwrap().as_deref(), Some("a b none /"));
    assert_eq!(stdout.next().await.unwrap(), None);
    assert_eq!(child.stderr.take().unwrap().next().await.unwrap().as_deref(), Some("e"));
    assert_eq!(child.wait().await, Exit::Code(4));
    assert_eq!(child.wait().await, Exit::Code(4), "it can be asked again");
    assert_eq!(child.handle().exited(), Some(Exit::Code(4)));
}

#[tokio::test]
async fn signals() {
    type Send = fn(&Child);
    let cases: [(Send, i32); 3] =
        [(Child::terminate, 15), (Child::kill, 9), (Child::kill_group, 9)];
    for (send, signal) in cases {
        for own_group in [true, false] {
            let child = spawn(CommandSpec { own_group, ..sh("exec sleep 1000") }).await;
            send(&child);
            assert_eq!(child.wait().await, Exit::Signal(signal));
            // Harmless: its pid is no longer used.
            send(&child);
        }
    }
}

#[tokio::test]
async fn a_child_that_is_dropped_is_killed_with_its_group_and_reaped() {
    let mut command = sh("sleep 1000 & echo $!; wait");
    command.stdout = Output::Pipe;
    let mut child = spawn(command).await;
    let line = child.stdout.as_mut().unwrap().next().await.unwrap().unwrap();
    let (pid, grandchild) = (child.pid(), line.parse().unwrap());
    let control = child.handle();
    assert!(is_alive(pid) && is_alive(grandchild));
    drop(child);
    assert_eq!(control.wait().await, Exit::Signal(9));
    assert_eq!(process_state(pid), None);
    poll(DEADLINE, "the grandchild dies", || !is_alive(grandchild));
}

/// The death signal follows the thread that forks: if that were the caller's, this child would die.
#[test]
fn a_child_outlives_the_thread_that_asked_for_it() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let child = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // Bytes both ways over the one socket.
        let command = sh("while read -r line <&0; do echo \"got $line\" >&0; done");
        runtime.block_on(spawn(CommandSpec { stdin: Stdin::Socket(theirs.into()), ..command }))
    })
    .join()
    .unwrap();
    let mut replies = BufReader::new(ours.try_clone().unwrap()).lines();
    for word in ["one", "two"] {
        writeln!(ours, "{word}").unwrap();
        assert_eq!(replies.next().unwrap().unwrap(), format!("got {word}"));
    }
    ours.shutdown(std::net::Shutdown::Both).unwrap();
    poll(DEADLINE, "it exits", || child.handle().exited() == Some(Exit::Code(0)));
}

fn memory(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_flood_without_newlines_costs_no_memory() {
    let before = memory("VmRSS:");
    let bench = Bench::new();
    let flood = "head -c 67108864 /dev/zero";
    let script = format!(
        r#"{flood} >&2; {flood}; echo; echo '{{"event":"ready"}}'; read assignment; read stop"#
    );
    let status = bench.settle(entry("a", script)).await;
    assert_eq!(status.phase, EntryPhase::Running, "{:?}", status.error);
    let cost = memory("VmHWM:").saturating_sub(before);
    assert!(cost < 24 * 1024, "{cost} KiB, with all the other tests");
    let lengths: Vec<_> = bench.lines("a").iter().map(String::len).collect();
    assert!(lengths.iter().all(|length| *length < 1_100_000), "{lengths:?}");
}
