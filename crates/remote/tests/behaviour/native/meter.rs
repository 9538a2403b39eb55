//! The object that is called: a meter with one member of each kind.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use remote::{Context, Exception, Reply, Session, Value};

#[derive(Debug, thiserror::Error, remote::IntoException)]
#[exception("LookupError")]
pub(crate) enum MeterError {
    #[error("the range must be 1 to 1000 V, not {0} V")]
    #[exception("ValueError")]
    Range(f64),
    #[error("there is no channel {channel}")]
    NoChannel { channel: u8 },
    #[error(transparent)]
    #[exception(transparent)]
    Port(#[from] std::io::Error),
}

/// A meter with one member of each kind.
#[derive(Default)]
pub(crate) struct Meter {
    range: Mutex<f64>,
    pokes: AtomicU32,
    /// The actions so far, in order.
    log: Mutex<Vec<String>>,
    pub(crate) ended: Arc<Mutex<Vec<u64>>>,
    pub(crate) caller: Mutex<Option<(Arc<Session>, Context)>>,
}

#[remote::expose]
impl Meter {
    /// Not for clients: it has no `self`.
    pub(crate) fn new() -> Self {
        Meter { range: Mutex::new(10.0), ..Meter::default() }
    }

    /// Volts across the probes.
    ///
    /// Averages over `samples`.
    pub fn measure(&self, channel: u8, #[default(1)] samples: u32) -> Result<f64, MeterError> {
        match channel {
            1 => Ok(2.5 * f64::from(samples)),
            2 => Err(std::io::Error::from_raw_os_error(2))?,
            channel => Err(MeterError::NoChannel { channel }),
        }
    }

    /// Volts at full scale.
    #[getter]
    pub fn range(&self) -> f64 {
        *self.range.lock().unwrap()
    }

    #[setter]
    pub fn set_range(&self, volts: f64) -> Result<(), MeterError> {
        if !(1.0..=1000.0).contains(&volts) {
            return Err(MeterError::Range(volts));
        }
        *self.range.lock().unwrap() = volts;
        Ok(())
    }

    #[getter(firmware)]
    #[blocking]
    pub fn read_firmware(&self) -> String {
        "1.0".into()
    }

    #[oneway]
    pub fn poke(&self) {
        self.pokes.fetch_add(1, Ordering::SeqCst);
    }

    pub fn pokes(&self) -> u32 {
        self.pokes.load(Ordering::SeqCst)
    }

    /// Borrowed arguments of several kinds.
    pub fn borrowed(&self, name: &str, points: &[f64], unit: Option<&str>) -> String {
        format!("{name} {points:?} {unit:?}")
    }

    pub fn containers(
        &self,
        pairs: Vec<(String, f64)>,
        #[default] limits: BTreeMap<String, (i16, i16)>,
    ) -> (BTreeMap<String, f64>, usize) {
        (pairs.into_iter().collect(), limits.len())
    }

    pub fn reversed(&self, mut data: Vec<u8>) -> Vec<u8> {
        data.reverse();
        data
    }

    pub async fn later(&self, what: &str) -> String {
        tokio::task::yield_now().await;
        self.log.lock().unwrap().push(format!("later {what}"));
        format!("later {what}")
    }

    #[blocking]
    pub fn settle(&self, what: String) -> Result<String, Exception> {
        self.log.lock().unwrap().push(format!("settle {what}"));
        if what == "never" {
            return Err(Exception::new("builtins.TimeoutError", "it does not settle"));
        }
        Ok(format!("settled {what}"))
    }

    #[blocking]
    pub fn explode(&self) {
        panic!("as asked");
    }

    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    #[stream]
    pub fn sweep(&self, from: i32, to: i32) -> impl Iterator<Item = i32> + use<> {
        from..to
    }

    #[stream]
    #[blocking]
    pub fn sweep_slowly(
        &self,
        count: u32,
    ) -> Result<impl Iterator<Item = Result<u32, MeterError>> + use<>, MeterError> {
        if count > 9 {
            return Err(MeterError::Range(count.into()));
        }
        Ok((0..count).map(|at| if at < 2 { Ok(at) } else { Err(MeterError::Range(at.into())) }))
    }

    pub fn who(&self, session: &Session, context: &Context) -> String {
        format!("{} with {}", session.handshake, context.serializer.name())
    }

    pub async fn who_later(
        &self,
        #[default("?")] greeting: String,
        session: &Arc<Session>,
    ) -> String {
        format!("{greeting} {}", session.handshake)
    }

    pub fn remember_me(&self, session: &Arc<Session>, context: &Context) {
        *self.caller.lock().unwrap() = Some((Arc::clone(session), context.clone()));
    }

    pub fn annotated(self: Arc<Self>) -> Reply {
        Reply { annotations: vec![(*b"TEMP", b"21".to_vec())], ..Reply::from(Value::None) }
    }

    #[session_ended]
    fn goodbye(&self, session: &Session) {
        self.ended.lock().unwrap().push(session.id);
    }

    fn hidden(&self) -> u32 {
        1
    }

    #[skip]
    #[allow(dead_code, unreachable_pub, reason = "it is here to be skipped")]
    pub fn skipped(&mut self) -> u32 {
        self.hidden()
    }
}
