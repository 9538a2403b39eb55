//! Browser sessions: a cookie for each browser, and the locks that it has taken in the page.
//!
//! A lock belongs to its session, not to a tab: it lasts while one is open, over reloads of the
//! page, and over a restart of this process, since its token follows from the cookie alone.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use uuid::Uuid;

use super::held::HeldLock;
use super::https::Transport;
use super::proxies::PageLogin;
use super::server::ClientAddress;

/// Sessions at once; the one that was unused the longest goes first.
const MAX_SESSIONS: usize = 1000;
/// How long a session without a tab lasts after its last request: a page that is reloaded has none
/// for a moment.
pub(super) const WITHOUT_TAB: Duration = Duration::from_secs(60);

/// A browser, or a program that keeps the cookie.
pub(super) struct BrowserSession {
    /// The cookie's value: a client that has it has the session.
    secret: String,
    /// The name that is shown to others.
    pub(super) user: String,
    /// The token of its user, if somebody has logged in.
    login_token: Option<String>,
    /// Whether it has logged in from another host.
    is_elsewhere: bool,
    tabs: AtomicUsize,
    state: Mutex<SessionState>,
}

struct SessionState {
    used: Instant,
    /// Held locks by their services.
    held: HashMap<String, Arc<HeldLock>>,
}

/// All sessions.
pub(super) struct Sessions {
    /// Browsers send a cookie to all ports of a host: each lab has its own port in the name.
    port: u16,
    sessions: Mutex<HashMap<String, Arc<BrowserSession>>>,
}

/// Origin of a request's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionOrigin {
    Known,
    /// It has a cookie of ours that this process does not know.
    OfEarlierProcess,
    /// It has no cookie: the browser is told one.
    New,
}

/// An open tab of a session.
pub(super) struct Tab(Arc<BrowserSession>);

impl BrowserSession {
    fn new(secret: String, user: String, login: Option<(String, bool)>) -> Self {
        let (login_token, is_elsewhere) = login.unzip();
        let is_elsewhere = is_elsewhere.unwrap_or_default();
        let state = SessionState { used: Instant::now(), held: HashMap::new() };
        let (tabs, state) = (AtomicUsize::new(0), Mutex::new(state));
        BrowserSession { secret, user, login_token, is_elsewhere, tabs, state }
    }

    /// The token of its user, if somebody has logged in.
    pub(super) fn login_token(&self) -> Option<&str> {
        self.login_token.as_deref()
    }

    /// Its login, as daemons are shown it.
    pub(super) fn login(&self) -> Option<PageLogin<'_>> {
        let token = self.login_token()?;
        Some(PageLogin { token, is_elsewhere: self.is_elsewhere })
    }

    /// Takes all locks off the list.
    pub(super) fn remove_all(&self) -> Vec<Arc<HeldLock>> {
        self.lock().held.drain().map(|(_, held)| held).collect()
    }

    /// The token of its lock of a service.
    pub(super) fn token(&self, service: &str) -> String {
        let mut hash = Sha256::new();
        for part in ["ferrolab lock", &self.secret, service] {
            hash.update(part);
            hash.update([0]);
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A tab of it, until that is dropped.
    pub(super) fn open_tab(self: &Arc<Self>) -> Tab {
        self.tabs.fetch_add(1, Ordering::Relaxed);
        Tab(Arc::clone(self))
    }

    /// The lock of a service that it holds.
    pub(super) fn held(&self, service: &str) -> Option<Arc<HeldLock>> {
        self.lock().held.get(service).cloned()
    }

    /// Its locks, with their epochs.
    pub(super) fn epochs(&self) -> Vec<(String, u64)> {
        let state = self.lock();
        state.held.iter().map(|(service, held)| (service.clone(), held.epoch())).collect()
    }

    /// Adds a lock that it holds now.
    pub(super) fn add(&self, service: &str, held: Arc<HeldLock>) {
        self.lock().held.insert(service.to_owned(), held);
    }

    /// Takes a lock off the list.
    pub(super) fn remove(&self, service: &str) -> Option<Arc<HeldLock>> {
        self.lock().held.remove(service)
    }

    /// Whether nobody is there any more: no tab, and no request for a while.
    pub(super) fn is_left(&self) -> bool {
        self.tabs.load(Ordering::Relaxed) == 0 && self.lock().used.elapsed() > WITHOUT_TAB
    }

    fn lock(&self) -> MutexGuard<'_, SessionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        self.0.tabs.fetch_sub(1, Ordering::Relaxed);
        self.0.lock().used = Instant::now();
    }
}

impl Sessions {
    pub(super) fn new(port: u16) -> Self {
        Sessions { port, sessions: Mutex::default() }
    }

    /// The session of a request, a new one where it has none.
    pub(super) fn of(
        &self,
        headers: &HeaderMap,
        address: Option<ClientAddress>,
        transport: Transport,
    ) -> (Arc<BrowserSession>, SessionOrigin) {
        let secret = self.secret_in(headers, transport);
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = secret.as_ref().and_then(|secret| sessions.get(secret)) {
            known.lock().used = Instant::now();
            return (Arc::clone(known), SessionOrigin::Known);
        }
        make_room(&mut sessions);
        let standing = match secret {
            Some(_) => SessionOrigin::OfEarlierProcess,
            None => SessionOrigin::New,
        };
        let secret = secret.unwrap_or_else(new_secret);
        let user = match address {
            Some(ClientAddress { address, .. }) if !address.ip().is_loopback() => {
                format!("page at {}", address.ip())
            }
            _ => "page".to_owned(),
        };
        let session = Arc::new(BrowserSession::new(secret.clone(), user, None));
        sessions.insert(secret, Arc::clone(&session));
        (session, standing)
    }

