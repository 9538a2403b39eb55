//! Certificate of a port that is open: changed files are taken up, and the certificate of the lab's
//! authority is issued anew in time.
//!
//! A daemon runs for months. Its certificate may be replaced meanwhile (a certificate of an
//! institution lasts for 90 days), and this host may get further addresses.
//!
//! A certificate of the lab's owner is in the configured file before the port shows it, and a wrong
//! one is never shown. So each port notes the certificate that it shows, and the lab's own programs
//! trust that one too.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use remote::ServerTls;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::warn;

use crate::authority::{AuthorityFiles, host_names};
use crate::files::{self, FileError};
use crate::open;

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

/// A port with TLS.
#[derive(Clone, Debug)]
pub(crate) struct PortTls {
    pub(super) tls: ServerTls,
    /// The lab's authority, where it issues the certificate, and the names that the port's entry
    /// gives to this host.
    pub(super) renewal: Option<(AuthorityFiles, Vec<String>)>,
    /// The note of the certificate that is shown, where the configuration names the certificate.
    pub(super) shown: Option<PathBuf>,
}

impl PortTls {
    /// TLS for the port's connections.
    pub(crate) fn server(&self) -> ServerTls {
        self.tls.clone()
    }

    /// Notes the certificate that is shown, if the note has another one.
    fn note_shown(&self) -> Result<(), FileError> {
        let Some((note, certificate)) = self.shown.as_ref().zip(self.tls.certificate_pem()) else {
            return Ok(());
        };
        if open::read_text(note).is_ok_and(|noted| noted == certificate) {
            return Ok(());
        }
        if let Some(folder) = note.parent() {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.map_err(|source| FileError { operation: "make", path: folder.into(), source })?;
        }
        files::replace_private(note, certificate.as_bytes())
    }

    fn standing(&self) -> CertificateStanding {
        let expires = self.tls.expires().and_then(|expires| Timestamp::try_from(expires).ok());
        let text = |why| format!("its new TLS certificate is not used, the one before is: {why}");
        let trouble = self.tls.trouble().map(text);
        CertificateStanding { expires: expires.map(|expires| expires.to_string()), trouble }
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
        let mut last_failure = None;
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
                if let Some((authority, hosts)) = looking.renewal.as_ref().filter(|_| is_renewal)
                    && let Err(error) = authority.prepare_host(&host_names(hosts))
                {
                    warn!(%error, "cannot look whether this host's certificate is to be renewed");
                }
                looking.tls.look_at_files();
                (looking.note_shown(), looking.standing())
            });
            let Ok((noted, standing)) = looked.await else { continue };
            let failure = noted.err().map(|error| format!("{error}: {}", error.source));
            if let Some(error) = failure.as_ref().filter(|_| failure != last_failure) {
                warn!(
                    error,
                    "the certificate that a port shows cannot be noted: while its file has \
                    another one, the lab's own programs do not trust the port"
                );
            }
            last_failure = failure;
            sender.send_if_modified(|last| std::mem::replace(last, standing.clone()) != standing);
        }
    });
    receiver
}
