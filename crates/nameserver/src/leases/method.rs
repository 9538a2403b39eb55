//! `renew_leases`: the nameserver's one method that Pyro5's does not have.
//!
//! ```text
//! renew_leases(registrations, seconds, network=None, lab=None) -> conflicts
//!
//! registrations  list of (name, uri, tags, takeover), for all names that a daemon keeps
//! seconds        how long the names stay without the next call: 5 to 3600
//! network        of a daemon that listens at all addresses of its host: its network stack. Where
//!                that is the nameserver's own, each client gets the address that it has reached
//!                the nameserver at; elsewhere the URI counts as it is
//! lab            the id of the lab that runs the daemon, where its configuration has it run this
//!                nameserver too: one of another lab, which has the port, refuses the call
//! takeover       when the name points elsewhere:
//!                "claim"    take it, unless it is held; set the tags, too (a daemon that has just
//!                           started)
//!                "reclaim"  take it, unless it is held
//!                "seize"    as "claim", and also where it is held (by a process that has died)
//!                "keep"     leave it
//! conflicts      list of (name, uri, error, held, wanted) for names that are not simply renewed:
//!                uri     where the name pointed elsewhere, else None
//!                error   why the name is refused, else None
//!                held    whether the name stays there because it is held
//!                wanted  whether the name is renewed, and the daemon at `uri` wants it too
//! ```
//!
//! A nameserver that is a replica of a shared directory has `renew_host_leases` in its place, with
//! the id of the daemon's host before the others: `renew_host_leases(host, registrations, …)`.
//!
//! A name is held while it has a lease that was renewed in time: another daemon wants it, and would
//! take it back. So a name that two daemons want stays with one.
//!
//! A name that is missing is registered. A call that finds everything as it should be writes
//! nothing, and waits for no disk. Stock clients never see the method; a batch cannot hold it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use remote::{
    Answer, Context, Exception, MethodCall, NAMESERVER_NAME, Reply, Signature, Uri, Value,
};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::arguments::{name_of, tags_of};
use crate::change_log::ChangeLog;
use crate::directory;
use crate::limits;
use crate::owner::NameClient;
use crate::store::{Change, Changed, Entry, Index, Lease, LiveHosts, Store, Transaction};

pub(crate) const METHOD: &str = "renew_leases";
/// The method's name in a shared directory.
pub(crate) const HOST_METHOD: &str = "renew_host_leases";
const HOST_SIGNATURE: Signature = Signature {
    name: "NameServer.renew_host_leases",
    parameters: &["host", "registrations", "seconds", "network", "lab"],
    required: 3,
};
const SIGNATURE: Signature = Signature {
    name: "NameServer.renew_leases",
    parameters: &["registrations", "seconds", "network", "lab"],
    required: 2,
};

/// Registrations in one call, at most: other calls wait for as long as they take.
const MAX_REGISTRATIONS: usize = 1000;

