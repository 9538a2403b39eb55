//! Blocking methods that have to wait for a thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;

use remote::{Break, Daemon, DaemonConfig, Error, Exposed, LockSettings, Proxy, Value};

use tokio::sync::oneshot;

use crate::common::{Serving, until, within};

/// Counts what is done with it.
#[derive(Default)]
struct Instrument(AtomicU32);

#[remote::expose]
impl Instrument {
    #[blocking]
    pub fn drive(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    #[blocking]
    #[setter]
    pub fn set_volts(&self, _volts: f64) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    #[blocking]
    #[stream]
    pub fn sweep(self: &Arc<Self>) -> impl Iterator<Item = u32> + use<> {
        let driven = Arc::clone(self);
        (0..3u32).inspect(move |_| {
            driven.0.fetch_add(1, Ordering::SeqCst);
        })
    }

    #[getter]
    pub fn volts(&self) -> f64 {
        0.0
    }
}

#[test]
fn what_waits_for_a_thread_is_not_carried_out_for_who_has_lost_the_lock() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let instrument = Arc::new(Instrument::default());
        let daemon = Daemon::new(DaemonConfig::default());
        let object = Arc::new(Exposed::shared(Arc::clone(&instrument)));
        daemon.register_lockable("instrument", object, LockSettings::default()).unwrap();
        let serving = Serving::of(daemon.clone()).await;
        for member in ["drive", "volts", "sweep"] {
            let mut ada = serving.proxy("instrument");
            within(ada.call("lock", vec!["ada".into()], Vec::new())).await.unwrap();
            let (opened, ready) = oneshot::channel();
            let (go, going) = oneshot::channel();
            let call =
                tokio::spawn(async move { (use_it(&mut ada, member, opened, going).await, ada) });
            within(ready).await.unwrap();
            // The only thread there is.
            let (let_go, held) = mpsc::channel::<()>();
            let busy = tokio::task::spawn_blocking(move || held.recv().is_ok());
            go.send(()).unwrap();
            let owner = || daemon.locks().remove(0).owner;
            until(|| owner().is_some_and(|owner| owner.is_in_use)).await;
            let broken = Break { by: "eve".into(), reason: "why".into() };
            assert!(daemon.lock_breaker().break_lock("instrument", broken).unwrap());
            let_go.send(()).unwrap();
            assert!(within(busy).await.unwrap());
            let (refused, _ada) = within(call).await.unwrap();
            let Err(Error::Remote(refused)) = refused else { panic!("{refused:?}") };
            assert!(refused.message().contains("was broken by eve"), "{refused}");
            assert_eq!(instrument.0.load(Ordering::SeqCst), 0, "{member}");
        }
    });
}

/// Uses the member when it is told to.
async fn use_it(
    proxy: &mut Proxy,
    member: &str,
    opened: oneshot::Sender<()>,
    going: oneshot::Receiver<()>,
) -> Result<Value, Error> {
    if member == "sweep" {
        let mut items = proxy.stream("sweep", Vec::new(), Vec::new()).await?;
        opened.send(()).unwrap();
        going.await.unwrap();
        return items.next().await.map(Value::from);
    }
    opened.send(()).unwrap();
    going.await.unwrap();
    match member {
        "volts" => proxy.set("volts", 1.0.into()).await.map(Value::from),
        method => proxy.call(method, Vec::new(), Vec::new()).await,
    }
}
