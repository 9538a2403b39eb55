//! Plain Rust types as remote objects, called through proxies.

mod meter;

use std::sync::Arc;

use meter::Meter;
use remote::card::Member;
use remote::{
    DaemonConfig, Error, Expose, Exposed, Metadata, MethodCall, Object, Operation, PerSession,
    Proxy, Reply, ReplyBody, Request, Serializer, ServerType, Value,
};

use crate::common::{Serving, within};

/// A daemon that serves `object`, and a proxy for it.
struct Bench {
    proxy: Proxy,
    uri: String,
    serving: Serving,
}

impl Bench {
    async fn with(object: Arc<dyn Object>, server_type: ServerType) -> Self {
        let config = DaemonConfig { server_type, ..DaemonConfig::default() };
        let serving = Serving::start(config).await;
        serving.daemon.register("meter", object).unwrap();
        let proxy = serving.proxy("meter").with_handshake("me".into());
        Bench { proxy, uri: serving.uri("meter").to_string(), serving }
    }

    async fn new() -> Self {
        Self::with(Meter::new().into_object(), ServerType::Thread).await
    }

    /// The result of a call as Python prints it, or the exception.
    async fn call(&mut self, method: &str, args: &[Value], kwargs: &[(&str, Value)]) -> String {
        let kwargs = kwargs.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
        told(self.proxy.call(method, args.to_vec(), kwargs).await)
    }

    async fn end(self) {
        drop(self.proxy);
        self.serving.end().await;
    }
}

fn told(result: Result<Value, Error>) -> String {
    match result {
        Ok(value) => value.to_string(),
        Err(Error::Remote(exception)) => exception.to_string(),
        Err(other) => panic!("{other}"),
    }
}

fn list(items: &[f64]) -> Value {
    Value::List(items.iter().map(|item| (*item).into()).collect())
}

#[test]
fn metadata_has_names_and_documentation() {
    let Metadata { methods, oneway, attrs, docs } = Meter::metadata();
    assert_eq!(
        methods.join(" "),
        "measure poke pokes borrowed containers reversed later settle explode log sweep \
         sweep_slowly who who_later remember_me annotated"
    );
    assert_eq!(oneway, ["poke"]);
    assert_eq!(attrs, ["range", "firmware"]);
    let doc = |member: &str| docs.iter().find(|(name, _)| name == member).map(|(_, doc)| &**doc);
    assert_eq!(doc("measure"), Some("Volts across the probes.\n\nAverages over `samples`."));
    assert_eq!(doc("range"), Some("Volts at full scale."));
    assert_eq!(doc("poke"), None);
}

#[test]
fn the_card_has_kinds_types_and_defaults() {
    let described = |member: &Member| {
        let parameters = member.parameters.as_ref().map(|parameters| {
            let one = |parameter: &remote::card::Parameter| match &parameter.default {
                Some(default) => {
                    format!("{}: {} = {default}", parameter.name, parameter.value.kind)
                }
                None if parameter.required => {
                    format!("{}: {}", parameter.name, parameter.value.kind)
                }
                None => format!("{}: {} = ...", parameter.name, parameter.value.kind),
            };
            format!("({})", parameters.iter().map(one).collect::<Vec<_>>().join(", "))
        });
        let marks = [(member.writable, " writable"), (member.oneway, " oneway")];
        let marks: String = marks.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
        let (name, kind) = (&member.name, member.kind);
        format!("{kind:?} {name}{} -> {}{marks}", parameters.unwrap_or_default(), member.value.kind)
    };
    let card = Meter::card();
    let members: Vec<String> = card.members.iter().map(described).collect();
    let expected = [
        "Method measure(channel: int, samples: int = 1) -> float",
        "Property range -> float writable",
        "Property firmware -> str",
        "Method poke() -> None oneway",
        "Method pokes() -> int",
        "Method borrowed(name: str, points: list[float], unit: str | None) -> str",
        "Method containers(pairs: list[tuple[str, float]], limits: dict[str, tuple[int, int]] = ...) \
         -> tuple[dict[str, float], int]",
        "Method reversed(data: bytes) -> bytes",
        "Method later(what: str) -> str",
        "Method settle(what: str) -> str",
        "Method explode() -> None",
        "Method log() -> list[str]",
        "Stream sweep(from: int, to: int) -> int",
        "Stream sweep_slowly(count: int) -> int",
        "Method who() -> str",
        "Method who_later(greeting: str = '?') -> str",
        "Method remember_me() -> None",
        "Method annotated() -> Any",
    ];
    assert_eq!(members, expected);
    assert_eq!(card.member("range").unwrap().doc, "Volts at full scale.");
    assert_eq!(card.version, Meter::card().version);
}

