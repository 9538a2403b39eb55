//! A lock that a browser session holds, with its connection to the daemon.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use remote::{Error, Proxy, Value};
use tokio::sync::Mutex;

use super::proxies::PROXY_TIMEOUT;

/// The daemon keeps the lock for so long without a connection: a restart of this process.
pub(super) const TTL: Duration = Duration::from_secs(60);

/// A held lock.
pub(super) struct HeldLock {
    pub(super) service: String,
    user: String,
    token: String,
    epoch: AtomicU64,
    /// One call at a time: calls belong to the connection that has the lock.
    proxy: Mutex<Proxy>,
}

impl HeldLock {
    /// Takes the lock of the proxy's object with a token; where another has it, waits for at most
    /// `wait`.
    ///
    /// # Errors
    /// It is not granted.
    pub(super) async fn take(
        token: String,
        service: &str,
        mut proxy: Proxy,
        user: String,
        wait: Option<Duration>,
    ) -> Result<Option<Self>, Error> {
        proxy.set_timeout(Some(PROXY_TIMEOUT.saturating_add(wait.unwrap_or_default())));
        let held = HeldLock {
            service: service.to_owned(),
            user,
            token,
            epoch: AtomicU64::new(0),
            proxy: Mutex::new(proxy),
        };
        let granted = {
            let mut proxy = held.proxy.lock().await;
            let granted = held.lock(&mut proxy, wait).await?;
            proxy.set_timeout(None);
            granted
        };
        Ok(granted.then_some(held))
    }

    /// The lock that the token has already, from a process before this one; `None` if it has none.
    ///
    /// # Errors
    /// The daemon does not answer, or has let the lock go meanwhile.
    pub(super) async fn resume(
        token: String,
        service: &str,
        mut proxy: Proxy,
    ) -> Result<Option<Self>, Error> {
        let presented = vec![("token".to_owned(), Value::from(token.as_str()))];
        let info = proxy.call("lock_info", Vec::new(), presented).await?;
        let info = info.as_dict();
        if info.and_then(|info| info.get("yours")).and_then(Value::as_bool) != Some(true) {
            return Ok(None);
        }
        let user = info.and_then(|info| info.get("user")).and_then(Value::as_str);
        let user = user.unwrap_or_default().to_owned();
        HeldLock::take(token, service, proxy, user, None).await
    }

    /// The connection that has the lock; taken up again first where it was lost meanwhile.
    ///
    /// # Errors
    /// The lock is lost.
    pub(super) async fn connection(&self) -> Result<tokio::sync::MutexGuard<'_, Proxy>, Error> {
        let mut proxy = self.proxy.lock().await;
        proxy.set_timeout(Some(PROXY_TIMEOUT));
        let granted = self.lock(&mut proxy, None).await;
        proxy.set_timeout(None);
        granted.map(|_| proxy)
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Gives the lock back; false if it was not held any more.
    pub(super) async fn release(&self) -> Result<bool, Error> {
        let token = vec![("token".to_owned(), Value::from(self.token.as_str()))];
        let mut proxy = self.proxy.lock().await;
        proxy.set_timeout(Some(PROXY_TIMEOUT));
        let unlocked = proxy.call("unlock", Vec::new(), token).await;
        proxy.release();
        Ok(unlocked?.as_bool() == Some(true))
    }

    /// Takes the lock, or takes it up again.
    async fn lock(&self, proxy: &mut Proxy, wait: Option<Duration>) -> Result<bool, Error> {
        let request = vec![
            ("user".to_owned(), Value::from(self.user.as_str())),
            ("wait".to_owned(), wait.map(|wait| wait.as_secs_f64()).into()),
            ("token".to_owned(), Value::from(self.token.as_str())),
            ("ttl".to_owned(), Value::from(TTL.as_secs_f64())),
        ];
        let granted = proxy.call("lock", Vec::new(), request).await?.as_bool() == Some(true);
        if granted {
            let info = proxy.call("lock_info", Vec::new(), Vec::new()).await?;
            let epoch = info.as_dict().and_then(|info| info.get("epoch")).and_then(Value::as_i64);
            self.epoch.store(epoch.unwrap_or_default().unsigned_abs(), Ordering::Relaxed);
        }
        Ok(granted)
    }

    /// Whether it is still held; errors of the way there say nothing about that.
    pub(super) async fn is_held(&self) -> bool {
        let Ok(mut proxy) = self.proxy.try_lock() else {
            // A call of it runs.
            return true;
        };
        let token = vec![("token".to_owned(), Value::from(self.token.as_str()))];
        proxy.set_timeout(Some(PROXY_TIMEOUT));
        let info = proxy.call("lock_info", Vec::new(), token).await;
        proxy.set_timeout(None);
        match info {
            Ok(info) => {
                let yours = info.as_dict().and_then(|info| info.get("yours"));
                yours.and_then(Value::as_bool) != Some(false)
            }
            Err(_) => true,
        }
    }
}
