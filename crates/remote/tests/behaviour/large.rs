//! Large answers, which are sent in two parts where that spares a copy.

use std::sync::Arc;

use remote::{
    Annotations, Answer, ClientTls, Daemon, DaemonConfig, Exception, Limits, Metadata, Object,
    Reply, ReplyBody, Request, Serialized, Serializer, ServerTls, Session, Value,
};

use wire::value::Set;

use crate::certificates::Certificates;
use crate::common::{Serving, ask, raised};

/// Answers with large values, in the client's serializer or in another: see the methods' names.
struct Large;

impl Object for Large {
    fn metadata(&self) -> Result<Metadata, Exception> {
        Ok(Metadata::methods(["bytes", "marshalled", "broken"]))
    }

    fn call(&self, _session: &Arc<Session>, request: Request) -> Answer {
        let marshal = Serializer::Marshal;
        let body = match request.operation.name() {
            "bytes" => ReplyBody::Value(bytes()),
            "marshalled" => {
                let mut buffer = b"before it".to_vec();
                marshal.encode(&floats(), &mut buffer).unwrap();
                ReplyBody::Serialized(Serialized::value(marshal, buffer, 9))
            }
            _ => ReplyBody::Serialized(Serialized::value(marshal, b"no value".to_vec(), 0)),
        };
        let annotations: Annotations = vec![(*b"LARG", vec![1, 2, 3])];
        Answer::Ready(Ok(Reply { body, annotations, memory: None }))
    }
}

fn bytes() -> Value {
    Value::bytes((0..3_000_000_u32).map(|number| (number / 7) as u8).collect::<Vec<u8>>())
}

fn floats() -> Value {
    Value::List((0..50_000).map(|number| Value::from(f64::from(number) / 7.0)).collect())
}

async fn serve(config: DaemonConfig) -> Serving {
    let daemon = Daemon::new(config);
    daemon.register("large", Arc::new(Large)).unwrap();
    Serving::of(daemon).await
}

#[tokio::test]
async fn they_arrive_whole_with_each_serializer_compressed_or_not() {
    for compression in [false, true] {
        let serving = serve(DaemonConfig { compression, ..DaemonConfig::default() }).await;
        for serializer in Serializer::ALL {
            let mut proxy = serving.proxy("large").with_serializer(serializer);
            match serializer {
                Serializer::Marshal | Serializer::Msgpack => {
                    assert!(ask(&mut proxy, "bytes").await == bytes());
                }
                // As text, in a dict.
                Serializer::Serpent => {
                    assert!(ask(&mut proxy, "bytes").await.as_dict().is_some());
                }
                Serializer::Json => {
                    raised(proxy.call("bytes", Vec::new(), Vec::new()).await);
                }
            }
            assert!(ask(&mut proxy, "marshalled").await == floats(), "{serializer:?}");
            assert_eq!(proxy.response_annotations(), &vec![(*b"LARG", vec![1, 2, 3])]);
        }
    }
}

#[tokio::test]
async fn they_arrive_whole_through_tls() {
    let Some(made) = Certificates::new() else { return };
    let server = made.self_signed("server", "localhost", &[]);
    let tls = ServerTls::load(&server.identity(), None).unwrap();
    let serving = serve(DaemonConfig { tls: Some(tls), ..DaemonConfig::default() }).await;
    let tls = ClientTls::trusting(&server.certificate).unwrap();
    let mut proxy = serving.proxy("large").with_serializer(Serializer::Msgpack).with_tls(tls);
    for _ in 0..3 {
        assert!(ask(&mut proxy, "bytes").await == bytes());
    }
}

#[tokio::test]
async fn one_beyond_the_limit_is_refused_with_its_size() {
    let limits = Limits { message: 100_000, ..Limits::default() };
    let serving = serve(DaemonConfig { limits, ..DaemonConfig::default() }).await;
    for serializer in [Serializer::Marshal, Serializer::Msgpack, Serializer::Serpent] {
        let mut proxy = serving.proxy("large").with_serializer(serializer);
        for method in ["bytes", "marshalled"] {
            let refused = raised(proxy.call(method, Vec::new(), Vec::new()).await);
            assert!(refused.contains("message too large"), "{refused}");
        }
    }
}

#[tokio::test]
async fn a_request_that_python_has_no_memory_for_is_refused() {
    let limits = Limits::for_messages(2 << 20);
    let serving = serve(DaemonConfig { limits, ..DaemonConfig::default() }).await;
    let mut proxy = serving.proxy("large").with_serializer(Serializer::Marshal);
    let sets = |count: usize| Value::List(vec![Value::Set(Set::default()); count]);
    // An empty set has five bytes here and 224 there.
    let refused = raised(proxy.call("marshalled", vec![sets(200_000)], Vec::new()).await);
    assert!(refused.contains("would take more than 24 MiB of memory"), "{refused}");
    let answered = proxy.call("marshalled", vec![sets(50_000)], Vec::new()).await;
    assert!(answered.unwrap() == floats());
}

#[tokio::test]
async fn what_is_said_to_be_a_value_and_is_none_is_refused() {
    let serving = serve(DaemonConfig::default()).await;
    let mut proxy = serving.proxy("large").with_serializer(Serializer::Json);
    let refused = raised(proxy.call("broken", Vec::new(), Vec::new()).await);
    assert!(refused.contains("a result cannot be read"), "{refused}");
    assert!(ask(&mut proxy, "marshalled").await == floats());
}
