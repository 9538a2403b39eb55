//! Connections to the members of an etcd cluster: one request each at a time, kept for the next.
//!
//! Every request has a deadline. A member that does not answer is left for the next one, which gets
//! the request again: one that may have been carried out says so in its repetition.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Response, Uri};
use lab_config::{Etcd, Secret};
use nameserver::registry::RegistryError;
use remote::ClientTls;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::messages::{EtcdRefusal, LoginAnswer, refusal_of};
use crate::http_client::{Connection, Server};

/// Time for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Idle connections that are kept.
const MAX_IDLE: usize = 16;
/// Bytes of an answer, at most.
const MAX_ANSWER: usize = 256 * 1024 * 1024;

/// The members of a cluster.
pub(super) struct Members {
    servers: Vec<Server>,
    /// Changed files are taken up at the next connection.
    tls: Option<ClientTls>,
    login: Option<(String, Secret)>,
    state: Mutex<ConnectionState>,
}

#[derive(Default)]
struct ConnectionState {
    /// The number of the member that is asked.
    current: usize,
    idle: Vec<(usize, Connection)>,
    token: Option<String>,
}

/// A request.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) path: &'a str,
    pub(super) body: &'a Value,
    /// The body of a repetition, where the request may have been carried out.
    pub(super) again: &'a Value,
    pub(super) tries: Tries<'a>,
}

/// The tries of a request.
#[derive(Clone, Copy)]
pub(super) enum Tries<'a> {
    /// One for each member, also where it does not take the request, with this time for the answer.
    OneEach(Duration),
    /// One after another, also at the same member, with these times; of members that take it.
    Timed(&'a [Duration]),
}

impl Tries<'_> {
    /// Time for the answer to the next try; `None` after the last.
    fn next(self, tried: usize, failed: usize, members: usize) -> Option<Duration> {
        match self {
            Tries::OneEach(within) => (failed < members).then_some(within),
            Tries::Timed(times) => times.get(tried).copied(),
        }
    }
}

/// One try of a request.
struct Attempt<'a> {
    method: Method,
    path: &'a str,
    body: &'a Value,
    within: Duration,
}

/// A stream of answers of one member, which ends when it is dropped.
pub(super) struct MemberStream {
    /// The member's number.
    pub(super) member: usize,
    /// Its address.
    pub(super) at: String,
    pub(super) body: Incoming,
    _connection: Connection,
}

/// Why one try had no answer.
enum Failed {
    /// It has not reached the member.
    Unsent(String),
    /// It may have been carried out.
    Unknown(String),
}

impl Members {
    pub(super) fn new(config: &Etcd, tls: Option<ClientTls>) -> Result<Self, String> {
        let server = |endpoint: &String| {
            let uri = endpoint.parse::<Uri>().map_err(|error| format!("{endpoint}: {error}"))?;
            Server::of(&uri).map_err(|error| format!("{endpoint}: {error}"))
        };
        let servers = config.endpoints.iter().map(server).collect::<Result<Vec<_>, _>>()?;
        if servers.is_empty() {
            return Err("etcd has no endpoints".to_owned());
        }
        let login = config.user.clone().zip(config.password.clone());
        Ok(Members { servers, tls, login, state: Mutex::default() })
    }

    /// Asks a member; the answer, as JSON, and the member's address.
    pub(super) async fn ask<T: DeserializeOwned>(&self, ask: Ask<'_>) -> Result<T, RegistryError> {
        let (bytes, at) = self.ask_bytes(Method::POST, ask).await?;
        serde_json::from_slice(&bytes).map_err(|_| not_etcd(&at))
    }

