//! Certificate of a port that is open: changed files are taken up, and the certificate of the lab's
//! authority is issued anew in time.
//!
//! A daemon runs for months. Its certificate may be replaced meanwhile (a certificate of an
//! institution lasts for 90 days), and this host may get further addresses.

use std::time::Duration;

use jiff::Timestamp;
use remote::ServerTls;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::warn;

use crate::authority::{AuthorityFiles, host_names};

/// Time between two looks at the files.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Time between two looks whether the certificate of the lab's authority lasts, and has all names.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(3600);

/// Standing of a port's certificate; without TLS all is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CertificateStanding {
    /// When the certificate in force expires, RFC 3339.
    pub(crate) expires: Option<String>,
    /// Why the certificate in the files is not in force.
    pub(crate) trouble: Option<String>,
}

/// A port with TLS. Its certificate is the lab's authority's where `renewal` is there.
#[derive(Clone, Debug)]
pub(crate) struct PortTls {
    pub(super) tls: ServerTls,
    pub(super) renewal: Option<Renewal>,
}

/// The lab's authority, and the names for this host that the port's entry has.
#[derive(Clone, Debug)]
pub(super) struct Renewal {
    pub(super) authority: AuthorityFiles,
    pub(super) hosts: Vec<String>,
}

impl PortTls {
    /// TLS for the port's connections.
    pub(crate) fn server(&self) -> ServerTls {
        self.tls.clone()
    }

    fn standing(&self) -> CertificateStanding {
        let expires = self.tls.expires().and_then(|expires| Timestamp::try_from(expires).ok());
        let trouble = self.tls.trouble();
        CertificateStanding {
            expires: expires.map(|expires| expires.to_string()),
            trouble: trouble.map(|trouble| {
                format!("its new TLS certificate is not used, the one before is: {trouble}")
            }),
        }
    }
}

impl Renewal {
    fn renew(&self) {
        if let Err(error) = self.authority.prepare_host(&host_names(&self.hosts)) {
            warn!(%error, "cannot look whether the certificate of this host is to be renewed");
        }
    }
}

/// Follows the files of a port's certificate for as long as somebody has the receiver. The task
/// reads files: a hanging file system stops this task, and no call.
pub(crate) fn follow(port: Option<PortTls>) -> watch::Receiver<CertificateStanding> {
    let standing = port.as_ref().map(PortTls::standing).unwrap_or_default();
    let (sender, receiver) = watch::channel(standing);
    let Some(port) = port else { return receiver };
    tokio::spawn(async move {
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next_renewal = Instant::now() + RENEWAL_INTERVAL;
        loop {
            tokio::select! {
                () = sender.closed() => return,
                _ = look.tick() => {}
            }
            let is_renewal = Instant::now() >= next_renewal;
            if is_renewal {
                next_renewal = Instant::now() + RENEWAL_INTERVAL;
            }
            let looking = port.clone();
            let looked = tokio::task::spawn_blocking(move || {
                if let Some(renewal) = looking.renewal.as_ref().filter(|_| is_renewal) {
                    renewal.renew();
                }
                looking.tls.look_at_files();
                looking.standing()
            });
            let Ok(standing) = looked.await else { continue };
            sender.send_if_modified(|last| {
                let is_changed = *last != standing;
                *last = standing;
                is_changed
            });
        }
    });
    receiver
}
