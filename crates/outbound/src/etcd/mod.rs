//! Client of etcd through its JSON gateway, as the registry of nameservers that share a directory.
//!
//! The gateway and not gRPC: it needs no compiler of protocol files and no code beyond the HTTP
//! client that is here anyway. It does not know users by their certificates; etcd's users log in
//! with a password.

mod connection;
mod messages;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use lab_config::Etcd;
use nameserver::registry::{
    Changes, Commit, KeyValue, Registry, RegistryError, RegistryFuture, RegistryLease, Snapshot,
    Write,
};
use remote::{CertificateFiles, ClientTls};
use serde_json::{Value, json};

use self::connection::{Ask, Members, Tries};
use self::messages::{
    GrantAnswer, KeepAliveAnswer, RangeAnswer, StreamLine, TxnAnswer, Version, encode, range, txn,
    txn_again,
};
use crate::tls_of_the_system;

/// Time for a renewal or a short answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Times for the tries of a transaction, 5 s together. A member that has not yet noticed the death
/// of its leader passes a transaction on to it, where it is lost without an error; the others have
/// a new leader within 1 to 2 s, rarely 4 s. So early tries are short.
const TRANSACTION_TRIES: [Duration; 4] = [
    Duration::from_millis(1000),
    Duration::from_millis(1000),
    Duration::from_millis(1500),
    Duration::from_millis(1500),
];
/// Time for a page of names.
const PAGE_TIMEOUT: Duration = Duration::from_secs(20);
/// Names in a page.
const NAMES_PER_PAGE: usize = 5000;
/// The key that says whose the prefix is.
const MARKER: &str = "ferrolab";
/// Its value.
const FORMAT: &str = r#"{"format":1}"#;
/// The oldest etcd whose gateway has the paths of version 3.
const OLDEST: (u32, u32) = (3, 4);

/// An etcd cluster. Clones share its connections.
#[derive(Clone)]
pub struct EtcdRegistry {
    members: Arc<Members>,
    /// With a slash at its end.
    prefix: Arc<str>,
}

impl EtcdRegistry {
    /// The cluster of a configuration; connects when it is asked.
    ///
    /// # Errors
    /// A certificate or an endpoint cannot be used.
    pub fn new(config: &Etcd) -> Result<Self, String> {
        let is_tls = config.endpoints.iter().any(|endpoint| endpoint.starts_with("https:"));
        let tls = if is_tls { Some(client_tls(config)?) } else { None };
        let prefix = format!("{}/", config.prefix.trim_end_matches('/')).into();
        Ok(EtcdRegistry { members: Arc::new(Members::new(config, tls)?), prefix })
    }

    async fn check_version(&self) -> Result<(), RegistryError> {
        let (Version { etcdserver }, at) = self.members.get("/version", ANSWER_TIMEOUT).await?;
        let mut parts = etcdserver.split('.').map(str::parse::<u32>);
        let found = match (parts.next(), parts.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
            _ => return Err(connection::not_etcd(&at)),
        };
        if found < OLDEST {
            let (major, minor) = OLDEST;
            return Err(RegistryError::Refused(format!(
                "etcd at {at} has version {etcdserver}, which is too old: {major}.{minor} or later \
                 is needed"
            )));
        }
        Ok(())
    }

    /// Checks that the prefix is ours; takes it where it is free.
    async fn check_prefix(&self, is_to_take: bool) -> Result<(), RegistryError> {
        let marker = format!("{}{MARKER}", self.prefix);
        let prefix = self.prefix.trim_end_matches('/');
        let mut any = range(&self.prefix);
        any["limit"] = "1".into();
        // The marker first: another nameserver may write it between the two.
        for request in [json!({ "key": encode(&marker) }), any] {
            let answer: RangeAnswer = self.ask("/v3/kv/range", &request, ANSWER_TIMEOUT).await?;
            let Some(found) = answer.kvs.first() else { continue };
            if found.key != marker {
                return Err(used_by_others(prefix, &found.key));
            }
            let format = serde_json::from_slice::<Value>(&found.value).unwrap_or_default();
            return match format["format"].as_i64() {
                Some(1) => Ok(()),
                Some(format) => Err(RegistryError::Refused(format!(
                    "the names under the prefix {prefix} in etcd have format {format}, and this \
                     version of Ferrolab knows 1"
                ))),
                None => Err(used_by_others(prefix, &found.key)),
            };
        }
        if is_to_take {
            let value = Some(FORMAT.as_bytes().to_vec());
            let write = Write { key: MARKER.to_owned(), value, expected: Some(0) };
            // Another nameserver may have been quicker.
            self.commit_all(vec![write], None).await?;
        }
        Ok(())
    }

    /// Checks that nameservers could use it, and changes nothing.
    ///
    /// # Errors
    /// They could not; the text says why.
    pub async fn probe(&self) -> Result<(), RegistryError> {
        self.check_version().await?;
        self.check_prefix(false).await
    }

