//! Keeps one worker running.
//!
//! Owns the decisions: when a worker is started, when it counts as dead, when a service that failed
//! is tried again. One task per worker owns that state; services are told their phase.
//!
//! A worker that dies is started again ([`worker_deaths`](crate::worker_deaths) says when); deaths
//! are in a row where the worker has not even answered a call in between, or has died within a
//! second. An order restarts it with another specification.
//!
//! The running worker imports a failed service again: after 2 s, then ever later up to a minute,
//! and whenever a client asks for it, at most once a second.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use supervisor::{Child, RestartDecision, Spawner};
use tokio::net::unix::OwnedReadHalf;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::control::{FrameReader, Message, Outgoing, Trouble};
use crate::import_backoff::Attempts;
use crate::part_set::PartSet;
use crate::reap_descendants::Mark;
use crate::registered::Registered;
use crate::registry::Registry;
use crate::run::{Run, Silence, Started};
use crate::service::{Service, ServicePhase};
use crate::spec::WorkerSpec;
use crate::watchdog::{Look, Watchdog, is_stopped};
use crate::worker_deaths::{Died, STABLE, WorkerDeaths};
use crate::worker_handle::WorkerHandle;

/// How long running calls may take when the worker is stopped.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// How long the release of instruments may take after the running calls.
const RELEASE: Duration = Duration::from_millis(1500);
/// A worker that has answered a call starts a new row of deaths after this time.
const USEFUL: Duration = Duration::from_secs(1);
/// A worker that has closed its control socket is to be gone after this time.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// A worker to be kept.
pub(crate) struct WorkerSupervisor {
    worker: Arc<WorkerHandle>,
    services: Vec<Service>,
    parts: PartSet,
    spawner: Spawner,
    registry: Arc<dyn Registry>,
    retries: mpsc::UnboundedReceiver<String>,
    restarts: mpsc::UnboundedReceiver<WorkerRestart>,
    stop: CancellationToken,
    /// Services of this run whose constructors have raised before they were loaded.
    broken_early: BTreeMap<String, Trouble>,
}

/// Order to restart a worker.
pub(crate) struct WorkerRestart {
    /// The specification of its next run.
    pub(crate) spec: WorkerSpec,
    /// In words: `was restarted by hand`.
    pub(crate) reason: String,
    /// Told when the services count as starting.
    pub(crate) begun: oneshot::Sender<()>,
}

/// How a run ended.
enum RunEnd {
    Died(Died),
    /// By an order to restart, which was carried out in part.
    Restarts,
}

impl WorkerSupervisor {
    pub(crate) fn new(
        spec: WorkerSpec,
        spawner: Spawner,
        registry: Arc<dyn Registry>,
        stop: CancellationToken,
        changes: Arc<watch::Sender<u64>>,
        restarts: mpsc::UnboundedReceiver<WorkerRestart>,
    ) -> Self {
        let (worker, retries) = WorkerHandle::new(spec, changes);
        let services = worker
            .spec()
            .services
            .iter()
            .map(|service| Service::new(&service.name, Arc::clone(&worker)))
            .collect();
        let parts = PartSet::new(Arc::clone(&registry));
        let broken_early = BTreeMap::new();
        WorkerSupervisor {
            worker,
            services,
            parts,
            spawner,
            registry,
            retries,
            restarts,
            stop,
            broken_early,
        }
    }

    /// The services, as the daemon serves them.
    pub(crate) fn services(&self) -> &[Service] {
        &self.services
    }

