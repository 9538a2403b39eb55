//! `ferrolab demo --check`: every service of the demo is called through the wire.

use std::process::ExitCode;
use std::time::Duration;

use remote::{Error, Location, NameServer, Proxy, Value};

/// Timeout of a call.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Volts that the supply is set to.
const VOLTS: f64 = 5.0;
/// Volts that the meter may be off; its noise is 1 mV.
const TOLERANCE: f64 = 0.02;

/// Calls every service and prints the results; exit code 1 if one is wrong.
pub(super) async fn run(port: u16) -> ExitCode {
    match calls(port).await {
        Ok(()) => {
            println!("All services answer as they should.");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("The check failed: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Why the check failed.
#[derive(Debug, thiserror::Error)]
enum CheckFailure {
    #[error("{0}")]
    Call(#[from] Error),
    #[error("{call} gave {got}, and not {expected}")]
    Unexpected { call: String, got: String, expected: &'static str },
}

async fn calls(port: u16) -> Result<(), CheckFailure> {
    let location = Location::Tcp { host: "localhost".into(), port };
    let mut nameserver = NameServer::at(location, Some(CALL_TIMEOUT));
    let mut bench = Vec::new();
    for name in ["demo.supply", "demo.meter", "demo.logbook"] {
        let uri = nameserver.lookup(name).await?;
        println!("{name} is at {uri}");
        bench.push(Caller { name, proxy: Proxy::from(uri).with_timeout(CALL_TIMEOUT) });
    }
    let Ok([mut supply, mut meter, mut logbook]) = <[Caller; 3]>::try_from(bench) else {
        return Ok(());
    };
    let text = |value: &Value| value.as_str().is_some_and(|text| text.starts_with("Ferrolab"));
    supply.call("identify", Vec::new(), text, "an identity").await?;
    meter.call("identify", Vec::new(), text, "an identity").await?;
    meter.call("measure_voltage", Vec::new(), near(0.0), "0 V: the supply is off").await?;
    supply.set("voltage", VOLTS.into()).await?;
    supply.call("on", Vec::new(), Value::is_none, "None").await?;
    let volts = meter.call("measure_voltage", Vec::new(), near(VOLTS), "the supply's 5 V").await?;
    let one = |value: &Value| value.as_i64() == Some(1);
    logbook.call("write", vec!["checked".into(), volts], one, "1 note").await?;
    logbook.call("mean", Vec::new(), near(VOLTS), "the voltage noted").await?;
    logbook.set("experiment", "demo".into()).await?;
    Ok(())
}

struct Caller {
    name: &'static str,
    proxy: Proxy,
}

impl Caller {
    /// Calls, prints, and checks the result.
    async fn call(
        &mut self,
        method: &str,
        args: Vec<Value>,
        is_right: impl Fn(&Value) -> bool,
        expected: &'static str,
    ) -> Result<Value, CheckFailure> {
        let shown: Vec<String> = args.iter().map(ToString::to_string).collect();
        let call = format!("{}.{method}({})", self.name, shown.join(", "));
        let got = self.proxy.call(method, args, Vec::new()).await?;
        println!("{call} -> {got}");
        if is_right(&got) {
            return Ok(got);
        }
        Err(CheckFailure::Unexpected { call, got: got.to_string(), expected })
    }

    /// Sets a property, and checks that it reads as it was set.
    async fn set(&mut self, property: &str, value: Value) -> Result<(), CheckFailure> {
        self.proxy.set(property, value.clone()).await?;
        let got = self.proxy.get(property).await?;
        let call = format!("{}.{property}", self.name);
        println!("{call} = {value}; reads {got}");
        if got == value {
            return Ok(());
        }
        Err(CheckFailure::Unexpected { call, got: got.to_string(), expected: "what it was set to" })
    }
}

fn near(expected: f64) -> impl Fn(&Value) -> bool {
    move |value| value.as_f64().is_some_and(|value| (value - expected).abs() < TOLERANCE)
}
