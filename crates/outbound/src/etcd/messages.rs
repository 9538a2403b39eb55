//! Messages of etcd's JSON gateway: keys and values in base64, int64 as texts, absent defaults.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nameserver::registry::{RegistryError, Write};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

/// Codes of gRPC that the gateway passes on.
const NOT_FOUND: i64 = 5;
const PERMISSION_DENIED: i64 = 7;
const RESOURCE_EXHAUSTED: i64 = 8;
const UNAUTHENTICATED: i64 = 16;
/// The words of errors that have the general codes 2, 3, 9 and 11.
const NO_USER: &str = "user name is empty";
const WRONG_LOGIN: &str = "authentication failed";
const BAD_TOKEN: &str = "invalid auth token";
/// A token from before a change of etcd's users.
const OLD_TOKEN: [&str; 2] = ["revision of auth store is old", "revision in header is old"];
const LEASE_LOST: &str = "lease not found";
const COMPACTED: &str = "has been compacted";

#[derive(Debug, Default, Deserialize)]
pub(super) struct Header {
    #[serde(default, deserialize_with = "int64")]
    pub(super) revision: i64,
}

/// A key with its value.
#[derive(Debug, Deserialize)]
pub(super) struct Kv {
    #[serde(deserialize_with = "base64_text")]
    pub(super) key: String,
    #[serde(default, deserialize_with = "base64_bytes")]
    pub(super) value: Vec<u8>,
    #[serde(default, deserialize_with = "int64")]
    pub(super) mod_revision: i64,
}

