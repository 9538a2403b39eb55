//! Connections to the members of an etcd cluster: one request each at a time, kept for the next.
//!
//! Every request has a deadline. A member that does not answer is left for the next one; a request
//! that may have been carried out is not repeated unless it may be.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Response, Uri};
use lab_config::{Etcd, Secret};
use nameserver::registry::RegistryError;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

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
    tls: Option<TlsConnector>,
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
    /// Time for the answer.
    pub(super) within: Duration,
    /// Whether it may be carried out twice.
    pub(super) is_repeatable: bool,
}

/// Why one try had no answer.
enum Failed {
    /// It has not reached the member.
    Unsent(String),
    /// It may have been carried out.
    Unknown(String),
}

impl Members {
    pub(super) fn new(config: &Etcd, tls: Option<TlsConnector>) -> Result<Self, String> {
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

    /// As [`ask`](Self::ask), for the first line of a stream.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        within: Duration,
    ) -> Result<(T, String), RegistryError> {
        let ask = Ask { path, body: &Value::Null, within, is_repeatable: true };
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
        let mut has_logged_in = false;
        let mut left = self.servers.len();
        while left > 0 {
            let (number, server) = self.current();
            let at = server.shown().to_owned();
            let tried = self.try_once(number, server, method.clone(), ask).await;
            let (status, bytes) = match tried {
                Ok(answer) => answer,
                Err(failed) => {
                    let (reason, is_sent) = match failed {
                        Failed::Unsent(reason) => (reason, false),
                        Failed::Unknown(reason) => (reason, true),
                    };
                    self.leave(number);
                    failures.push(format!("{at}: {reason}"));
                    left -= 1;
                    if is_sent && !ask.is_repeatable {
                        break;
                    }
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
                    self.log_in(ask.within).await?;
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
                    // It answers and cannot decide; another member may.
                    self.leave(number);
                    failures.push(told);
                    left -= 1;
                    if !ask.is_repeatable {
                        break;
                    }
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
        method: Method,
        ask: Ask<'_>,
    ) -> Result<(hyper::StatusCode, Vec<u8>), Failed> {
        let mut connection = self.connect(number, server).await.map_err(Failed::Unsent)?;
        let exchanging = async {
            let answer = self.send(&mut connection, server, method, ask).await?;
            let status = answer.status();
            let bytes = read_body(answer).await.map_err(Failed::Unknown)?;
            Ok((status, bytes))
        };
        let answer = timeout(ask.within, exchanging).await.map_err(|_| {
            Failed::Unknown(format!("no answer within {} s", ask.within.as_secs_f32()))
        })??;
        let mut state = self.lock();
        if state.idle.len() < MAX_IDLE && !connection.requests.is_closed() {
            state.idle.push((number, connection));
        }
        Ok(answer)
    }

    /// Begins a stream of answers.
    pub(super) async fn stream(
        &self,
        ask: Ask<'_>,
    ) -> Result<(Connection, Response<Incoming>, String), RegistryError> {
        let (number, server) = self.current();
        let at = server.shown().to_owned();
        let beginning = async {
            let mut connection = self.connect(number, server).await.map_err(Failed::Unsent)?;
            let answer = self.send(&mut connection, server, Method::POST, ask).await?;
            Ok((connection, answer))
        };
        let reason = match timeout(ask.within, beginning).await {
            Ok(Ok((connection, answer))) => return Ok((connection, answer, at)),
            Ok(Err(Failed::Unsent(reason) | Failed::Unknown(reason))) => reason,
            Err(_) => format!("no answer within {} s", ask.within.as_secs_f32()),
        };
        self.leave(number);
        Err(RegistryError::Away(format!("etcd does not answer ({at}: {reason})")))
    }

    async fn send(
        &self,
        connection: &mut Connection,
        server: &Server,
        method: Method,
        ask: Ask<'_>,
    ) -> Result<Response<Incoming>, Failed> {
        let mut request =
            server.request(method, ask.path).header("content-type", "application/json");
        if let Some(token) = &self.lock().token {
            request = request.header("authorization", token);
        }
        let body = match ask.body {
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
        let tls = || self.tls.clone().ok_or_else(|| "its TLS is not set up".to_owned());
        match timeout(CONNECT_TIMEOUT, server.connect(tls)).await {
            Ok(connected) => connected,
            Err(_) => Err(format!("no connection within {} s", CONNECT_TIMEOUT.as_secs())),
        }
    }

    async fn log_in(&self, within: Duration) -> Result<(), RegistryError> {
        let Some((name, Secret(password))) = &self.login else { return Ok(()) };
        let body = json!({ "name": name, "password": password });
        let ask = Ask { path: "/v3/auth/authenticate", body: &body, within, is_repeatable: true };
        self.lock().token = None;
        let (number, server) = self.current();
        let at = server.shown();
        let away =
            |reason: String| RegistryError::Away(format!("etcd does not answer ({at}: {reason})"));
        let (status, bytes) =
            self.try_once(number, server, Method::POST, ask).await.map_err(|failed| {
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

    /// As [`leave`](Self::leave), for the member that is asked now.
    pub(super) fn leave_current(&self) {
        let (number, _) = self.current();
        self.leave(number);
    }

    fn lock(&self) -> MutexGuard<'_, ConnectionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn not_etcd(at: &str) -> RegistryError {
    RegistryError::Refused(format!("what answers at {at} is no etcd with the API 3"))
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