/// A name as its daemon wants it.
struct Wanted {
    name: String,
    uri: String,
    tags: BTreeSet<String>,
    takeover: Takeover,
    length: Duration,
    /// The host of its daemon, in a shared directory.
    host: Option<Arc<str>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Takeover {
    Claim,
    Reclaim,
    Seize,
    Keep,
}

/// A name that is not simply renewed.
struct Conflict {
    name: String,
    theirs: Option<String>,
    error: Option<Exception>,
    is_held: bool,
    is_wanted: bool,
}

/// The work that a name needs.
enum Need {
    /// Its lease has been renewed; the `rival` has asked for the name in vain.
    Nothing { rival: Option<String> },
    /// It points elsewhere, and is left so.
    Stays { theirs: String, is_held: bool },
    /// It is to be written.
    Write { entry: Entry, theirs: Option<String> },
}

/// Carries out a call of [`METHOD`], or [`HOST_METHOD`], in a nameserver of this `lab`. `client_of`
/// makes its client, which may have shown the lab's id.
pub(crate) fn renew(
    store: &Store,
    call: MethodCall,
    context: Context,
    reached_at: Option<IpAddr>,
    (lab, client_of, log): (Option<&str>, impl FnOnce(bool) -> NameClient, &ChangeLog),
) -> Answer {
    let (wanted, is_lab) = match parse(call, lab, store.hosts().is_some()) {
        Ok(parsed) => parsed,
        Err(exception) => return Answer::exception(exception),
    };
    let client = client_of(is_lab);
    if let Some(hosts) = store.hosts()
        && let Err(exception) = announce(hosts, store, &client, &wanted)
    {
        return Answer::exception(exception);
    }
    let mut conflicts = Vec::new();
    let mut unwritten = Vec::new();
    {
        let names = store.read();
        for wanted in wanted {
            let known = names.get(&wanted.name).map(|known| &**known);
            // A host may renew what stands there: that changes nothing. A write is checked later.
            let is_renewal = known.is_some_and(|known| wanted.is_as(known));
            // A name that points elsewhere is not changed by the call, or is checked then.
            if !is_renewal
                && known.is_none_or(|known| *known.uri == *wanted.uri)
                && let Err(error) = client.check(&wanted.name, known, Some(&wanted.uri))
            {
                conflicts.push(Conflict::refused(wanted.name, None, error));
                continue;
            }
            let may_register = |name: &str| client.may_register(name);
            match wanted.renew_in(&names, may_register) {
                Need::Nothing { rival: None } => {}
                Need::Nothing { rival: Some(theirs) } => {
                    conflicts.push(Conflict::with_rival(wanted.name, theirs));
                }
                Need::Stays { theirs, is_held } => {
                    conflicts.push(Conflict::over(wanted.name, theirs, is_held));
                }
                Need::Write { theirs, .. } => match wanted.check() {
                    Ok(()) => unwritten.push(wanted),
                    Err(error) => conflicts.push(Conflict::refused(wanted.name, theirs, error)),
                },
            }
        }
    }
    if unwritten.is_empty() {
        return Answer::value(answer(conflicts, reached_at));
    }
    let (sender, written) = oneshot::channel();
    let change: Change = Box::new(move |names| {
        // The request has its memory for as long as its rows wait for the database.
        let _context = context;
        let count = unwritten.len();
        let more: Vec<Conflict> =
            unwritten.into_iter().filter_map(|wanted| wanted.write_to(names)).collect();
        // The receiver is gone where nobody waits for the answer.
        let _ = sender.send(more);
        Ok(count)
    });
    let change = store.change(log.watch(change, client));
    let finish = move |mut written: oneshot::Receiver<Vec<Conflict>>, outcome: Result<usize, _>| {
        outcome?;
        conflicts.extend(written.try_recv().unwrap_or_default());
        Ok(Reply::from(answer(conflicts, reached_at)))
    };
    match change {
        Changed::Now(outcome) => Answer::Ready(finish(written, outcome)),
        Changed::Later(outcome) => {
            Answer::Pending(Box::pin(async move { finish(written, outcome.await) }))
        }
    }
}

/// Notes that the host of these names lives.
///
/// # Errors
/// The client may register none of them and the host has none of them, so that it has no part in
/// the directory; or the nameserver does not reach the registry.
fn announce(
    hosts: &LiveHosts,
    store: &Store,
    client: &NameClient,
    wanted: &[Wanted],
) -> Result<(), Exception> {
    let Some(host) = wanted.first().and_then(|wanted| wanted.host.as_deref()) else {
        return Ok(());
    };
    let has_part = |wanted: &Wanted| {
        client.may_register(&wanted.name)
            || store.read().get(&wanted.name).is_some_and(|known| wanted.is_as(known))
    };
    if !wanted.iter().any(has_part) {
        return Err(Exception::new(
            "builtins.PermissionError",
            "a host is announced with a name that it has or may register",
        ));
    }
    let length = wanted.first().map_or(Duration::ZERO, |wanted| wanted.length);
    hosts.renew(host, length).map(drop)
}

/// The wanted names, and whether the caller has shown the lab's id; `has_hosts`: in a shared
/// directory.
fn parse(
    call: MethodCall,
    lab: Option<&str>,
    has_hosts: bool,
) -> Result<(Vec<Wanted>, bool), Exception> {
    let (host, [registrations, seconds, network, theirs]) = match has_hosts {
        false => (None, SIGNATURE.bind(call)?),
        true => {
            let [host, registrations, seconds, network, theirs] = HOST_SIGNATURE.bind(call)?;
            (host, [registrations, seconds, network, theirs])
        }
    };
    let theirs = theirs.as_ref().and_then(Value::as_str);
    let is_lab = lab.zip(theirs).map(|(ours, theirs)| is_same_id(ours, theirs));
    if is_lab == Some(false) {
        return Err(Exception::naming_error(
            "the nameserver at this port belongs to another lab of this host; nothing is \
             registered there",
        ));
    }
    // All addresses of one host mean nothing at the other nameservers of a directory.
    let is_everywhere =
        !has_hosts && network.as_ref().and_then(Value::as_str) == Some(remote::network_stack());
    let seconds = match seconds {
        Some(Value::Float(seconds)) => seconds,
        Some(Value::Int(seconds)) => seconds as f64,
        _ => return Err(Exception::type_error("the lease must be a number of seconds")),
    };
    if !Lease::LENGTHS.contains(&seconds) {
        return Err(Exception::value_error(format!(
            "a lease has {} to {} seconds, not {seconds}",
            Lease::LENGTHS.start(),
            Lease::LENGTHS.end()
        )));
    }
    let length = Duration::from_secs_f64(seconds);
    let (Some(Value::List(rows)) | Some(Value::Tuple(rows))) = registrations else {
        return Err(Exception::type_error("the registrations must be a list"));
    };
    if rows.len() > MAX_REGISTRATIONS {
        return Err(Exception::naming_error(format!(
            "{} registrations are too many for one call: at most {MAX_REGISTRATIONS}",
            rows.len()
        )));
    }
    let host = match (has_hosts, host) {
        (false, _) => None,
        (true, Some(Value::Str(host))) => Some(Arc::<str>::from(host)),
        (true, _) => return Err(Exception::type_error("the host must be a str")),
    };
    let wanted = rows.into_iter().map(|row| Wanted::parse(row, length, host.clone()));
    let wanted: Result<Vec<Wanted>, Exception> = match is_everywhere {
        false => wanted.collect(),
        true => wanted.map(|wanted| Ok(wanted?.everywhere())).collect(),
    };
    Ok((wanted?, is_lab == Some(true)))
}

/// Whether two ids are the same, in a time that does not tell how far they are.
fn is_same_id(ours: &str, theirs: &str) -> bool {
    let pairs = ours.bytes().zip(theirs.bytes());
    ours.len() == theirs.len() && pairs.fold(0, |all, (one, other)| all | (one ^ other)) == 0
}

fn answer(conflicts: Vec<Conflict>, reached_at: Option<IpAddr>) -> Value {
    let row = |Conflict { name, theirs, error, is_held, is_wanted }: Conflict| {
        let error = error.map(|error| error.message());
        let theirs = theirs.map(|theirs| match (theirs.parse::<Uri>(), reached_at) {
            (Ok(uri), Some(address)) if uri.is_everywhere() => uri.reached_at(address).to_string(),
            _ => theirs,
        });
        let theirs = theirs.map_or(Value::None, Value::from);
        let (held, wanted) = (is_held.into(), is_wanted.into());
        Value::Tuple(vec![name.into(), theirs, error.into(), held, wanted])
    };
    Value::List(conflicts.into_iter().map(row).collect())
}

impl Wanted {
    fn parse(row: Value, length: Duration, host: Option<Arc<str>>) -> Result<Self, Exception> {
        let malformed =
            || Exception::type_error("a registration must be (name, uri, tags, takeover)");
        let (Value::Tuple(row) | Value::List(row)) = row else { return Err(malformed()) };
        let [name, Value::Str(uri), tags, Value::Str(takeover)] =
            <[Value; 4]>::try_from(row).map_err(|_| malformed())?
        else {
            return Err(malformed());
        };
        let takeover = match takeover.as_str() {
            "claim" => Takeover::Claim,
            "reclaim" => Takeover::Reclaim,
            "seize" => Takeover::Seize,
            "keep" => Takeover::Keep,
            other => {
                return Err(Exception::value_error(format!(
                    "the takeover must be claim, reclaim, seize or keep, not {other}"
                )));
            }
        };
        let (name, tags) = (name_of(Some(name))?, tags_of(Some(tags))?);
        Ok(Wanted { name, uri, tags, takeover, length, host })
    }

