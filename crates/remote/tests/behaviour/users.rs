//! Users of a daemon: tokens in handshakes, and connections of users who are removed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use remote::{
    Answer, ConnectError, Credential, Daemon, DaemonConfig, Error, Exception, LockSettings,
    Metadata, Object, Operation, Proxy, Request, Serializer, ServerType, Session, TokenHash,
    UserDirectory, Value, Verdict,
};
use wire::value::Dict;

use crate::common::{Serving, ask, once_of_ten, raised, until};

/// Users by their tokens.
#[derive(Default)]
struct Tokens(Mutex<HashMap<&'static str, &'static str>>);

impl UserDirectory for Tokens {
    fn has_tokens(&self) -> bool {
        true
    }

    fn judge(&self, credential: &Credential) -> Verdict {
        let Credential::Token(shown) = credential else { return Verdict::Foreign };
        let tokens = self.0.lock().unwrap();
        let user = tokens.iter().find(|(token, _)| TokenHash::of(token.as_bytes()) == *shown);
        match user {
            Some((_, user)) => Verdict::User((*user).into()),
            None => Verdict::Refused("not known here".to_owned()),
        }
    }
}

/// Answers with its caller's identity, and what the handshake said.
struct Mirror;

impl Object for Mirror {
    fn metadata(&self) -> Result<Metadata, Exception> {
        Ok(Metadata::methods(["who", "hold"]))
    }

    fn call(&self, session: &Arc<Session>, request: Request) -> Answer {
        match request.operation {
            Operation::Call(call) if call.method == "who" => {
                let identity = session.identity();
                let facts = [identity.to_string(), format!("{:?}", identity.source)];
                let facts = facts.into_iter().chain([session.handshake.to_string()]);
                Answer::value(facts.map(Value::from).collect::<Vec<_>>())
            }
            Operation::Call(_) => Answer::Pending(Box::pin(std::future::pending())),
            operation => Answer::exception(operation.unexposed()),
        }
    }
}

async fn serve(server_type: ServerType) -> (Serving, Arc<Tokens>) {
    let daemon = Daemon::new(DaemonConfig { server_type, ..DaemonConfig::default() });
    daemon.register_lockable("mirror", Arc::new(Mirror), LockSettings::default()).unwrap();
    let users = Arc::new(Tokens(Mutex::new(HashMap::from([("a-token", "ada")]))));
    daemon.set_users(Arc::clone(&users) as Arc<dyn UserDirectory>);
    (Serving::of(daemon).await, users)
}

fn dict(token: Value) -> Value {
    let mut dict = Dict::new();
    dict.insert("token", token);
    dict.insert("purpose", "test");
    Value::Dict(dict)
}

async fn who(mut proxy: Proxy) -> Result<Vec<String>, Error> {
    let facts = proxy.call("who", vec![], vec![]).await?;
    let Value::List(facts) = facts else { panic!("{facts}") };
    Ok(facts.iter().map(|fact| fact.as_str().unwrap().to_owned()).collect())
}

#[tokio::test]
async fn a_token_says_who_a_client_is() {
    for server_type in [ServerType::Thread, ServerType::Multiplex] {
        let (serving, _) = serve(server_type).await;
        for serializer in
            [Serializer::Serpent, Serializer::Marshal, Serializer::Json, Serializer::Msgpack]
        {
            let proxy = |data: Value| {
                serving.proxy("mirror").with_serializer(serializer).with_handshake(data)
            };
            for data in [Value::from("a-token"), dict("a-token".into())] {
                let facts = who(proxy(data)).await.unwrap();
                assert_eq!(&facts[..2], ["ada", "Token"]);
                assert!(!facts[2].contains("a-token"), "{facts:?}");
            }
            for data in ["hello".into(), Value::None, Value::from(5), dict(Value::None)] {
                let facts = who(proxy(data)).await.unwrap();
                assert_eq!(&facts[..2], ["anonymous@127.0.0.1", "Anonymous"]);
            }
            for wrong in [Value::from("A-token"), dict("".into()), dict("other".into()), "x".into()]
            {
                let is_none = wrong == dict("".into());
                match who(proxy(wrong)).await {
                    Ok(facts) => assert!(is_none && facts[1] == "Anonymous", "{facts:?}"),
                    Err(Error::Connect { source: ConnectError::Refused(reason), .. }) => {
                        assert_eq!(reason, "not known here");
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
        serving.end().await;
    }
}

/// Each costs a connection, and leaves nothing.
#[tokio::test]
async fn ten_thousand_wrong_tokens_are_refused() {
    let (serving, _) = serve(ServerType::Thread).await;
    let mut refused = 0;
    for number in 0..10_000_u32 {
        let token = format!("{number:032x}");
        let proxy = serving.proxy("mirror").with_handshake(token.into());
        refused += usize::from(who(proxy).await.is_err());
    }
    assert_eq!(refused, 10_000);
    until(|| serving.daemon.connections().served == 0).await;
    assert_eq!(
        who(serving.proxy("mirror").with_handshake("a-token".into())).await.unwrap()[0],
        "ada"
    );
    serving.end().await;
}

#[tokio::test]
async fn a_removed_user_does_not_drive_any_longer() {
    for server_type in [ServerType::Thread, ServerType::Multiplex] {
        assert!(once_of_ten(async || remove_user(server_type).await).await);
    }
}

/// Removes a user that drives. Returns whether its client has made its last call in time, within
/// five seconds.
async fn remove_user(server_type: ServerType) -> bool {
    let (serving, users) = serve(server_type).await;
    let mut ada = serving.proxy("mirror").with_handshake("a-token".into());
    let mut other = serving.proxy("mirror");
    assert_eq!(ask(&mut ada, "lock").await, Value::Bool(true));
    serving.daemon.end_refused_sessions();
    let text = raised(other.call("who", vec![], vec![]).await);
    assert_eq!(text, "ConnectionRefusedError: Pyro object is locked (by 'ada')");

    users.0.lock().unwrap().clear();
    serving.daemon.end_refused_sessions();
    // The lock ends at once; the client hears why at its next call, and is not let in again.
    until(|| serving.daemon.locks()[0].owner.is_none()).await;
    ask(&mut other, "who").await;
    let last = ada.call("who", vec![], vec![]).await;
    let is_in_time = !matches!(last, Err(Error::Lost { .. }));
    if is_in_time {
        assert_eq!(raised(last), "PermissionError: not known here");
        assert!(matches!(ada.call("who", vec![], vec![]).await, Err(Error::Lost { .. })));
    }
    let refused = ada.call("who", vec![], vec![]).await;
    assert!(matches!(refused, Err(Error::Connect { .. })), "{refused:?}");
    serving.end().await;
    is_in_time
}

#[tokio::test]
async fn a_removed_user_loses_the_lock_during_a_call() {
    let (serving, users) = serve(ServerType::Thread).await;
    let mut ada = serving.proxy("mirror").with_handshake("a-token".into());
    assert_eq!(ask(&mut ada, "lock").await, Value::Bool(true));
    let call = tokio::spawn(async move { ada.call("hold", vec![], vec![]).await });
    until(|| serving.daemon.calls().iter().any(|call| call.member == "hold")).await;
    users.0.lock().unwrap().clear();
    serving.daemon.end_refused_sessions();
    until(|| serving.daemon.locks()[0].owner.is_none()).await;
    call.abort();
}
