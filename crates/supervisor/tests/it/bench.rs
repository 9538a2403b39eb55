//! Test helpers: a keeper with its log, scripts, and waiting for conditions.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use supervisor::{
    CommandSpec, EntryPhase, EntrySpec, EntryStatus, Keeper, KeeperHandle, LogSink, RestartPolicy,
    Spawner,
};

/// Longest wait for a condition: enough for a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// Script that reads its assignment, reports ready, and ends at `stop` or at its parent's death.
pub(crate) const OBEDIENT: &str = r#"
    read -r assignment
    echo '{"event":"ready"}'
    while read -r line; do [ "$line" = stop ] && exit 0; done"#;

/// Keeper, with the lines that its children have printed.
pub(crate) struct Bench {
    pub(crate) keeper: KeeperHandle,
    log: Arc<Mutex<Vec<(String, String, Instant)>>>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let log = Arc::new(Mutex::new(Vec::new()));
        let sink: LogSink = {
            let log = Arc::clone(&log);
            Arc::new(move |id, line| {
                log.lock().unwrap().push((id.to_owned(), line.to_owned(), Instant::now()));
            })
        };
        Self { keeper: Keeper::start(Spawner::permanent().unwrap(), sink), log }
    }

    /// Adds and starts an entry.
    pub(crate) async fn start(&self, spec: EntrySpec) {
        let id = spec.id.clone();
        self.keeper.add(spec).await.unwrap();
        self.keeper.start(&id).await.unwrap();
    }

    /// Adds and starts an entry, and waits until it has settled.
    pub(crate) async fn settle(&self, spec: EntrySpec) -> EntryStatus {
        let id = spec.id.clone();
        self.start(spec).await;
        self.keeper.wait_settled(&[&id], DEADLINE).await.remove(0)
    }

    pub(crate) async fn status(&self, id: &str) -> Option<EntryStatus> {
        self.keeper.snapshot().await.into_iter().find(|status| status.id == id)
    }

    /// Waits until the entry's status satisfies the condition.
    pub(crate) async fn until(
        &self,
        id: &str,
        wanted: impl Fn(&EntryStatus) -> bool,
    ) -> EntryStatus {
        let mut version = self.keeper.watch();
        let mut last = None;
        let wait = async {
            loop {
                version.borrow_and_update();
                last = self.status(id).await;
                match &last {
                    Some(status) if wanted(status) => return status.clone(),
                    _ => version.changed().await.expect("the keeper lives"),
                }
            }
        };
        match tokio::time::timeout(DEADLINE, wait).await {
            Ok(status) => status,
            Err(_) => panic!("{id} does not become as wanted; it is {last:?}"),
        }
    }

    pub(crate) async fn until_phase(&self, id: &str, phase: EntryPhase) -> EntryStatus {
        self.until(id, |status| status.phase == phase).await
    }

    /// The lines that an entry has printed.
    pub(crate) fn lines(&self, id: &str) -> Vec<String> {
        let log = self.log.lock().unwrap();
        log.iter().filter(|(of, ..)| of == id).map(|(_, line, _)| line.clone()).collect()
    }

    /// The entries that have printed `line`, in order.
    pub(crate) fn who(&self, line: &str) -> Vec<String> {
        let log = self.log.lock().unwrap();
        log.iter().filter(|(_, text, _)| text == line).map(|(id, ..)| id.clone()).collect()
    }

    /// When `line` was printed.
    pub(crate) fn times(&self, line: &str) -> Vec<Instant> {
        let log = self.log.lock().unwrap();
        log.iter().filter(|(_, text, _)| text == line).map(|(.., at)| *at).collect()
    }
}

/// An entry that runs a shell script, once.
pub(crate) fn entry(id: &str, script: impl Into<String>) -> EntrySpec {
    let script = script.into();
    let command = move || sh(&script);
    let restart = RestartPolicy { give_up_after: Some(1), ..RestartPolicy::default() };
    EntrySpec { restart, ..EntrySpec::new(id, Arc::new(command)) }
}

pub(crate) fn sh(script: &str) -> CommandSpec {
    CommandSpec::new("/bin/sh").args(["-c", script])
}

/// Waits until `condition` holds, or fails after `limit`.
pub(crate) fn poll(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The state letter of a process in /proc; `None` if it does not exist.
pub(crate) fn process_state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Whether a process exists and is no zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    !matches!(process_state(pid), None | Some('Z' | 'X'))
}