#[derive(Debug, Deserialize)]
pub(super) struct RangeAnswer {
    #[serde(default)]
    pub(super) header: Header,
    #[serde(default)]
    pub(super) kvs: Vec<Kv>,
    #[serde(default)]
    pub(super) more: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct TxnAnswer {
    #[serde(default)]
    header: Header,
    #[serde(default)]
    succeeded: bool,
    /// The keys as they are, where a repetition did not succeed.
    #[serde(default)]
    responses: Vec<TxnResponse>,
}

#[derive(Debug, Deserialize)]
struct TxnResponse {
    response_range: Option<RangeAnswer>,
}

impl TxnAnswer {
    /// The revision at which these writes were made; `None` if they were not.
    ///
    /// A repetition finds other revisions where the first try was carried out and its answer lost.
    /// Then the keys are as the writes make them, all by one transaction. Where it compares
    /// revisions, the first try cannot be carried out after its repetition; a host's presence has
    /// none, and is the same after both.
    pub(super) fn kept(&self, writes: &[Write]) -> Option<i64> {
        if self.succeeded {
            return Some(self.header.revision);
        }
        if self.responses.len() != writes.len() {
            return None;
        }
        let mut revision = None;
        for (write, response) in writes.iter().zip(&self.responses) {
            let found = response.response_range.as_ref()?.kvs.first();
            match (&write.value, found) {
                (Some(value), Some(found)) if *value == found.value => {
                    let first = *revision.get_or_insert(found.mod_revision);
                    (first == found.mod_revision).then_some(())?;
                }
                (None, None) => {}
                _ => return None,
            }
        }
        Some(revision.unwrap_or(self.header.revision))
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct GrantAnswer {
    #[serde(rename = "ID", deserialize_with = "int64")]
    pub(super) id: i64,
}

/// A line of a stream: one answer, or an error.
#[derive(Debug, Deserialize)]
pub(super) struct StreamLine<T> {
    pub(super) result: Option<T>,
    pub(super) error: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct KeepAliveAnswer {
    /// The seconds that the lease has; 0 for one that has ended.
    #[serde(default, rename = "TTL", deserialize_with = "int64")]
    pub(super) seconds: i64,
}

#[derive(Debug, Deserialize)]
pub(super) struct WatchAnswer {
    #[serde(default)]
    pub(super) canceled: bool,
    #[serde(default, deserialize_with = "int64")]
    pub(super) compact_revision: i64,
    #[serde(default)]
    pub(super) cancel_reason: String,
    #[serde(default)]
    pub(super) events: Vec<Event>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Event {
    /// Absent for a key that was written.
    #[serde(default, rename = "type")]
    pub(super) kind: String,
    pub(super) kv: Kv,
}

#[derive(Debug, Deserialize)]
pub(super) struct LoginAnswer {
    pub(super) token: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Version {
    pub(super) etcdserver: String,
}

/// A refusal, as one of a few kinds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum EtcdRefusal {
    /// The token has ended, or none was shown.
    Login(String),
    Other(RegistryError),
}

/// The meaning of an error of the gateway.
pub(super) fn refusal_of(error: &Value, at: &str) -> EtcdRefusal {
    let code = error["code"].as_i64().or_else(|| error["grpc_code"].as_i64()).unwrap_or_default();
    let words = ["message", "error"].iter().find_map(|key| error[*key].as_str());
    let words = words.or_else(|| error.as_str()).unwrap_or("no reason is given").to_owned();
    let told = format!("etcd at {at} says: {words}");
    let has = |part: &str| words.contains(part);
    if code == UNAUTHENTICATED || has(BAD_TOKEN) || has(NO_USER) || OLD_TOKEN.into_iter().any(has) {
        return EtcdRefusal::Login(told);
    }
    EtcdRefusal::Other(match code {
        _ if has(COMPACTED) => RegistryError::Compacted,
        NOT_FOUND if has(LEASE_LOST) => RegistryError::LeaseLost,
        _ if has(WRONG_LOGIN) => RegistryError::Refused(told),
        PERMISSION_DENIED => RegistryError::Refused(format!(
            "{told} (its user needs the rights to read and write the prefix)"
        )),
        RESOURCE_EXHAUSTED if has("space exceeded") => RegistryError::Refused(format!(
            "{told} (compact and defragment it, then `etcdctl alarm disarm`)"
        )),
        _ => RegistryError::Away(told),
    })
}

/// A range of keys: all that begin with a prefix.
pub(super) fn range(prefix: &str) -> Value {
    json!({ "key": encode(prefix), "range_end": STANDARD.encode(end_of(prefix)) })
}

/// A transaction; `prefix` stands before each key.
pub(super) fn txn(prefix: &str, writes: &[Write], lease: Option<i64>) -> Value {
    let key = |write: &Write| encode(&format!("{prefix}{}", write.key));
    let compare: Vec<Value> = writes
        .iter()
        .filter_map(|write| {
            let revision = write.expected?.to_string();
            Some(json!({ "key": key(write), "target": "MOD", "result": "EQUAL",
                "mod_revision": revision }))
        })
        .collect();
    let success: Vec<Value> = writes
        .iter()
        .map(|write| match &write.value {
            Some(value) => {
                let mut put = json!({ "key": key(write), "value": STANDARD.encode(value) });
                if let Some(lease) = lease {
                    put["lease"] = lease.to_string().into();
                }
                json!({ "request_put": put })
            }
            None => json!({ "request_delete_range": { "key": key(write) } }),
        })
        .collect();
    json!({ "compare": compare, "success": success })
}

/// A transaction that may have been made already: where the revisions differ, it answers with the
/// keys as they are.
pub(super) fn txn_again(prefix: &str, writes: &[Write], first: &Value) -> Value {
    let read = |write: &Write| json!({ "request_range": { "key": encode(&format!("{prefix}{}", write.key)) } });
    let mut again = first.clone();
    again["failure"] = writes.iter().map(read).collect();
    again
}

pub(super) fn encode(text: &str) -> String {
    STANDARD.encode(text)
}

/// The first key behind all that begin with a prefix, which is not empty.
fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    // No byte of UTF-8 is 255.
    if let Some(last) = end.last_mut() {
        *last = last.saturating_add(1);
    }
    end
}

fn int64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum NumberText {
        Text(String),
        Number(i64),
    }
    match NumberText::deserialize(deserializer)? {
        NumberText::Text(text) => text.parse().map_err(serde::de::Error::custom),
        NumberText::Number(number) => Ok(number),
    }
}

fn base64_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map_err(serde::de::Error::custom)
}

/// A key. Those of others may be no text; they are not ours.
fn base64_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(String::from_utf8_lossy(&base64_bytes(deserializer)?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines that etcd 3.4.23 has sent.
    #[test]
    fn recorded_answers_are_understood() {
        let line = r#"{"result":{"header":{"cluster_id":"1","member_id":"2","revision":"7",
            "raft_term":"2"},"events":[{"kv":{"key":"L2Y=","create_revision":"5",
            "mod_revision":"7","version":"2","value":"eA=="}},{"type":"DELETE",
            "kv":{"key":"L2c=","mod_revision":"7"}}]}}"#;
        let line: StreamLine<WatchAnswer> = serde_json::from_str(line).unwrap();
        let events = line.result.unwrap().events;
        assert_eq!((events[0].kind.as_str(), events[0].kv.key.as_str()), ("", "/f"));
        assert_eq!((events[0].kv.value.as_slice(), events[0].kv.mod_revision), (&b"x"[..], 7));
        assert_eq!((events[1].kind.as_str(), events[1].kv.value.len()), ("DELETE", 0));
        let line =
            r#"{"result":{"header":{"revision":"9"},"canceled":true,"compact_revision":"8"}}"#;
        let line: StreamLine<WatchAnswer> = serde_json::from_str(line).unwrap();
        assert_eq!(
            line.result.map(|answer| (answer.canceled, answer.compact_revision)),
            Some((true, 8))
        );
        let answer: TxnAnswer = serde_json::from_str(r#"{"header":{"revision":"3"}}"#).unwrap();
        assert!(!answer.succeeded);
    }

