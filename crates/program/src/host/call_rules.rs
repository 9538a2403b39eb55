//! Rules for the calls of a daemon's services, as the configuration has them, and its call log.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lab_config::{AuditMode, OnTimeout, Service};
use remote::{CallLogMode, CallRules, DAEMON_NAME, Daemon};
use tracing::warn;

use crate::host::feed::{self, FEED, Feed};
use crate::log::call_log::CallLogFile;

/// Sets the rules for the calls of each service. To be done before drivers register parts, which
/// have the rules of their services.
pub(super) fn set(daemon: &Daemon, config: &lab_config::Daemon, services: &[Service]) {
    for service in services {
        set_of(daemon, config, service);
    }
    // Questions to the daemon itself change no instrument.
    let log = match mode(config.call_log) {
        CallLogMode::Changes => CallLogMode::Errors,
        mode => mode,
    };
    daemon.set_call_rules(DAEMON_NAME, CallRules { log, ..CallRules::default() });
    // Its readers wait in it: that is no slow call.
    let log = CallLogMode::Off;
    daemon.set_call_rules(FEED, CallRules { log, ..CallRules::default() });
}

/// Sets the rules for the calls of one service and of its parts.
pub(super) fn set_of(daemon: &Daemon, config: &lab_config::Daemon, service: &Service) {
    daemon.set_call_rules(&service.name, rules(service, config.call_log));
    daemon.abort_calls_by(&service.name, service.abort.clone());
}

fn rules(service: &Service, of_daemon: lab_config::CallLogMode) -> CallRules {
    let limited = service.members.iter().filter_map(|member| {
        let timeout = member.call_timeout?;
        Some((member.name.clone(), Some(timeout).filter(|timeout| !timeout.is_zero())))
    });
    let private = service.members.iter().filter(|member| member.private);
    CallRules {
        timeout: service.call_timeout,
        member_timeouts: limited.collect(),
        restarts: service.on_timeout == OnTimeout::Restart,
        log: mode(service.call_log.unwrap_or(of_daemon)),
        is_audited: service.audit == AuditMode::Calls,
        private: private.map(|member| member.name.clone()).collect(),
    }
}

fn mode(mode: lab_config::CallLogMode) -> CallLogMode {
    match mode {
        lab_config::CallLogMode::Off => CallLogMode::Off,
        lab_config::CallLogMode::Errors => CallLogMode::Errors,
        lab_config::CallLogMode::Changes => CallLogMode::Changes,
        lab_config::CallLogMode::All => CallLogMode::All,
    }
}

/// Begins the call log, where the supervisor has named a `file` for it; `feed` has its lines, too.
pub(super) fn begin_log(
    daemon: &Daemon,
    name: &str,
    slow: Option<Duration>,
    file: Option<&Path>,
    feed: &Feed,
) -> Option<Arc<CallLogFile>> {
    let file = file?;
    match CallLogFile::open(file, name) {
        Ok((kept, log)) => {
            let feed = feed.clone();
            let log = move |record| {
                feed::publish_call(&feed, &record);
                log(record);
            };
            daemon.log_calls(Arc::new(log), slow);
            Some(Arc::new(kept))
        }
        Err(error) => {
            // Better instruments without a log than no instruments.
            warn!(file = %file.display(), %error, "there will be no call log");
            None
        }
    }
}
