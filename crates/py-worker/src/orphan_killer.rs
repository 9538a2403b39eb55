//! Shell process that kills a worker whose daemon has died without ending it.
//!
//! A driver that blocks in C and holds the interpreter lock lets no Python code run, so nothing in
//! the worker could end it then. A shell reads what never comes until the daemon is gone; then it
//! kills the worker's process group, which it is in itself, and everything with the worker's mark.
//! It is the daemon's child, so that a driver may wait for all its children, and so that
//! it is reaped wherever we run. Knows nothing of workers that end before their daemon.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use supervisor::{Child, CommandSpec, Spawner, Stdin};
use tracing::debug;

use crate::reap_descendants::Mark;

/// Name of the shell's process.
const NAME: &str = "ferrolab-guard";

/// A second is for releasing instruments: within two of the daemon's death all must be gone.
/// First what has left the process group. Where there is no /proc, none is found.
const SCRIPT: &str = r#"
read _; sleep 1
for file in $(grep -lsaF "$1" /proc/[0-9]*/environ; grep -lsF " $2 " /proc/[0-9]*/limits); do
    pid=${file#/proc/}; pid=${pid%/*}
    kill -9 "$pid" 2>/dev/null
done
kill -9 0
"#;

/// The guard of a worker; when it is dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Guard {
    _child: Child,
    /// Its end tells the guard that this daemon is gone.
    _life: UnixStream,
}

impl Guard {
    /// A guard for the worker with this process id; none where there is no shell.
    pub(crate) async fn start(spawner: &Spawner, worker: u32, mark: &Mark) -> Option<Guard> {
        let started = async {
            let (life, end) = UnixStream::pair().map_err(|error| error.to_string())?;
            let command = command(worker, mark, end.into());
            let child = spawner.spawn(command).await.map_err(|error| error.to_string())?;
            Ok::<_, String>(Guard { _child: child, _life: life })
        };
        // One that has ended meanwhile needs none.
        started.await.inspect_err(|problem| debug!(worker, problem, "a worker has no guard")).ok()
    }
}

fn command(worker: u32, mark: &Mark, life: OwnedFd) -> CommandSpec {
    let mut command = CommandSpec::new("/bin/sh").args([
        "-c".to_owned(),
        SCRIPT.to_owned(),
        NAME.to_owned(),
        mark.variable(),
        mark.number().to_string(),
    ]);
    command.stdin = Stdin::Socket(life);
    command.parent_death_signal = None;
    command.own_group = false;
    command.group_of = Some(worker);
    command
}