    /// A new session of a user who has logged in with a token, on another host if `is_elsewhere`.
    pub(super) fn open(
        &self,
        user: &str,
        token: String,
        is_elsewhere: bool,
    ) -> Arc<BrowserSession> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut sessions);
        let secret = new_secret();
        let session =
            BrowserSession::new(secret.clone(), user.to_owned(), Some((token, is_elsewhere)));
        let session = Arc::new(session);
        sessions.insert(secret, Arc::clone(&session));
        session
    }

    /// Ends a session: its cookie is worth nothing from now on.
    pub(super) fn close(&self, session: &BrowserSession) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.remove(&session.secret);
    }

    /// Whether a session has not been ended.
    pub(super) fn has(&self, session: &BrowserSession) -> bool {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.contains_key(&session.secret)
    }

    /// The header that tells a browser its cookie.
    pub(super) fn cookie(&self, session: &BrowserSession, transport: Transport) -> String {
        let name = self.cookie_name(transport);
        let secure = if transport == Transport::Tls { "; Secure" } else { "" };
        format!("{name}={}; Path=/; HttpOnly; SameSite=Strict{secure}", session.secret)
    }

    /// With TLS, browsers take a name that begins so over TLS only, and from this host only. HTTP
    /// on the same port has another session.
    fn cookie_name(&self, transport: Transport) -> String {
        let prefix = if transport == Transport::Tls { "__Host-" } else { "" };
        format!("{prefix}ferrolab-{}", self.port)
    }

    /// The cookie of a request, if it can be one of ours: of this process, or of one before it.
    fn secret_in(&self, headers: &HeaderMap, transport: Transport) -> Option<String> {
        let name = self.cookie_name(transport);
        let values = headers.get_all(header::COOKIE).iter();
        let mut pairs =
            values.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(';'));
        let value =
            pairs.find_map(|pair| pair.trim().strip_prefix(name.as_str())?.strip_prefix('='))?;
        let is_ours = value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_ours.then(|| value.to_owned())
    }
}

fn new_secret() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

/// Ends the session that was unused the longest, where there are too many.
fn make_room(sessions: &mut HashMap<String, Arc<BrowserSession>>) {
    if sessions.len() < MAX_SESSIONS {
        return;
    }
    // Made-up cookies must not push logins out.
    let unused = |session: &Arc<BrowserSession>| {
        let is_login = session.login_token().is_some();
        (is_login, session.tabs.load(Ordering::Relaxed), session.lock().used)
    };
    let oldest = sessions.iter().min_by_key(|(_, session)| unused(session));
    if let Some(oldest) = oldest.map(|(secret, _)| secret.clone()) {
        sessions.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_browser_keeps_its_session() {
        let sessions = Sessions::new(9092);
        let (first, standing) = sessions.of(&HeaderMap::new(), None, Transport::Plain);
        assert_eq!(standing, SessionOrigin::New);
        let with = |cookie: String| {
            HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(&cookie).unwrap())])
        };
        let own = with(format!("a=b; ferrolab-9092={}", first.secret));
        let (again, standing) = sessions.of(&own, None, Transport::Plain);
        assert!(standing == SessionOrigin::Known && Arc::ptr_eq(&first, &again));
        let (other, _) =
            sessions.of(&with(format!("ferrolab-9093={}", first.secret)), None, Transport::Plain);
        assert!(!Arc::ptr_eq(&first, &other));
        let after_restart = Sessions::new(9092);
        let (resumed, standing) = after_restart.of(&own, None, Transport::Plain);
        assert_eq!(standing, SessionOrigin::OfEarlierProcess);
        assert_eq!(resumed.token("a"), first.token("a"));
        assert_ne!(first.token("a"), first.token("b"));
        assert_ne!(first.token("a"), other.token("a"));
        let (encrypted, standing) = sessions.of(&own, None, Transport::Tls);
        assert!(standing == SessionOrigin::New && !Arc::ptr_eq(&encrypted, &first));
        let cookie = sessions.cookie(&encrypted, Transport::Tls);
        assert!(cookie.starts_with("__Host-ferrolab-9092=") && cookie.ends_with("; Secure"));
        let (again, _) = sessions.of(&with(cookie), None, Transport::Tls);
        assert!(Arc::ptr_eq(&encrypted, &again));
        assert!(!sessions.cookie(&first, Transport::Plain).contains("Secure"));
        let (odd, standing) =
            sessions.of(&with("ferrolab-9092=x".to_owned()), None, Transport::Plain);
        assert!(standing == SessionOrigin::New && odd.secret.len() == 64);

        let tab = first.open_tab();
        tokio::time::advance(WITHOUT_TAB * 2).await;
        assert!(!first.is_left());
        drop(tab);
        assert!(!first.is_left());
        tokio::time::advance(WITHOUT_TAB * 2).await;
        assert!(first.is_left());
    }
}
