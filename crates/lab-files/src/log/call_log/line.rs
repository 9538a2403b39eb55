//! One line of the call log, and the names of its files.

use jiff::Timestamp;
use remote::{CallAction, CallKind, CallRecord};
use serde::{Deserialize, Serialize};

/// Beginning of the files' names,
pub(super) const PREFIX: &str = "calls-";
/// and their end.
pub(super) const SUFFIX: &str = ".jsonl";

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CallLine {
    /// When the call came.
    pub time: Timestamp,
    /// The daemon that was called.
    pub daemon: String,
    /// The service, or the id of another object; empty where the line is about the whole daemon.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service: String,
    /// Empty where the request could not be read.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub member: String,
    /// `call`, `get`, `set`, `batch`, `oneway`, `oneway set`, `oneway batch` or `stream item`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The client's address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub caller: String,
    /// The name under which the client held the service's lock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The client's identity, where that says more than its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// How long it waited and ran, in seconds.
    #[serde(default)]
    pub duration: f64,
    /// `returned`, `raised`, or `unrecorded` for lines left out.
    pub outcome: String,
    /// The class of the exception.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception: Option<String>,
    /// The first line of its message, or why lines were left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Whether it took longer than `slow_call`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub slow: bool,
    /// Whether it went on after its `call_timeout`: the end of a call whose `TimeoutError` is in an
    /// earlier line.
    #[serde(default, skip_serializing_if = "is_false")]
    pub overdue: bool,
    /// The size of the request.
    #[serde(default)]
    pub request_bytes: usize,
    /// The size of the answer.
    #[serde(default)]
    pub answer_bytes: usize,
    /// The beginning of its arguments, as Python writes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<String>,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// The kind of a call, as lines have it.
pub fn kind_word(record: &CallRecord) -> &'static str {
    match (record.kind, record.action) {
        (CallKind::Oneway, CallAction::Method | CallAction::Get) => "oneway",
        (CallKind::Oneway, CallAction::Set) => "oneway set",
        (CallKind::Oneway, CallAction::Batch) => "oneway batch",
        (CallKind::StreamItem, _) => "stream item",
        (CallKind::Call, CallAction::Method) => "call",
        (CallKind::Call, CallAction::Get) => "get",
        (CallKind::Call, CallAction::Set) => "set",
        (CallKind::Call, CallAction::Batch) => "batch",
    }
}

impl CallLine {
    pub(super) fn of(daemon: &str, record: CallRecord) -> Self {
        let kind = kind_word(&record);
        let outcome = if record.exception.is_some() { "raised" } else { "returned" };
        let (exception, message) =
            record.exception.map(|exception| (exception.class, exception.message)).unzip();
        CallLine {
            time: Timestamp::try_from(record.since).unwrap_or_default(),
            daemon: daemon.to_owned(),
            service: record.object,
            member: record.member,
            kind: kind.to_owned(),
            caller: record.peer.to_string(),
            user: record.user,
            identity: record.identity.as_deref().map(str::to_owned),
            duration: (record.duration.as_secs_f64() * 1e6).round() / 1e6,
            outcome: outcome.to_owned(),
            exception,
            message: message.filter(|message| !message.is_empty()),
            slow: record.is_slow,
            overdue: record.was_overdue,
            request_bytes: record.request_bytes,
            answer_bytes: record.answer_bytes,
            arguments: record.arguments,
        }
    }

    /// Whether the call failed.
    pub fn is_error(&self) -> bool {
        self.outcome == "raised"
    }

    /// The host of the caller's address.
    pub fn host(&self) -> &str {
        self.caller.rsplit_once(':').map_or(self.caller.as_str(), |(host, _)| host)
    }

    /// The caller with its address, for people.
    pub fn client(&self) -> String {
        let user = self.user.as_deref().unwrap_or_default();
        remote::client_at(user, self.identity.as_deref(), &self.caller)
    }

    /// Whether `text` is the caller's user name or identity, its address, or the host of that.
    pub fn is_by(&self, text: &str) -> bool {
        let host = self.host();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        self.user.as_deref() == Some(text)
            || self.identity.as_deref() == Some(text)
            || [self.caller.as_str(), host, bare.unwrap_or(host)].contains(&text)
    }
}
