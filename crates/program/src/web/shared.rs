//! State that all requests share.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::guard::Guard;
use super::lab::LiveLab;
use super::sessions::{BrowserSession, Sessions};
use super::values::KeptResults;
use super::visibility::{Visibility, VisibilityRules, client};
use crate::access::UserTable;
use crate::audit::Audit;
use crate::daemon_keys::DaemonKeys;

/// State that all requests share.
pub(super) struct Shared {
    pub(super) guard: Arc<Guard>,
    pub(super) lab: Arc<LiveLab>,
    /// TLS of daemons.
    pub(super) keys: Arc<DaemonKeys>,
    pub(super) users: Arc<UserTable>,
    /// Records logins, and those that are refused.
    pub(super) audit: Option<Audit>,
    /// The rules by which clients see things.
    pub(super) access: VisibilityRules,
    /// The supervisor's control socket.
    pub(super) socket: PathBuf,
    pub(super) history_socket: Option<PathBuf>,
    pub(super) log_file: PathBuf,
    pub(super) log_dir: PathBuf,
    /// Places for readers of log files.
    pub(super) readers: Arc<Semaphore>,
    pub(super) sessions: Sessions,
    /// Large results of calls.
    pub(super) results: Arc<KeptResults>,
    /// Places for calls,
    pub(super) calls: Arc<Semaphore>,
    /// for looks after the locks of an earlier process,
    pub(super) take_ups: Semaphore,
    /// and bytes for the bodies of requests.
    pub(super) bodies: Arc<Semaphore>,
    /// Places for event streams.
    pub(super) streams: Arc<Semaphore>,
    /// Cancelled at the end of this process.
    pub(super) stopping: CancellationToken,
}

impl FromRequestParts<Arc<Shared>> for Visibility {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        shared: &Arc<Shared>,
    ) -> Result<Self, Self::Rejection> {
        let session = parts.extensions.get::<Arc<BrowserSession>>();
        let client = client(parts.extensions.get(), session.map(|session| &**session));
        Ok(shared.access.of(client))
    }
}