    async fn load_all(&self) -> Result<Snapshot, RegistryError> {
        let mut snapshot = Snapshot::default();
        let mut request = range(&self.prefix);
        request["limit"] = NAMES_PER_PAGE.to_string().into();
        let mut before = None;
        loop {
            let answer: RangeAnswer = self.ask("/v3/kv/range", &request, PAGE_TIMEOUT).await?;
            if snapshot.revision == 0 {
                // All pages are of one revision.
                snapshot.revision = answer.header.revision;
                request["revision"] = snapshot.revision.to_string().into();
            }
            let last = answer.kvs.last().map(|kv| kv.key.clone());
            let key_values = answer.kvs.into_iter().filter_map(|kv| self.key_value(kv));
            snapshot.keys.extend(key_values);
            let Some(last) = last.filter(|_| answer.more) else { return Ok(snapshot) };
            if before.as_ref().is_some_and(|before| last <= *before) {
                // It would go on for ever.
                return Err(connection::not_etcd("the cluster"));
            }
            request["key"] = encode(&format!("{last}\0")).into();
            before = Some(last);
        }
    }

    /// A key without the prefix.
    fn key_value(&self, kv: messages::Kv) -> Option<KeyValue> {
        let key = kv.key.strip_prefix(&*self.prefix)?.to_owned();
        Some(KeyValue { key, value: Some(kv.value), revision: kv.mod_revision })
    }

    async fn commit_all(
        &self,
        writes: Vec<Write>,
        lease: Option<RegistryLease>,
    ) -> Result<Commit, RegistryError> {
        let body = txn(&self.prefix, &writes, lease.map(|lease| lease.0));
        let again = txn_again(&self.prefix, &writes, &body);
        let tries = Tries::Timed(&TRANSACTION_TRIES);
        let ask = Ask { path: "/v3/kv/txn", body: &body, again: &again, tries };
        let answer: TxnAnswer = self.members.ask(ask).await?;
        Ok(match answer.kept(&writes) {
            Some(revision) => Commit::Kept(revision),
            None => Commit::Conflict,
        })
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
        within: Duration,
    ) -> Result<T, RegistryError> {
        let tries = Tries::OneEach(within);
        self.members.ask(Ask { path, body, again: body, tries }).await
    }
}

impl Registry for EtcdRegistry {
    fn check(&self) -> RegistryFuture<'_, ()> {
        Box::pin(async {
            self.check_version().await?;
            self.check_prefix(true).await
        })
    }

    fn load(&self) -> RegistryFuture<'_, Snapshot> {
        Box::pin(self.load_all())
    }

    fn first<'a>(&'a self, prefix: &'a str) -> RegistryFuture<'a, Option<KeyValue>> {
        Box::pin(async move {
            let mut request = range(&format!("{}{prefix}", self.prefix));
            request["limit"] = "1".into();
            let answer: RangeAnswer = self.ask("/v3/kv/range", &request, ANSWER_TIMEOUT).await?;
            Ok(answer.kvs.into_iter().next().and_then(|kv| self.key_value(kv)))
        })
    }

    fn watch(&self, first: i64) -> RegistryFuture<'_, Box<dyn Changes>> {
        Box::pin(async move {
            let changes = watch::begin(Arc::clone(&self.members), &self.prefix, first).await?;
            Ok(Box::new(changes) as Box<dyn Changes>)
        })
    }

    fn commit(
        &self,
        writes: Vec<Write>,
        lease: Option<RegistryLease>,
    ) -> RegistryFuture<'_, Commit> {
        Box::pin(self.commit_all(writes, lease))
    }

    fn grant(&self, seconds: u64) -> RegistryFuture<'_, RegistryLease> {
        Box::pin(async move {
            let body = json!({ "TTL": seconds.to_string() });
            let GrantAnswer { id } = self.ask("/v3/lease/grant", &body, ANSWER_TIMEOUT).await?;
            Ok(RegistryLease(id))
        })
    }

    fn keep_alive(&self, lease: RegistryLease) -> RegistryFuture<'_, ()> {
        Box::pin(async move {
            let body = json!({ "ID": lease.0.to_string() });
            let line: StreamLine<KeepAliveAnswer> =
                self.ask("/v3/lease/keepalive", &body, ANSWER_TIMEOUT / 2).await?;
            match line.result {
                Some(KeepAliveAnswer { seconds: 1.. }) => Ok(()),
                Some(_) => Err(RegistryError::LeaseLost),
                None => Err(watch::error_of(line.error, "the cluster")),
            }
        })
    }
}

fn used_by_others(prefix: &str, key: &str) -> RegistryError {
    RegistryError::Refused(format!(
        "the prefix {prefix} in etcd is used by something else: there is the key {key}; write \
         another `prefix`"
    ))
}

fn client_tls(config: &Etcd) -> Result<ClientTls, String> {
    let own = config.cert.as_ref().map(|certificate| CertificateFiles {
        certificate: certificate.clone(),
        key: config.key.clone(),
        password: None,
    });
    match &config.cacert {
        Some(path) => ClientTls::load(path, own.as_ref()).map_err(|error| error.to_string()),
        None => tls_of_the_system(own.as_ref()).map_err(|error| error.to_string()),
    }
}