    /// As [`ask`](Self::ask), by GET.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        within: Duration,
    ) -> Result<(T, String), RegistryError> {
        let tries = Tries::OneEach(within);
        let ask = Ask { path, body: &Value::Null, again: &Value::Null, tries };
        let (bytes, at) = self.ask_bytes(Method::GET, ask).await?;
        match serde_json::from_slice(&bytes) {
            Ok(answer) => Ok((answer, at)),
            Err(_) => Err(not_etcd(&at)),
        }
    }

    async fn ask_bytes(
        &self,
        method: Method,
        ask: Ask<'_>,
    ) -> Result<(Vec<u8>, String), RegistryError> {
        let mut failures: Vec<String> = Vec::new();
        let (mut has_logged_in, mut body) = (false, ask.body);
        // Tries at members that took the request, and members in a row that did not.
        let (mut tried, mut refused) = (0, 0);
        while refused < self.servers.len()
            && let Some(within) = ask.tries.next(tried, failures.len(), self.servers.len())
        {
            let (number, server) = self.current();
            let at = server.shown().to_owned();
            let request = Attempt { method: method.clone(), path: ask.path, body, within };
            let (status, bytes) = match self.try_once(number, server, request).await {
                Ok(answer) => answer,
                Err(failed) => {
                    let reason = match failed {
                        Failed::Unsent(reason) => {
                            refused += 1;
                            reason
                        }
                        Failed::Unknown(reason) => {
                            (tried, refused, body) = (tried + 1, 0, ask.again);
                            reason
                        }
                    };
                    self.leave(number);
                    failures.push(format!("{at}: {reason}"));
                    continue;
                }
            };
            if status.is_success() {
                return Ok((bytes, at));
            }
            let Ok(error) = serde_json::from_slice::<Value>(&bytes) else {
                return Err(not_etcd(&at));
            };
            match refusal_of(&error, &at) {
                EtcdRefusal::Login(_) if self.login.is_some() && !has_logged_in => {
                    has_logged_in = true;
                    self.log_in(within).await?;
                }
                EtcdRefusal::Login(told) if self.login.is_some() => {
                    return Err(RegistryError::Refused(told));
                }
                EtcdRefusal::Login(told) => {
                    return Err(RegistryError::Refused(format!(
                        "{told} (it wants a login: write `user` and `password` under `etcd`)"
                    )));
                }
                EtcdRefusal::Other(RegistryError::Away(told)) => {
                    // It answers and cannot decide; another member may, or it in a moment.
                    self.leave(number);
                    failures.push(told);
                    (tried, refused, body) = (tried + 1, 0, ask.again);
                }
                EtcdRefusal::Other(error) => return Err(error),
            }
        }
        Err(RegistryError::Away(format!("etcd does not answer ({})", failures.join("; "))))
    }

    async fn try_once(
        &self,
        number: usize,
        server: &Server,
        request: Attempt<'_>,
    ) -> Result<(hyper::StatusCode, Vec<u8>), Failed> {
        let mut connection = self.connect(number, server).await.map_err(Failed::Unsent)?;
        let within = request.within;
        let exchanging = async {
            let answer = self.send(&mut connection, server, request).await?;
            let status = answer.status();
            let bytes = read_body(answer).await.map_err(Failed::Unknown)?;
            Ok((status, bytes))
        };
        let answer = timeout(within, exchanging)
            .await
            .map_err(|_| Failed::Unknown(no_answer_within(within)))??;
        let mut state = self.lock();
        if state.idle.len() < MAX_IDLE && !connection.requests.is_closed() {
            state.idle.push((number, connection));
        }
        Ok(answer)
    }

    /// Begins a stream of answers at the member that is asked now.
    pub(super) async fn stream(
        &self,
        path: &str,
        body: &Value,
        within: Duration,
    ) -> Result<MemberStream, RegistryError> {
        let (member, server) = self.current();
        let at = server.shown().to_owned();
        let beginning = async {
            let mut connection = self.connect(member, server).await.map_err(Failed::Unsent)?;
            let request = Attempt { method: Method::POST, path, body, within };
            let answer = self.send(&mut connection, server, request).await?;
            Ok((connection, answer.into_body()))
        };
        let reason = match timeout(within, beginning).await {
            Ok(Ok((connection, body))) => {
                return Ok(MemberStream { member, at, body, _connection: connection });
            }
            Ok(Err(Failed::Unsent(reason) | Failed::Unknown(reason))) => reason,
            Err(_) => no_answer_within(within),
        };
        self.leave(member);
        Err(RegistryError::Away(format!("etcd does not answer ({at}: {reason})")))
    }

    async fn send(
        &self,
        connection: &mut Connection,
        server: &Server,
        Attempt { method, path, body, .. }: Attempt<'_>,
    ) -> Result<Response<Incoming>, Failed> {
        let mut request = server.request(method, path).header("content-type", "application/json");
        if let Some(token) = &self.lock().token {
            request = request.header("authorization", token);
        }
        let body = match body {
            Value::Null => Vec::new(),
            body => body.to_string().into_bytes(),
        };
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| Failed::Unsent(error.to_string()))?;
        connection.requests.send_request(request).await.map_err(|error| match error.is_canceled() {
            // The connection had ended before.
            true => Failed::Unsent("the connection was closed".to_owned()),
            false => Failed::Unknown(format!("no answer: {error}")),
        })
    }

    async fn connect(&self, number: usize, server: &Server) -> Result<Connection, String> {
        loop {
            let kept = {
                let mut state = self.lock();
                state.idle.retain(|(_, connection)| !connection.requests.is_closed());
                let found = state.idle.iter().position(|(member, _)| *member == number);
                found.map(|index| state.idle.swap_remove(index).1)
            };
            let Some(mut connection) = kept else { break };
            // The request before may still be on its way to a server that has answered early.
            if matches!(timeout(CONNECT_TIMEOUT, connection.requests.ready()).await, Ok(Ok(()))) {
                return Ok(connection);
            }
        }
        let connecting = async {
            let connector = match &self.tls {
                Some(tls) => Some(tls.connector().await),
                None => None,
            };
            server.connect(|| connector.ok_or_else(|| "its TLS is not set up".to_owned())).await
        };
        match timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(connected) => connected,
            Err(_) => Err(format!("no connection within {} s", CONNECT_TIMEOUT.as_secs())),
        }
    }

    async fn log_in(&self, within: Duration) -> Result<(), RegistryError> {
        let Some((name, Secret(password))) = &self.login else { return Ok(()) };
        let body = json!({ "name": name, "password": password });
        let path = "/v3/auth/authenticate";
        let request = Attempt { method: Method::POST, path, body: &body, within };
        self.lock().token = None;
        let (number, server) = self.current();
        let at = server.shown();
        let away =
            |reason: String| RegistryError::Away(format!("etcd does not answer ({at}: {reason})"));
        let (status, bytes) = self.try_once(number, server, request).await.map_err(|failed| {
            let (Failed::Unsent(reason) | Failed::Unknown(reason)) = failed;
            away(reason)
        })?;
        if !status.is_success() {
            let error = serde_json::from_slice::<Value>(&bytes).unwrap_or_default();
            return Err(match refusal_of(&error, at) {
                EtcdRefusal::Login(told) => RegistryError::Refused(told),
                EtcdRefusal::Other(error) => error,
            });
        }
        let LoginAnswer { token } = serde_json::from_slice(&bytes).map_err(|_| not_etcd(at))?;
        self.lock().token = Some(token);
        Ok(())
    }

    /// Logs in before a stream, whose refusal would come too late.
    pub(super) async fn ensure_login(&self, within: Duration) -> Result<(), RegistryError> {
        let is_needed = self.login.is_some() && self.lock().token.is_none();
        if is_needed { self.log_in(within).await } else { Ok(()) }
    }

    fn current(&self) -> (usize, &Server) {
        let number = self.lock().current % self.servers.len().max(1);
        // There is at least one.
        (number, self.servers.get(number).unwrap_or(&self.servers[0]))
    }

    /// Goes over to the next member, unless another request has done so.
    pub(super) fn leave(&self, number: usize) {
        let mut state = self.lock();
        if state.current % self.servers.len().max(1) == number {
            state.current = (number + 1) % self.servers.len().max(1);
        }
        state.idle.retain(|(member, _)| *member != number);
    }

    fn lock(&self) -> MutexGuard<'_, ConnectionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn not_etcd(at: &str) -> RegistryError {
    RegistryError::Refused(format!("what answers at {at} is no etcd with the API 3"))
}

fn no_answer_within(time: Duration) -> String {
    format!("no answer within {} s", time.as_secs_f32())
}

async fn read_body(answer: Response<Incoming>) -> Result<Vec<u8>, String> {
    let mut body = answer.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("the answer broke off: {error}"))?;
        bytes.extend(frame.into_data().unwrap_or_default());
        if bytes.len() > MAX_ANSWER {
            return Err("its answer is too long".to_owned());
        }
    }
    Ok(bytes)
}