#[tokio::test]
async fn the_daemon_tells_the_documentation_to_who_asks() {
    let mut bench = Bench::new().await;
    let told = bench.proxy.call_daemon("get_metadata", vec!["meter".into()]).await.unwrap();
    assert_eq!(Metadata::from_value(&told).docs, Meter::metadata().docs);
    assert!(bench.proxy.metadata().await.unwrap().docs.is_empty(), "it is in the handshake too");
    bench.end().await;
}

#[tokio::test]
async fn arguments_and_results() {
    let mut bench = Bench::new().await;
    let text = |text: &str| Value::from(text);
    let pair = Value::Tuple(vec!["a".into(), 1.into()]);
    let cases: &[(&str, &[Value], &[(&str, Value)], &str)] = &[
        ("measure", &[1.into()], &[], "2.5"),
        ("measure", &[1.into(), 2.into()], &[], "5.0"),
        ("measure", &[], &[("samples", 4.into()), ("channel", 1.into())], "10.0"),
        ("measure", &[3.into()], &[], "LookupError: there is no channel 3"),
        ("measure", &[2.into()], &[], "FileNotFoundError: [Errno 2] No such file or directory"),
        (
            "measure",
            &[],
            &[],
            "TypeError: Meter.measure() missing 1 required positional argument: 'channel'",
        ),
        (
            "measure",
            &[1.into(), 2.into(), 3.into()],
            &[],
            "TypeError: Meter.measure() takes from 2 to 3 positional arguments but 4 were given",
        ),
        (
            "measure",
            &["x".into()],
            &[],
            "TypeError: Meter.measure() argument 'channel' must be an int, not str",
        ),
        (
            "measure",
            &[1.into(), Value::from(-1)],
            &[],
            "ValueError: Meter.measure() argument 'samples' must be 0 to 4294967295, not -1",
        ),
        ("borrowed", &[text("n"), list(&[1.5]), text("V")], &[], "'n [1.5] Some(\"V\")'"),
        ("borrowed", &[text("n"), list(&[]), Value::None], &[], "'n [] None'"),
        ("containers", &[Value::List(vec![pair])], &[], "[{'a': 1.0}, 0]"),
        ("who", &[], &[], "\"'me' with serpent\""),
        ("who_later", &[], &[], "\"? 'me'\""),
        ("who_later", &[], &[("greeting", text("hello"))], "\"hello 'me'\""),
        ("annotated", &[], &[], "None"),
        ("settle", &[text("x")], &[], "'settled x'"),
        ("settle", &[text("never")], &[], "TimeoutError: it does not settle"),
    ];
    for (method, args, kwargs, expected) in cases {
        // serpent has no tuples as results' containers; a list arrives.
        let result = bench.call(method, args, kwargs).await;
        let as_list = result.strip_prefix('(').and_then(|inner| inner.strip_suffix(')'));
        let result = as_list.map_or(result.clone(), |inner| format!("[{inner}]"));
        assert_eq!(result, *expected, "{method}{args:?}");
    }
    for hidden in ["hidden", "skipped", "goodbye", "new"] {
        let metadata = bench.proxy.metadata().await.unwrap();
        assert!(!metadata.methods.iter().any(|method| method == hidden), "{hidden}");
        let refused = bench.proxy.call(hidden, Vec::new(), Vec::new()).await.unwrap_err();
        assert!(refused.to_string().contains(&format!("'{hidden}'")), "{refused}");
    }
    let exploded = bench.call("explode", &[], &[]).await;
    assert!(exploded.starts_with("RuntimeError: 'meter': explode broke off"), "{exploded}");
    bench.end().await;
}

#[tokio::test]
async fn bytes_in_each_serializer_that_has_them() {
    let bench = Bench::new().await;
    for serializer in [Serializer::Serpent, Serializer::Marshal, Serializer::Msgpack] {
        let mut proxy = Proxy::new(&bench.uri).unwrap().with_serializer(serializer);
        let result = proxy.call("reversed", vec![Value::bytes([1, 2])], Vec::new()).await.unwrap();
        // serpent makes base64 dicts of them, in both directions.
        assert_eq!(wire::serpent::to_bytes(&result), Some(vec![2, 1]), "{serializer:?}");
    }
    bench.end().await;
}

#[tokio::test]
async fn properties() {
    let mut bench = Bench::new().await;
    let proxy = &mut bench.proxy;
    assert_eq!(told(proxy.get("range").await), "10.0");
    proxy.set("range", 100.into()).await.unwrap();
    assert_eq!(told(proxy.get("range").await), "100.0");
    assert_eq!(told(proxy.get("firmware").await), "'1.0'");
    let cases = [
        ("range", Value::from(0.5), "ValueError: the range must be 1 to 1000 V, not 0.5 V"),
        ("range", "wide".into(), "TypeError: Meter.range must be a number, not str"),
        (
            "firmware",
            "2".into(),
            "AttributeError: attempt to access unexposed or unknown remote attribute 'firmware'",
        ),
    ];
    for (name, value, expected) in cases {
        assert_eq!(told(proxy.set(name, value).await.map(Value::from)), expected, "{name}");
    }
    bench.end().await;
}

