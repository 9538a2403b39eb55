//! Return of the daemons' names to a nameserver that was restarted.
//!
//! Each daemon registers its names again within some seconds. The nameserver itself is asked: what
//! a daemon reports may be from before the restart.

use std::time::Duration;

use lab_config::Configuration;
use remote::{NameServer, Uri};
use supervisor::{EntryPhase, KeeperHandle};
use tokio::time::{Instant, sleep};

use super::EntryKind;
use crate::authority::AuthorityFiles;
use crate::host::ChildReport;
use crate::tls;

/// Names that are not back after this time may never come: another process may have them.
const NAMES_BACK_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(200);
/// Time for one answer of the nameserver.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Waits until the nameserver has the names of all daemons that run and register with it.
pub(super) async fn wait(
    keeper: &KeeperHandle,
    configuration: &Configuration,
    nameserver: &str,
    authority: &AuthorityFiles,
) {
    let states = keeper.snapshot().await;
    let running = |kind: EntryKind, name: &str| {
        let id = kind.id(name);
        states.iter().find(|status| status.id == id && status.phase == EntryPhase::Running)
    };
    let Some(status) = running(EntryKind::Nameserver, nameserver) else { return };
    let address = ChildReport::read(&status.detail).address;
    let Some(Ok(Uri::Pyro { location, .. })) = address.map(|address| address.parse()) else {
        return;
    };
    let daemons = configuration.daemons.iter();
    let daemons = daemons.filter(|daemon| running(EntryKind::Daemon, &daemon.name).is_some());
    let mut missing: Vec<String> = Vec::new();
    for daemon in daemons {
        let wanted = |nameservers: &[String]| nameservers.iter().any(|name| name == nameserver);
        let services = configuration.services_of(&daemon.name);
        let services = services.filter(|service| wanted(&service.nameservers));
        missing.extend(services.map(|service| service.name.clone()));
        missing.extend(Some(daemon.name.clone()).filter(|_| wanted(&daemon.nameservers)));
    }
    let deadline = Instant::now() + NAMES_BACK_TIMEOUT;
    let entry = configuration.nameservers.iter().find(|entry| entry.name == nameserver);
    let tls = entry.and_then(|entry| tls::to_own_port(entry.tls(), authority).ok().flatten());
    let mut asked = NameServer::at(location, Some(ANSWER_TIMEOUT)).with_tls(tls);
    while let Some(name) = missing.last() {
        if asked.lookup(name).await.is_ok() {
            missing.pop();
        } else if Instant::now() < deadline {
            sleep(PAUSE).await;
        } else {
            return;
        }
    }
}
