//! Leased names: registrations that a nameserver of Ferrolab lets lapse without renewals.
//!
//! The nameserver's method `renew_leases`, from the caller's side. Pyro5's nameserver, and ours of
//! 0.1.0, do not have it; [`NameServer::has_leases`] tells.

use std::time::Duration;

use wire::uri::Uri;
use wire::value::Value;

use crate::addresses::network_stack;
use crate::client::nameserver::{NameServer, bad_answer, tag_set};
use crate::error::Error;

/// The name of the method.
const METHOD: &str = "renew_leases";
/// Its name in a directory that several nameservers share, with the host before the rest.
const HOST_METHOD: &str = "renew_host_leases";

/// Treatment of a name that points elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takeover {
    /// Take it unless another daemon holds it, and set the tags even where it points to us: for a
    /// daemon that has just started.
    Claim,
    /// Take it unless another daemon holds it.
    Reclaim,
    /// As [`Claim`](Self::Claim), also from another daemon: for one that was found dead.
    Seize,
    /// Leave it.
    Keep,
}

/// A name to register, or to renew.
#[derive(Clone, Debug)]
pub struct LeasedName<'a> {
    /// The name.
    pub name: &'a str,
    /// Where it is to point.
    pub uri: &'a Uri,
    /// Its tags.
    pub tags: &'a [String],
    /// Treatment if it points elsewhere.
    pub takeover: Takeover,
}

/// A name that was not simply renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseConflict {
    /// The name.
    pub name: String,
    /// Where the name pointed, if elsewhere.
    pub theirs: Option<Uri>,
    /// Why the nameserver refuses the name, if it does.
    pub error: Option<String>,
    /// Whether the name stays where it pointed: another daemon renews its lease there.
    pub is_held: bool,
    /// Whether the name is renewed, and the daemon at `theirs` wants it too.
    pub is_wanted: bool,
}

impl NameServer {
    /// Whether the nameserver knows leases.
    ///
    /// # Errors
    /// [`Error`] for the way there.
    pub async fn has_leases(&mut self) -> Result<bool, Error> {
        Ok(self.lease_method().await?.is_some())
    }

    /// The method by which names are renewed, where there is one.
    async fn lease_method(&mut self) -> Result<Option<&'static str>, Error> {
        let metadata = self.proxy.metadata().await?;
        let known = |wanted: &&str| metadata.methods.iter().any(|method| method == *wanted);
        let methods = [Some(METHOD), Some(HOST_METHOD).filter(|_| self.host.is_some())];
        Ok(methods.into_iter().flatten().find(known))
    }

    /// Registers or renews all of `names`: each stays for `lease` without the next call. A
    /// nameserver takes up to 1,000 at once.
    ///
    /// With `everywhere` their daemon listens at all addresses of this host: a nameserver on this
    /// host gives each client the one that the client has reached it at.
    ///
    /// # Errors
    /// [`Error`] for the way there, and a nameserver that refuses the whole call.
    pub async fn renew_leases(
        &mut self,
        names: &[LeasedName<'_>],
        lease: Duration,
        everywhere: bool,
    ) -> Result<Vec<LeaseConflict>, Error> {
        let rows: Vec<Value> = names.iter().map(LeasedName::to_value).collect();
        let method = self.lease_method().await?.unwrap_or(METHOD);
        let host = self.host.as_deref().filter(|_| method == HOST_METHOD);
        let mut args: Vec<Value> = host.map(Value::from).into_iter().collect();
        args.extend([Value::List(rows), Value::Float(lease.as_secs_f64())]);
        if everywhere {
            args.push(network_stack().into());
        }
        let lab = self.lab.iter().map(|lab| ("lab".to_owned(), lab.as_str().into())).collect();
        let answer = self.proxy.call(method, args, lab).await?;
        let conflicts = answer.as_list().unwrap_or_default().iter().map(conflict);
        conflicts
            .collect::<Option<_>>()
            .ok_or_else(|| bad_answer(METHOD, "a conflict is not (name, uri, error, held, wanted)"))
    }
}

impl LeasedName<'_> {
    fn to_value(&self) -> Value {
        let takeover = match self.takeover {
            Takeover::Claim => "claim",
            Takeover::Reclaim => "reclaim",
            Takeover::Seize => "seize",
            Takeover::Keep => "keep",
        };
        let uri = self.uri.to_string();
        Value::Tuple(vec![self.name.into(), uri.into(), tag_set(self.tags), takeover.into()])
    }
}

fn conflict(row: &Value) -> Option<LeaseConflict> {
    let [name, theirs, error, held, wanted] = row.as_list()? else { return None };
    let theirs = match theirs {
        Value::None => None,
        theirs => Some(theirs.as_str()?.parse().ok()?),
    };
    Some(LeaseConflict {
        name: name.as_str()?.to_owned(),
        theirs,
        error: error.as_str().map(str::to_owned),
        is_held: held.as_bool()?,
        is_wanted: wanted.as_bool()?,
    })
}