#[tokio::test]
async fn oneway_calls_are_carried_out() {
    let mut bench = Bench::new().await;
    bench.proxy.call_oneway("poke", Vec::new(), Vec::new()).await.unwrap();
    let wait_for = async {
        while bench.call("pokes", &[], &[]).await != "1" {
            tokio::task::yield_now().await;
        }
    };
    within(wait_for).await;
    bench.end().await;
}

#[tokio::test]
async fn async_and_blocking_calls_of_a_batch_stay_in_order() {
    for server_type in [ServerType::Thread, ServerType::Multiplex] {
        let mut bench = Bench::with(Meter::new().into_object(), server_type).await;
        let call = |method: &str, what: &str| MethodCall {
            method: method.into(),
            args: vec![what.into()],
            kwargs: Vec::new(),
        };
        let calls = vec![
            call("later", "a"),
            call("settle", "b"),
            call("later", "c"),
            call("settle", "never"),
            call("later", "d"),
        ];
        let results = bench.proxy.batch(calls).await.unwrap();
        assert_eq!(results.len(), 4, "it ends behind the first that raises");
        assert!(results[3].is_err());
        assert_eq!(
            bench.call("log", &[], &[]).await,
            "['later a', 'settle b', 'later c', 'settle never']"
        );
        bench.end().await;
    }
}

#[tokio::test]
async fn iterators_are_streams() {
    let meter = Arc::new(Meter::new());
    let object: Arc<dyn Object> = Arc::new(Exposed::shared(Arc::clone(&meter)));
    let mut bench = Bench::with(Arc::clone(&object), ServerType::Thread).await;
    bench.call("remember_me", &[], &[]).await;
    let (session, context) = meter.caller.lock().unwrap().take().unwrap();
    for (method, args, expected) in [
        ("sweep", vec![3, 5], "3 4 end"),
        ("sweep_slowly", vec![5], "0 1 ValueError: the range must be 1 to 1000 V, not 2 V"),
    ] {
        let args = args.into_iter().map(Value::from).collect();
        let call = MethodCall { method: method.into(), args, kwargs: Vec::new() };
        let request = Request { operation: Operation::Call(call), context: context.clone() };
        let Ok(Reply { body: ReplyBody::Stream(mut stream), .. }) =
            object.call(&session, request).wait().await
        else {
            panic!("{method} gives no stream")
        };
        let mut items = Vec::new();
        loop {
            match stream.next().await {
                Ok(Some(item)) => items.push(item.to_string()),
                Ok(None) => break items.push("end".into()),
                Err(exception) => break items.push(exception.to_string()),
            }
        }
        assert_eq!(items.join(" "), expected, "{method}");
    }
    assert_eq!(
        bench.call("sweep_slowly", &[10.into()], &[]).await,
        "ValueError: the range must be 1 to 1000 V, not 10 V"
    );
    bench.end().await;
}

#[tokio::test]
async fn an_object_hears_of_the_end_of_a_session() {
    let meter = Arc::new(Meter::new());
    let exposed = Arc::new(Exposed::shared(Arc::clone(&meter)));
    let mut bench = Bench::with(exposed, ServerType::Thread).await;
    bench.call("pokes", &[], &[]).await;
    bench.end().await;
    assert_eq!(meter.ended.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_instance_for_each_session() {
    let make = || Ok(Exposed::new(Meter::new()));
    let object = PerSession::new(Meter::metadata(), make);
    let mut bench = Bench::with(Arc::new(object), ServerType::Thread).await;
    bench.proxy.set("range", 5.into()).await.unwrap();
    let mut other = Proxy::new(&bench.uri).unwrap();
    assert_eq!(told(other.get("range").await), "10.0");
    assert_eq!(told(bench.proxy.get("range").await), "5.0");
    drop(other);
    bench.end().await;
}

/// A type with parameters, under a name for Python.
struct Ramp<T> {
    level: T,
}

#[remote::expose(name = "Ramp")]
impl<T: Into<f64> + Copy + Send + Sync + 'static> Ramp<T> {
    pub fn level(&self) -> f64 {
        self.level.into()
    }

    #[cfg(any())]
    pub fn not_here(&self) -> NotHere {}
}

#[tokio::test]
async fn types_may_have_parameters() {
    let object = Ramp { level: 2_u8 }.into_object();
    let mut bench = Bench::with(object, ServerType::Thread).await;
    assert_eq!(bench.call("level", &[], &[]).await, "2.0");
    assert_eq!(
        bench.call("level", &[1.into()], &[]).await,
        "TypeError: Ramp.level() takes 1 positional argument but 2 were given"
    );
    bench.end().await;
}