    /// Keeps the worker running until it is to stop.
    pub(crate) async fn run(mut self) {
        let worker = self.worker.spec().name.clone();
        let mut deaths = WorkerDeaths::new();
        for number in 1_u64.. {
            let spec = self.worker.spec();
            let starting = Run::start(&spec, &self.spawner, number);
            let started = tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                Some(order) = self.restarts.recv() => {
                    self.begin_restart(order);
                    continue;
                }
                started = starting => started,
            };
            let ended = match started {
                Ok(started) => self.serve(started).await,
                Err(error) => {
                    let fate = format!("cannot start: {error}");
                    RunEnd::Died(Died { fate, uptime: Duration::ZERO, is_killed: false })
                }
            };
            self.worker.sessions.forget_run(number);
            if self.stop.is_cancelled() {
                break;
            }
            let RunEnd::Died(died) = ended else {
                deaths.reset();
                continue;
            };
            let fate = &died.fate;
            error!(worker, "the Python worker {fate}");
            match deaths.on_death(&died) {
                RestartDecision::RestartNow => self.set_all(&ServicePhase::starting()),
                RestartDecision::RestartIn(delay) => {
                    self.set_all(&ServicePhase::Down(format!(
                        "its Python worker {fate}; it is started again after {delay:?}"
                    )));
                    tokio::select! {
                        biased;
                        () = self.stop.cancelled() => break,
                        Some(order) = self.restarts.recv() => {
                            self.begin_restart(order);
                            deaths.reset();
                        }
                        () = tokio::time::sleep(delay) => {}
                    }
                }
                RestartDecision::GiveUp => {
                    self.set_all(&ServicePhase::Down(format!("its Python worker {fate}")));
                    break;
                }
            }
        }
        self.set_all(&ServicePhase::Stopped);
    }

    /// Takes up what an order says, before the next start. Calls wait for that from now on.
    fn begin_restart(&mut self, WorkerRestart { spec, reason, begun }: WorkerRestart) {
        info!(worker = spec.name, reason, "the Python worker is restarted");
        for service in spec.services.iter().filter(|service| service.parts.is_empty()) {
            // The next run says nothing of parts that are not asked for.
            self.parts.remove_all_of(&service.name);
        }
        self.worker.set_spec(spec);
        for service in &self.services {
            service.follow_spec();
            // Those of the next import come with it.
            service.set_sources(Vec::new());
        }
        self.parts.follow_spec();
        self.set_all(&ServicePhase::starting());
        // Fails if nobody waits for it any longer.
        let _ = begun.send(());
    }

    fn set_all(&self, phase: &ServicePhase) {
        for service in &self.services {
            service.set_phase(phase.clone());
        }
        self.parts.set_all(phase);
    }

    /// A worker is there that imports its services one after the other: after a pause, those that
    /// it has not come to yet are down no longer. Where each import ends the process, they are down
    /// again within moments; a notification is sent for the first of such faults only.
    fn await_imports(&self) {
        let is_down = |service: &&Service| matches!(service.phase(), ServicePhase::Down(_));
        for service in self.services.iter().filter(is_down) {
            service.set_phase(ServicePhase::starting());
        }
    }

    /// Serves with one run, until its process has ended.
    async fn serve(&mut self, started: Started) -> RunEnd {
        let Started { run, child, messages, guard, mark } = started;
        let since = Instant::now();
        let run = Arc::new(run);
        self.worker.runs_with(&run.facts.executable);
        info!(
            worker = self.worker.spec().name,
            pid = child.pid(),
            python = run.facts.version,
            executable = run.facts.executable,
            "the Python worker is up"
        );
        self.broken_early.clear();
        self.await_imports();
        let mut attempts = Attempts::default();
        let mut registered = Registered::new(Arc::clone(&self.registry));
        let mut watchdog = Watchdog::new(self.worker.spec().watchdog, since);
        let (sender, mut inbox) = mpsc::channel(64);
        let reading = tokio::spawn(read_messages(messages, sender));
        let mut is_listening = true;
        let (mut is_restarted, mut is_useful) = (false, false);
        loop {
            tokio::select! {
                biased;
                _ = child.wait() => break,
                () = self.stop.cancelled() => {
                    self.set_all(&ServicePhase::Stopped);
                    self.stop_run(&run, &child).await;
                    if has_said_released(&mut inbox).await {
                        self.worker.set_released(run.number);
                    }
                    break;
                }
                Some(order) = self.restarts.recv() => {
                    is_restarted = true;
                    // Calls that are ended by it say why.
                    let _ = run.verdict.set(order.reason.clone());
                    self.begin_restart(order);
                    self.stop_run(&run, &child).await;
                    break;
                }
                message = inbox.recv(), if is_listening => match message {
                    Some(message) => {
                        watchdog.sign_of_life(Instant::now());
                        self.end_silence(&run);
                        self.obey(&run, message, &mut attempts, &mut registered);
                    }
                    None => {
                        is_listening = false;
                        // An end of the process that takes its time, or a driver that has closed
                        // every file descriptor there is.
                        if timeout(END_TIMEOUT, child.wait()).await.is_err() {
                            self.kill(&run, &child, "closed its control socket and was killed");
                        }
                    }
                },
                Some(service) = self.retries.recv() => {
                    self.load(&run, &attempts.take_asked_for(&service, Instant::now()));
                }
                () = due(attempts.next()) => {
                    self.load(&run, &attempts.take_overdue(Instant::now()));
                }
                () = run.wanted.notified() => run.refill(),
                () = self.worker.has_other_facts() => self.parts.lay_facts(),
                () = sleep_until(watchdog.next()) => {
                    let now = Instant::now();
                    if run.has_answered.swap(false, Ordering::Relaxed) {
                        is_useful = true;
                        watchdog.sign_of_life(now);
                        self.end_silence(&run);
                    }
                    match watchdog.look(now) {
                        Look::Ask => run.send(Outgoing::ping(run.number)),
                        Look::Wait => {}
                        // A poll is no reason to restart a driver; a call that waits for it is.
                        Look::Kill if self.worker.sessions.only_polls_run(&run) => {}
                        Look::Kill => self.kill(&run, &child, &watchdog.verdict()),
                    }
                    if let Some(silent) = watchdog.hangs_for(now) {
                        self.begin_silence(&run, silent);
                    }
                }
            }
        }
        run.end();
        registered.clear();
        reading.abort();
        // The sweep kills the guard too, before its drop would have it do the same.
        self.sweep(mark).await;
        drop(guard);
        if is_restarted {
            return RunEnd::Restarts;
        }
        let fate = run.fate().unwrap_or_else(|| "has ended".to_owned());
        let uptime = since.elapsed();
        is_useful |= run.has_answered.load(Ordering::Relaxed);
        let uptime = if is_useful && uptime >= USEFUL { STABLE } else { uptime };
        RunEnd::Died(Died { fate, uptime, is_killed: run.is_killed_from_outside() })
    }

    /// The interpreter has not moved for this long.
    fn begin_silence(&self, run: &Run, silent: Duration) {
        if run.silence().is_some() {
            return;
        }
        let pid = run.process.pid();
        let since = SystemTime::now().checked_sub(silent).unwrap_or(SystemTime::UNIX_EPOCH);
        let silence = Silence { since, is_stopped: is_stopped(pid) };
        warn!(
            worker = self.worker.spec().name,
            pid,
            seconds = silent.as_secs(),
            stopped_by_a_signal = silence.is_stopped,
            "the Python worker does not move"
        );
        run.set_silence(Some(silence));
        self.worker.changed();
    }

    /// The worker has said something.
    fn end_silence(&self, run: &Run) {
        if run.silence().is_some() {
            run.set_silence(None);
            info!(worker = self.worker.spec().name, "the Python worker moves again");
            self.worker.changed();
        }
    }

    /// Kills a worker's descendants that are in other sessions.
    async fn sweep(&self, mark: Mark) {
        let killed = tokio::task::spawn_blocking(move || mark.kill_all()).await.unwrap_or(0);
        if killed > 0 {
            warn!(worker = self.worker.spec().name, "killed {killed} processes it has left behind");
        }
    }

    fn kill(&self, run: &Run, child: &Child, why: &str) {
        // The first killer says why.
        let _ = run.verdict.set(why.to_owned());
        child.kill_group();
    }

    async fn stop_run(&self, run: &Run, child: &Child) {
        run.send(Outgoing::stop(STOP_GRACE.as_secs_f64()));
        if timeout(STOP_GRACE + RELEASE, child.wait()).await.is_err() {
            warn!(worker = self.worker.spec().name, "the Python worker does not stop; killing it");
            child.kill_group();
            child.wait().await;
        }
    }

    fn load(&self, run: &Run, names: &[String]) {
        let spec = self.worker.spec();
        let services: Vec<_> =
            spec.services.iter().filter(|service| names.contains(&service.name)).collect();
        if !services.is_empty() {
            run.send(Outgoing::load(services));
        }
    }

    fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name() == name)
    }

    fn obey(
        &mut self,
        run: &Arc<Run>,
        message: Message,
        attempts: &mut Attempts,
        registered: &mut Registered,
    ) {
        match message {
            Message::Loaded { service: name, members, remarks } => {
                info!(service = name, "ready");
                warn_of(&name, &remarks);
                attempts.succeeded(&name);
                let broken = self.broken_early.remove(&name);
                if let Some(service) = self.service(&name) {
                    service.loaded(Arc::clone(run), members, remarks, broken);
                }
                self.parts.owner_loaded(&name, run);
            }
            Message::Sources { service: name, files } => {
                if let Some(service) = self.service(&name) {
                    service.set_sources(files);
                }
            }
            Message::Members { service: name, members, remarks } => {
                if let Some(service) = self.service(&name) {
                    let known = service.remarks();
                    warn_of(&name, remarks.iter().filter(|remark| !known.contains(remark)));
                    service.set_members(members, remarks);
                }
            }
            Message::Failed { service: name, trouble } => {
                attempts.failed(&name, Instant::now());
                self.parts.owner_failed(&name, &trouble);
                let Some(service) = self.service(&name) else { return };
                let known =
                    matches!(service.phase(), ServicePhase::Failed(before) if before == trouble);
                if known {
                    debug!(service = name, "still cannot be loaded: {}", trouble.text);
                } else {
                    let traceback = trouble.traceback.concat();
                    error!(
                        service = name,
                        "cannot be loaded: {}\n{}",
                        trouble.text,
                        traceback.trim_end()
                    );
                    service.set_phase(ServicePhase::Failed(trouble));
                }
            }
            Message::Broken { service, trouble } => {
                if let Some(trouble) = self.set_broken(run, &service, Some(trouble)) {
                    self.broken_early.insert(service, trouble);
                }
            }
            Message::Mended { service } => {
                self.broken_early.remove(&service);
                self.set_broken(run, &service, None);
            }
            Message::Refuses { reason } => run.set_refusal(reason),
            Message::Ended { number, raised } => run.oneways.report(number, raised),
            Message::Ask { number, what, arguments } => {
                let answer =
                    registered.answer(&self.worker, run, &what, &arguments, &mut self.parts);
                run.send(Outgoing::answer(number, answer));
            }
            Message::Pong | Message::Hello { .. } | Message::Released => {}
        }
    }

    /// Notes whether the constructor of a loaded service has raised; the trouble of one that is not
    /// loaded is handed back.
    fn set_broken(&self, run: &Arc<Run>, name: &str, broken: Option<Trouble>) -> Option<Trouble> {
        match self.service(name) {
            Some(service) if matches!(service.phase(), ServicePhase::Serving { .. }) => {
                service.set_phase(ServicePhase::Serving { run: Arc::clone(run), broken });
                None
            }
            _ => broken,
        }
    }
}

fn warn_of<'a>(service: &str, remarks: impl IntoIterator<Item = &'a String>) {
    for remark in remarks {
        warn!(service, "{remark}");
    }
}

async fn due(next: Option<Instant>) {
    match next {
        Some(next) => sleep_until(next).await,
        None => std::future::pending().await,
    }
}

/// Whether a worker whose process has ended had said that all instances are released.
async fn has_said_released(inbox: &mut mpsc::Receiver<Message>) -> bool {
    // A descendant that has its socket would keep the end from coming.
    while let Ok(Some(message)) = timeout(END_TIMEOUT, inbox.recv()).await {
        if message == Message::Released {
            return true;
        }
    }
    false
}

async fn read_messages(mut frames: FrameReader<OwnedReadHalf>, inbox: mpsc::Sender<Message>) {
    loop {
        match frames.next().await {
            Ok(Some(content)) => match Message::read(content) {
                Some(message) => {
                    if inbox.send(message).await.is_err() {
                        return;
                    }
                }
                None => warn!("a Python worker says what this daemon does not understand"),
            },
            Ok(None) => return,
            Err(problem) => {
                warn!(%problem, "the control socket of a Python worker is lost");
                return;
            }
        }
    }
}