    /// Whether an entry has this address, and is of the same host of a shared directory.
    fn is_as(&self, known: &Entry) -> bool {
        self.host.is_some() && *known.uri == *self.uri && known.host == self.host
    }

    /// The same for a daemon that listens at all addresses of this host.
    fn everywhere(self) -> Self {
        match self.uri.parse::<Uri>() {
            Ok(uri) => Wanted { uri: uri.everywhere().to_string(), ..self },
            // It is refused later, with its reason.
            Err(_) => self,
        }
    }

    /// Refuses what cannot be written, before it waits for the database.
    fn check(&self) -> Result<(), Exception> {
        self.uri.parse::<Uri>().map_err(|error| Exception::pyro_error(error.to_string()))?;
        if self.name == NAMESERVER_NAME {
            // It would lapse with the daemon that took it.
            return Err(Exception::naming_error("the nameserver's own name has no lease"));
        }
        limits::check_entry(&self.name, &self.uri, self.tags.iter().map(String::len))
    }

    /// Renews the lease where the name is as it should be; else what is to be done. A client that
    /// may not register the name is no rival of its holder.
    fn renew_in(&self, names: &Index, may_register: impl Fn(&str) -> bool) -> Need {
        let write = |tags: BTreeSet<String>, theirs| {
            let mut entry = Entry::new(self.uri.clone(), tags).with_lease(self.length);
            entry.host.clone_from(&self.host);
            Need::Write { entry, theirs }
        };
        let Some(known) = names.get(&self.name) else { return write(self.tags.clone(), None) };
        if *known.uri != *self.uri {
            let theirs = known.uri.to_string();
            let holder = known.lease.as_ref().filter(|lease| lease.deadline() > Instant::now());
            // One of a host that renews at another nameserver has its lease there.
            let is_held = holder.is_some() || known.lease.is_none() && known.host.is_some();
            if let Some(holder) = holder
                && self.takeover != Takeover::Seize
                && self.check().is_ok()
                && may_register(&self.name)
            {
                holder.note_rival(&self.uri);
            }
            return match self.takeover {
                Takeover::Claim | Takeover::Reclaim if !is_held => {
                    write(self.tags.clone(), Some(theirs))
                }
                Takeover::Seize => write(self.tags.clone(), Some(theirs)),
                _ => Need::Stays { theirs, is_held },
            };
        }
        if matches!(self.takeover, Takeover::Claim | Takeover::Seize)
            && !known.tags.iter().map(|tag| &**tag).eq(self.tags.iter().map(String::as_str))
        {
            return write(self.tags.clone(), None);
        }
        match &known.lease {
            Some(lease) if lease.length() == self.length && known.host == self.host => {
                lease.renew();
                Need::Nothing { rival: lease.rival() }
            }
            // Its lease begins when the store has taken notice of the host.
            None if known.host.is_some() && known.host == self.host => {
                Need::Nothing { rival: None }
            }
            // Tags that people have set by hand stay.
            _ => write(known.tags.iter().map(|tag| tag.to_string()).collect(), None),
        }
    }