    /// The answers of etcd 3.4.23 to a transaction that is repeated.
    #[test]
    fn a_repetition_finds_that_the_first_try_was_carried_out() {
        let write = |key: &str, value: Option<&str>| Write {
            key: key.to_owned(),
            value: value.map(|value| value.as_bytes().to_vec()),
            expected: Some(0),
        };
        let range = |kv: &str| {
            format!(
                r#"{{"response_range":{{"header":{{"revision":"9"}},"kvs":[{kv}],"count":"1"}}}}"#
            )
        };
        let kept = |writes: &[Write], kvs: &[&str]| {
            let responses: Vec<String> = kvs.iter().map(|kv| range(kv)).collect();
            let responses = responses.join(",");
            let answer = format!(r#"{{"header":{{"revision":"9"}},"responses":[{responses}]}}"#);
            serde_json::from_str::<TxnAnswer>(&answer).unwrap().kept(writes)
        };
        let [x, late, other] = [("eA==", 7), ("eA==", 8), ("eQ==", 7)].map(|(value, revision)| {
            format!(r#"{{"key":"L2Y=","value":"{value}","mod_revision":"{revision}"}}"#)
        });
        let [put, delete] = [write("f", Some("x")), write("g", None)];
        let both = [put.clone(), delete.clone()];
        assert_eq!(kept(&both, &[&x, ""]), Some(7));
        assert_eq!(kept(&[delete], &[""]), Some(9));
        assert_eq!(kept(&[put.clone(), put.clone()], &[&x, &late]), None, "somebody else's too");
        assert_eq!(kept(&both, &[&other, ""]), None);
        assert_eq!(kept(&both, &[&x, &x]), None);
        assert_eq!(kept(&both, &["", ""]), None);
        assert_eq!(kept(&both, &[]), None, "a first try that conflicts");
    }

    #[test]
    fn refusals_are_told_apart() {
        let refused = |code: i64, message: &str| {
            refusal_of(&json!({ "error": message, "message": message, "code": code }), "h:2379")
        };
        assert!(matches!(refused(16, "etcdserver: invalid auth token"), EtcdRefusal::Login(_)));
        assert!(matches!(refused(3, "etcdserver: user name is empty"), EtcdRefusal::Login(_)));
        let other = |code, message| match refused(code, message) {
            EtcdRefusal::Other(error) => error,
            EtcdRefusal::Login(told) => panic!("{told}"),
        };
        let compacted = "etcdserver: mvcc: required revision has been compacted";
        assert_eq!(other(11, compacted), RegistryError::Compacted);
        assert_eq!(other(5, "etcdserver: requested lease not found"), RegistryError::LeaseLost);
        let denied = other(7, "etcdserver: permission denied");
        assert!(denied.to_string().contains("h:2379 says: etcdserver: permission denied"));
        assert!(matches!(other(14, "etcdserver: no leader"), RegistryError::Away(_)));
    }

    #[test]
    fn a_prefix_ends_behind_its_last_key() {
        assert_eq!(end_of("/ferrolab/"), b"/ferrolab0");
    }
}
