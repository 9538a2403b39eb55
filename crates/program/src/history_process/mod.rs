//! The history process: stores the live values of this host's daemons and answers questions about
//! them.
//!
//! A client of the daemons like any other: if it dies, no instrument notices. The samples are the
//! crate `history`'s; the supervisor says where the daemons listen.

mod assignment;
mod follow;
mod object;
mod push;
mod recorder;

use std::sync::Arc;
use std::time::Duration;

use history::{Rules, SeriesRetention, Settings};
use remote::{Daemon, DaemonConfig, Expose, Listener, ServerType};
use supervisor::Lifeline;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::warn;

use crate::access::reading_rules;
use crate::authority::AuthorityFiles;
use crate::host::address::{self, public_address_for, unreachable_warning, uri_for_people};
use crate::host::{ChildReport, local_address};
use crate::os;

pub(crate) use assignment::{FeedAddresses, HistoryAssignment, recorded};

use assignment::RecordedMember;
use follow::Followers;
use object::HistoryObject;
use push::PushTroubles;
use recorder::Recorder;

/// Name of the entry, and of its command.
pub(crate) const PROCESS_NAME: &str = "history";
/// The id of the object that answers questions.
pub(crate) const HISTORY: &str = "ferrolab.History";
/// Connections that are served at once.
const CONNECTIONS: usize = 200;
/// Bytes of answers that clients have not read yet.
const UNREAD: usize = 64 * 1024 * 1024;
/// Time between two samples of a series without a gap, where nothing polls it: daemons send one a
/// minute of what does not change.
const HOLD: Duration = Duration::from_secs(150);
/// The same as a multiple of the period of a slow poll.
const HOLD_PERIODS: f64 = 2.5;

/// Runs the history until its supervisor says stop.
///
/// # Errors
/// What keeps it from serving, in words for a person.
pub(crate) async fn run(assignment: HistoryAssignment, lifeline: &Lifeline) -> Result<(), String> {
    let settings = settings(&assignment);
    let HistoryAssignment { config, folder, socket, daemons, authority, push, access, .. } =
        assignment;
    let local = Listener::bind_unix(&socket).map_err(|error| error.to_string())?;
    let network = match config.port {
        None => None,
        Some(port) => {
            let bound = address::bind(&config.host, port).await;
            Some(bound.map_err(|error| error.to_string())?)
        }
    };
    let recorder = Arc::new(Recorder::start(settings));
    let allowed = os::Connections::allowed(1);
    let daemon = Daemon::new(DaemonConfig {
        name: "history".to_owned(),
        server_type: ServerType::Thread,
        threadpool_size: CONNECTIONS,
        connections: Some(allowed.served),
        handshakes: allowed.handshakes,
        handshakes_per_address: allowed.handshakes_per_address,
        answer_memory: Some(UNREAD),
        ..DaemonConfig::default()
    });
    let methods = HistoryObject::card().members.into_iter().map(|member| member.name);
    daemon.set_access(access.map(|access| reading_rules(&access, HISTORY, methods)));
    let object = HistoryObject::new(Arc::clone(&recorder)).into_object();
    daemon.register(HISTORY, object).map_err(|error| error.to_string())?;
    let uri = daemon.uri_for(HISTORY, network.as_ref().unwrap_or(&local));
    let address = local_address(&local);
    let troubles = PushTroubles::default();
    let of_push = troubles.clone();
    let report = move |problems: Vec<String>| {
        let public = public_address_for(&uri);
        let problems = problems.into_iter().chain(unreachable_warning(&uri, public));
        let problems = problems.chain(of_push.list());
        let problems: Vec<String> = problems.collect();
        ChildReport {
            uri: Some(uri_for_people(&uri, public)),
            address: Some(address.clone()),
            warning: (!problems.is_empty()).then(|| problems.join("; ")),
            ..ChildReport::default()
        }
    };
    let authority = AuthorityFiles::in_folder(authority);
    let followers = Followers::new(Arc::clone(&recorder), daemons, authority);
    let (tasks, serving_stop) = (TaskTracker::new(), CancellationToken::new());
    for listener in [Some(local), network].into_iter().flatten() {
        tasks.spawn(daemon.clone().serve(listener, serving_stop.clone()));
    }
    let stopping = lifeline.stopping();
    let working = async {
        tokio::join!(
            recorder.report(&report, lifeline),
            followers.follow(lifeline.take_messages()),
            push::follow(push, folder, Arc::clone(&recorder), troubles),
        )
    };
    stopping.run_until_cancelled(working).await;
    serving_stop.cancel();
    tasks.close();
    tasks.wait().await;
    let end = tokio::task::spawn_blocking(move || recorder.flush());
    if let Err(error) = AbortOnDropHandle::new(end).await {
        warn!(%error, "the history did not end well");
    }
    Ok(())
}

fn settings(assignment: &HistoryAssignment) -> Settings {
    let HistoryAssignment { config, folder, members, .. } = assignment;
    let duration = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    let rule = |member: &RecordedMember| SeriesRetention {
        service: member.service.clone(),
        member: member.member.clone(),
        keep: member.keep.map(duration).or(config.keep),
        hold: member.poll.map_or(HOLD, |poll| HOLD.max(duration(poll * HOLD_PERIODS))),
    };
    let members = members.iter().map(rule).collect();
    let rules = Rules { members, keep: config.keep, hold: HOLD };
    Settings { folder: folder.clone(), size: config.size, rules }
}