    /// Writes the name if it still needs that. A refusal concerns this name only.
    fn write_to(self, names: &mut Transaction<'_>) -> Option<Conflict> {
        // A holder that has come since hears of this rival with the next renewal.
        let (entry, theirs) = match self.renew_in(names.index(), |_| false) {
            Need::Nothing { rival } => {
                return rival.map(|theirs| Conflict::with_rival(self.name, theirs));
            }
            Need::Stays { theirs, is_held } => {
                return Some(Conflict::over(self.name, theirs, is_held));
            }
            Need::Write { entry, theirs } => (entry, theirs),
        };
        let error = directory::put(names, &self.name, entry).err();
        let conflict =
            Conflict { name: self.name, theirs, error, is_held: false, is_wanted: false };
        (conflict.theirs.is_some() || conflict.error.is_some()).then_some(conflict)
    }
}

impl Conflict {
    fn over(name: String, theirs: String, is_held: bool) -> Self {
        Conflict { name, theirs: Some(theirs), error: None, is_held, is_wanted: false }
    }

    fn refused(name: String, theirs: Option<String>, error: Exception) -> Self {
        Conflict { name, theirs, error: Some(error), is_held: false, is_wanted: false }
    }

    fn with_rival(name: String, theirs: String) -> Self {
        Conflict { name, theirs: Some(theirs), error: None, is_held: false, is_wanted: true }
    }
}
