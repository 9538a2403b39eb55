//! etcd's watch: one HTTP request whose answer streams a line of JSON for each change.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use nameserver::registry::{Changes, KeyValue, RegistryError, RegistryFuture};
use serde_json::{Value, json};

use super::connection::{MemberStream, Members, not_etcd};
use super::messages::{EtcdRefusal, Event, StreamLine, WatchAnswer, range, refusal_of};

/// Time until the watch begins.
const WATCH_START_TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes of one line, at most: the largest transaction in base64, with room to spare.
const MAX_LINE: usize = 64 * 1024 * 1024;

/// A watch that runs.
pub(super) struct Watch {
    stream: MemberStream,
    prefix: Arc<str>,
    /// The bytes after the last line.
    rest: Vec<u8>,
    /// The bytes of `rest` that have no end of a line.
    searched: usize,
    members: Arc<Members>,
}

/// Begins to watch all keys with a prefix, from a revision on.
pub(super) async fn begin(
    members: Arc<Members>,
    prefix: &Arc<str>,
    first: i64,
) -> Result<Watch, RegistryError> {
    members.ensure_login(WATCH_START_TIMEOUT).await?;
    let mut create = range(prefix);
    create["start_revision"] = first.to_string().into();
    let body = json!({ "create_request": create });
    let stream = members.stream("/v3/watch", &body, WATCH_START_TIMEOUT).await?;
    Ok(Watch { stream, prefix: Arc::clone(prefix), rest: Vec::new(), searched: 0, members })
}

impl Changes for Watch {
    fn next(&mut self) -> RegistryFuture<'_, Vec<KeyValue>> {
        Box::pin(async {
            loop {
                if let Some(line) = self.take_line() {
                    let changes = self.read(&line)?;
                    if !changes.is_empty() {
                        return Ok(changes);
                    }
                    continue;
                }
                let away = |reason: String| {
                    RegistryError::Away(format!(
                        "etcd does not answer ({}: {reason})",
                        self.stream.at
                    ))
                };
                match self.stream.body.frame().await {
                    Some(Ok(frame)) => self.rest.extend(frame.into_data().unwrap_or_default()),
                    Some(Err(error)) => {
                        return Err(away(format!("the watch broke off: {error}")));
                    }
                    None => return Err(away("the watch has ended".to_owned())),
                }
                if self.rest.len() > MAX_LINE {
                    return Err(away("a line of the watch is too long".to_owned()));
                }
            }
        })
    }
}

impl Watch {
    fn take_line(&mut self) -> Option<Vec<u8>> {
        let unsearched = self.rest.get(self.searched..)?;
        match unsearched.iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                let line = self.rest.drain(..=self.searched + end).collect();
                self.searched = 0;
                Some(line)
            }
            None => {
                self.searched = self.rest.len();
                None
            }
        }
    }

    fn read(&self, line: &[u8]) -> Result<Vec<KeyValue>, RegistryError> {
        if line.trim_ascii().is_empty() {
            return Ok(Vec::new());
        }
        let line: StreamLine<WatchAnswer> =
            serde_json::from_slice(line).map_err(|_| not_etcd(&self.stream.at))?;
        let Some(answer) = line.result else { return Err(error_of(line.error, &self.stream.at)) };
        if answer.compact_revision > 0 {
            return Err(RegistryError::Compacted);
        }
        if answer.canceled {
            let reason = json!({ "message": answer.cancel_reason });
            return Err(error_of(Some(reason), &self.stream.at));
        }
        let change = |Event { kind, kv }: Event| {
            let key = kv.key.strip_prefix(&*self.prefix)?.to_owned();
            let value = (kind != "DELETE").then_some(kv.value);
            Some(KeyValue { key, value, revision: kv.mod_revision })
        };
        Ok(answer.events.into_iter().filter_map(change).collect())
    }
}

/// The next watch may do better at another member: one that is cut off from the others goes on to
/// answer. Requests may have left this one long ago.
impl Drop for Watch {
    fn drop(&mut self) {
        self.members.leave(self.stream.member);
    }
}

/// The meaning of an error in a stream.
pub(super) fn error_of(error: Option<Value>, at: &str) -> RegistryError {
    match refusal_of(&error.unwrap_or_default(), at) {
        EtcdRefusal::Login(told) => RegistryError::Away(told),
        EtcdRefusal::Other(error) => error,
    }
}
