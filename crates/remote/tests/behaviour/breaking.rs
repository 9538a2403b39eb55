//! Methods that panic: their callers are told, and everything else goes on.

use std::sync::atomic::{AtomicU32, Ordering};

use remote::{
    Daemon, DaemonConfig, Expose, LockSettings, MethodCall, Proxy, ServerType, Session, Value,
};

use crate::common::{Serving, raised, until};

/// One member of each kind that breaks off.
#[derive(Default)]
struct Brittle {
    broken: AtomicU32,
}

impl Brittle {
    fn break_off<T>(&self) -> T {
        self.broken.fetch_add(1, Ordering::SeqCst);
        panic!("as asked")
    }
}

#[remote::expose]
impl Brittle {
    pub fn plain(&self) -> i64 {
        self.break_off()
    }

    pub async fn at_once(&self) -> i64 {
        self.break_off()
    }

    pub async fn later(&self) -> i64 {
        tokio::task::yield_now().await;
        self.break_off()
    }

    #[blocking]
    pub fn blocking(&self) -> i64 {
        self.break_off()
    }

    #[getter]
    pub fn property(&self) -> i64 {
        self.break_off()
    }

    #[stream]
    pub fn items(&self) -> impl Iterator<Item = u32> + use<> {
        (0..3u32).map(|item| if item < 1 { item } else { panic!("at the second item") })
    }

    #[blocking]
    #[stream]
    pub fn slow_items(&self) -> impl Iterator<Item = u32> + use<> {
        (0..3u32).map(|item| if item < 1 { item } else { panic!("at the second item") })
    }

    #[oneway]
    pub fn oneway(&self) {
        self.break_off()
    }

    #[oneway]
    pub async fn oneway_later(&self) {
        tokio::task::yield_now().await;
        self.break_off()
    }

    pub fn broken(&self) -> u32 {
        self.broken.load(Ordering::SeqCst)
    }

    #[session_ended]
    fn gone(&self, _session: &Session) {
        panic!("at the end of every session")
    }
}

fn broke_off(object: &str, member: &str) -> String {
    format!(
        "RuntimeError: '{object}': {member} broke off by a mistake of its own, which the daemon's \
         log tells of"
    )
}

async fn broken(proxy: &mut Proxy) -> Value {
    // On the connection of the calls before: it is not made anew after a call that failed.
    proxy.call("broken", vec![], vec![]).await.unwrap()
}

#[tokio::test]
async fn a_method_that_panics_raises_and_its_connection_goes_on() {
    for server_type in [ServerType::Thread, ServerType::Multiplex] {
        let config = DaemonConfig { server_type, ..DaemonConfig::default() };
        let daemon = Daemon::new(config);
        let object = Brittle::default().into_object();
        daemon.register("free", object).unwrap();
        let object = Brittle::default().into_object();
        daemon.register_lockable("lockable", object, LockSettings::default()).unwrap();
        let serving = Serving::of(daemon).await;
        for id in ["free", "lockable"] {
            breaks_off(&serving, id).await;
        }
        serving.end().await;
    }
}

async fn breaks_off(serving: &Serving, id: &str) {
    let mut proxy = serving.proxy(id);
    let methods = ["plain", "at_once", "later", "blocking"];
    for method in methods {
        let told = raised(proxy.call(method, vec![], vec![]).await);
        assert_eq!(told, broke_off(id, method));
    }
    assert_eq!(raised(proxy.get("property").await), broke_off(id, "property"));
    assert_eq!(broken(&mut proxy).await, Value::Int(5));

    for method in ["items", "slow_items"] {
        let mut items = proxy.stream(method, vec![], vec![]).await.unwrap();
        assert_eq!(items.next().await.unwrap(), Some(Value::Int(0)));
        let told = raised(items.next().await.map(|item| item.unwrap_or(Value::None)));
        assert_eq!(told, broke_off(id, method));
    }

    let call = MethodCall { method: "plain".into(), args: vec![], kwargs: vec![] };
    let told = proxy.batch(vec![call]).await;
    assert!(format!("{told:?}").contains("broke off"), "{told:?}");

    for method in ["oneway", "oneway_later"] {
        proxy.call_oneway(method, vec![], vec![]).await.unwrap();
    }
    let mut other = serving.proxy(id);
    while broken(&mut other).await != Value::Int(8) {
        tokio::task::yield_now().await;
    }
    assert_eq!(broken(&mut proxy).await, Value::Int(8));

    if id == "lockable" {
        assert_eq!(proxy.call("lock", vec!["me".into()], vec![]).await.unwrap(), Value::Bool(true));
        assert_eq!(raised(proxy.call("plain", vec![], vec![]).await), broke_off(id, "plain"));
        drop(proxy);
        // Its end is a panic too, and the lock hears of it nevertheless.
        until(|| serving.daemon.locks().iter().all(|lock| lock.owner.is_none())).await;
        assert_eq!(
            other.call("lock", vec!["you".into()], vec![]).await.unwrap(),
            Value::Bool(true)
        );
    }
}
