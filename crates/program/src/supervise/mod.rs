//! The supervisor process: one for each home, the parent of everything.
//!
//! Owns the order of its start and its end. The children are the [`entries`]', the
//! conversation with the command line is [`control`]'s.

pub(crate) mod active_config;
pub(crate) mod control;
pub(crate) mod diagnosis;
pub(crate) mod entries;
pub(crate) mod incidents;
mod stale_names;
mod systemd;

use std::io;
use std::sync::Arc;

use lab_config::{ConfigError, Configuration, Warning};
use rustix::process::Signal;
use supervisor::InstanceLock;
use supervisor::Keeper;
use supervisor::Spawner;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::audit::{Audit, AuditLine};
use crate::log::host_warnings::Troubles;
use crate::log::{self, LogFile};
use crate::paths::{Paths, PathsError};
use crate::supervise::control::server;
use crate::supervise::entries::{Fleet, LaunchError, Past};
use crate::supervise::incidents::Incidents;

/// Why the supervisor cannot run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SuperviseError {
    /// Another one runs in this home.
    #[error("this lab is up already: its supervisor has pid {}", .0.map_or("?".into(), |pid| pid.to_string()))]
    Running(Option<u32>),
    #[error(transparent)]
    Paths(#[from] PathsError),
    #[error(transparent)]
    Config(#[from] Box<ConfigError>),
    #[error("cannot {operation}: {source}")]
    Io {
        operation: String,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Launch(#[from] LaunchError),
}

/// Choices at the start of a lab.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    /// Whether the log goes to the terminal, too.
    pub(crate) echo: bool,
    /// Whether services that have a stand-in (`simulate:`) are simulated.
    pub(crate) simulates: bool,
}

/// Runs the lab of `paths` until it is told to stop: by the command line, SIGTERM, SIGINT, or
/// `stop`, which is cancelled in any case then.
///
/// # Errors
/// What keeps the lab from starting.
pub(crate) async fn run(
    paths: &Paths,
    Options { echo, simulates }: Options,
    stop: CancellationToken,
) -> Result<(), SuperviseError> {
    let failed = |operation: &str| {
        let operation = operation.to_owned();
        move |source| SuperviseError::Io { operation, source }
    };
    paths.ensure()?;
    let lock_file = paths.lock_file();
    let Some(_lock) = InstanceLock::acquire(&lock_file)
        .map_err(failed(&format!("lock {}", lock_file.display())))?
    else {
        return Err(SuperviseError::Running(InstanceLock::holder(&lock_file)));
    };
    let troubles = Troubles::default();
    let lost = active_config::check_state(paths);
    if !lost.is_empty() {
        troubles.set("state files", lost.join("; "));
    }
    let (configuration, warnings) = configuration(paths, simulates, &troubles)?;
    let log = LogFile::open(&paths.log_file(), echo, troubles.clone())
        .map_err(failed("start the log"))?;
    log::init_supervisor(&log);
    // Signals are caught before there is a child that they would orphan.
    let mut terminate = signal(SignalKind::terminate()).map_err(failed("catch SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed("catch SIGINT"))?;
    if echo {
        refuse_to_pause().map_err(failed("catch SIGTSTP"))?;
    }
    let socket = paths.control_socket()?;
    let listener = server::bind(&socket)
        .map_err(failed(&format!("listen for the command line at {}", socket.display())))?;
    let program = std::env::current_exe().map_err(failed("find this program's own file"))?;
    let spawner = Spawner::permanent().map_err(failed("start the spawning thread"))?;
    let (sink, from_log) = entries::watch_log(log.sink());
    let keeper = Keeper::start(spawner, sink);
    info!(version = env!("CARGO_PKG_VERSION"), configuration = %paths.config_file.display(),
        pid = std::process::id(), "{}", log::START);
    // After that line, from which `logs show` begins.
    for trouble in troubles.list() {
        warn!("{trouble}");
    }
    for service in configuration.services.iter().filter(|service| service.simulated) {
        warn!(service = service.name, "it is simulated: no instrument is driven");
    }
    for warning in &warnings {
        warn!(configuration = %paths.config_file.display(), "{}", warning.plain());
    }
    let opened = Audit::open(&paths.audit_of_supervisor(), "", Some(troubles.clone()));
    let opened = opened.inspect_err(|error| warn!(%error, "there will be no audit"));
    let (audit, _audit_end) = opened.ok().unzip();
    let (incidents, death) = Incidents::load(paths);
    let past = Past { incidents: incidents.clone(), death, from_log };
    let fleet = Fleet::launch(configuration, paths, program, keeper, troubles, past).await?;
    let fleet = Arc::new(fleet);
    let ended = CancellationToken::new();
    let conversations = tokio::spawn(server::serve(
        listener,
        Arc::clone(&fleet),
        audit.clone(),
        stop.clone(),
        ended.clone(),
    ));
    let living = tokio::spawn(systemd::life(Arc::clone(&fleet)));
    let reason = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
        () = stop.cancelled() => "a request",
    };
    info!(reason, "the lab stops");
    if let Some(audit) = audit.filter(|_| reason != "a request") {
        audit.record(AuditLine { who: reason.to_owned(), ..AuditLine::now("down") });
    }
    // From now on the answer to a request is that the lab is being stopped.
    stop.cancel();
    living.abort();
    tokio::select! {
        // The service manager hears of it before the first entry stops.
        biased;
        () = systemd::end(Arc::clone(&fleet)) => {}
        () = fleet.shutdown() => {}
    }
    info!("everything has stopped");
    incidents.end();
    // Removed before the last answer: a client that reads that the lab is down can start it again.
    if let Err(error) = std::fs::remove_file(&socket) {
        warn!(%error, "cannot remove the control socket");
    }
    ended.cancel();
    if let Err(error) = conversations.await {
        warn!(%error, "the conversations with the command line did not end well");
    }
    Ok(())
}

/// Goes on at Ctrl-Z: the entries would run on with nobody who restarts what crashes or hangs, or
/// answers `status`. A handler, and not the signal ignored: children would inherit that.
fn refuse_to_pause() -> io::Result<()> {
    let mut pause = signal(SignalKind::from_raw(Signal::TSTP.as_raw()))?;
    tokio::spawn(async move {
        while pause.recv().await.is_some() {
            warn!(
                "the lab does not pause: its entries would go on, with nobody to look after them; \
                 Ctrl-C stops it, and `ferrolab up` keeps it in the background"
            );
        }
    });
    Ok(())
}

/// The configuration to start with. A host that boots brings its instruments back even if
/// somebody has left a mistake in the file: with the last one that was in force.
fn configuration(
    paths: &Paths,
    simulates: bool,
    troubles: &Troubles,
) -> Result<(Configuration, Vec<Warning>), Box<ConfigError>> {
    match active_config::load_as(paths, simulates) {
        Ok(loaded) => {
            // Without a copy there is nothing to fall back to, and that is all.
            let _ = active_config::keep_good(paths);
            Ok(loaded)
        }
        Err(error) => match active_config::load_good(paths, simulates) {
            None => Err(error),
            Some(good) => {
                let text = format!("the lab was started with its last good configuration: {error}");
                troubles.set("configuration", text);
                Ok((good, Vec::new()))
            }
        },
    }
}
