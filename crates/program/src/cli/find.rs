//! Address of a service by its name: from the running lab, else from a nameserver; of another lab's
//! (`optics/lab.laser`) from the nameserver there.
//!
//! The running lab is asked first: it knows its services while no nameserver runs. A nameserver
//! that this lab should run and does not is not asked: its port may be another lab's.

use std::time::Duration;

use lab_config::{Host, did_you_mean};
use miette::{Report, miette};
use remote::{Error, Location, Uri};
use tokio::time::timeout;

use super::nslist::{HINT, NameserverArgument};
use super::target::{NameserverTarget, ServiceTarget, TIMEOUT};
use super::{labs, other_lab, supervisor};
use crate::paths::Paths;
use crate::supervise::active_config;
use crate::supervise::control::client::ControlError;
use crate::supervise::control::{Listing, Request, ServiceRow};

/// Finds a service of this lab, or one that a nameserver knows; a URI is taken as it is.
///
/// # Errors
/// It is not known, or does not run; in words for a person.
pub(super) async fn service(
    paths: &Paths,
    name: &str,
    nameserver: &NameserverArgument,
) -> Result<ServiceTarget, Report> {
    service_within(paths, name, nameserver, Duration::MAX).await
}

/// As [`service`]; the supervisor is waited for no longer than `patience`.
pub(super) async fn service_within(
    paths: &Paths,
    name: &str,
    nameserver: &NameserverArgument,
    patience: Duration,
) -> Result<ServiceTarget, Report> {
    if name.starts_with("PYRO") {
        return at(paths, parsed(name)?).await;
    }
    if nameserver.is_given() {
        return Ok(look_up(name, nameserver, paths, &[]).await?);
    }
    let others = labs::known(paths).unwrap_or_default();
    if let Some(target) = other_lab::service(paths, &others, name).await? {
        return Ok(target);
    }
    let found = service_here(paths, name, nameserver, patience).await;
    match found {
        Err(NotFound::Nowhere(report)) if !others.is_empty() => {
            Err(other_lab::explain(paths, &others, name, report).await)
        }
        found => Ok(found?),
    }
}

/// Why there is no address of a service; in words for a person.
enum NotFound {
    /// Nobody knows the name.
    Nowhere(Report),
    Failed(Report),
}

impl From<Report> for NotFound {
    fn from(report: Report) -> Self {
        NotFound::Failed(report)
    }
}

impl From<NotFound> for Report {
    fn from(not_found: NotFound) -> Self {
        match not_found {
            NotFound::Nowhere(report) | NotFound::Failed(report) => report,
        }
    }
}

/// Finds a service of this lab, or one that its nameservers know.
async fn service_here(
    paths: &Paths,
    name: &str,
    nameserver: &NameserverArgument,
    patience: Duration,
) -> Result<ServiceTarget, NotFound> {
    let (lab, is_silent) = match supervisor(paths).await {
        Ok(client) => {
            let asking = client.ask(&Request::Ps { looks: false }, |_| {});
            match timeout(patience, asking).await {
                Ok(Ok(lab)) => (Some(lab), false),
                Ok(Err(error)) => (None, matches!(error, ControlError::Silent { .. })),
                Err(_) => (None, true),
            }
        }
        Err(_) => (None, false),
    };
    let here = lab.as_ref().map_or(&[][..], |lab| &lab.services);
    if let Some((lab, row)) = lab.as_ref().zip(here.iter().find(|row| row.name == name)) {
        let uri = row.report.uri.as_ref().ok_or_else(|| not_running(lab, row))?;
        return Ok(in_lab(paths, parsed(uri)?, &row.daemon)?);
    }
    // The nameservers of a supervisor that does not answer run on without it.
    let absent = if is_silent { Vec::new() } else { absent_nameservers(paths, lab.as_ref()) };
    let looked_up = look_up(name, nameserver, paths, &absent).await;
    looked_up.map_err(|not_found| {
        let elsewhere = match not_found {
            NotFound::Nowhere(report) if !here.is_empty() => report,
            other => return other,
        };
        let help = match did_you_mean(name, here.iter().map(|row| row.name.as_str())) {
            Some(help) => help,
            None => elsewhere.help().map_or_else(
                || "see the services of this lab with `ferrolab ps`".to_owned(),
                |help| help.to_string(),
            ),
        };
        NotFound::Nowhere(miette!(
            help = help,
            "there is no service '{name}' here, and elsewhere: {elsewhere}"
        ))
    })
}

/// The object at an address, which may be of a daemon of this lab.
pub(super) async fn at(paths: &Paths, uri: Uri) -> Result<ServiceTarget, Report> {
    let Some(own) = port_here(&uri) else { return ServiceTarget::elsewhere(uri) };
    let Ok(client) = supervisor(paths).await else { return ServiceTarget::elsewhere(uri) };
    let asking = client.ask(&Request::Ps { looks: false }, |_| {});
    let Ok(Ok(lab)) = timeout(TIMEOUT, asking).await else { return ServiceTarget::elsewhere(uri) };
    let is_here = |row: &&ServiceRow| {
        let known = row.report.uri.as_ref().and_then(|known| known.parse().ok());
        known.is_some_and(|known: Uri| port_here(&known) == Some(own))
    };
    match lab.services.iter().find(is_here) {
        Some(row) => in_lab(paths, uri, &row.daemon),
        None => ServiceTarget::elsewhere(uri),
    }
}

/// The port of an address of this host.
fn port_here(uri: &Uri) -> Option<u16> {
    match uri {
        Uri::Pyro { location: Location::Tcp { host, port }, .. } => {
            Host::from(host.clone()).is_this_host().then_some(*port)
        }
        _ => None,
    }
}

/// An object of a daemon of this lab, with the TLS settings of the daemon's port.
pub(super) fn in_lab(paths: &Paths, uri: Uri, daemon: &str) -> Result<ServiceTarget, Report> {
    let configuration = active_config::load(paths).ok();
    match configuration.as_ref().and_then(|(configuration, _)| configuration.daemon(daemon)) {
        Some(daemon) => ServiceTarget::of_daemon(uri, daemon.tls(), paths),
        None => ServiceTarget::elsewhere(uri),
    }
}

fn parsed(uri: &str) -> Result<Uri, Report> {
    uri.parse().map_err(|error| miette!("{error}"))
}

/// The reason why a service of this lab has no URI.
fn not_running(lab: &Listing, row: &ServiceRow) -> Report {
    let ServiceRow { name, daemon, report, .. } = row;
    match lab.daemons.iter().find(|row| row.name == *daemon) {
        Some(row) if row.status == "stopped" && !row.wanted => {
            let why = match row.autolaunch {
                true => "was stopped by hand",
                false => "does not run, and does not start with the lab",
            };
            miette!(
                help = format!("`ferrolab start daemon {daemon}` starts it"),
                "service '{name}' is stopped: daemon {daemon} {why}"
            )
        }
        _ => miette!(help = "see `ferrolab status`", "service '{name}' is {}", report.status),
    }
}

/// Nameservers that this lab runs and that are not up, by name.
fn absent_nameservers(paths: &Paths, lab: Option<&Listing>) -> Vec<String> {
    if let Some(lab) = lab {
        let rows = lab.nameservers.iter();
        let absent = rows.filter(|row| row.wanted && row.status != "running");
        return absent.map(|row| row.name.clone()).collect();
    }
    let Ok((configuration, _)) = active_config::load(paths) else { return Vec::new() };
    let own = configuration.nameservers.iter().filter(|nameserver| {
        let launched = &configuration.autolaunch.nameservers;
        nameserver.host.is_this_host() && launched.contains(&nameserver.name)
    });
    own.map(|nameserver| nameserver.name.clone()).collect()
}

/// Asks the nameservers in turn; the first that knows the name counts.
async fn look_up(
    name: &str,
    argument: &NameserverArgument,
    paths: &Paths,
    absent: &[String],
) -> Result<ServiceTarget, NotFound> {
    let targets = argument.targets(paths).await.map_err(NotFound::Nowhere)?;
    let (mut known, mut asked, mut answered) = (Vec::new(), Vec::new(), false);
    for target in targets {
        let NameserverTarget { title, location, .. } = &target;
        if absent.contains(title) {
            asked.push(format!(
                "nameserver {title} is this lab's and does not run (`ferrolab up`); another program \
                 at {location} is not asked"
            ));
            continue;
        }
        let mut nameserver = target.client();
        match nameserver.lookup(name).await {
            Ok(uri) => return Ok(at(paths, uri).await?),
            Err(Error::Remote(_)) => {
                answered = true;
                asked.push(format!("nameserver {title} ({location}) does not know it"));
                if let Ok(names) = nameserver.list(None).await {
                    known.extend(names.into_iter().map(|entry| entry.name));
                }
            }
            Err(error) => asked.push(format!("nameserver {title}: {error}")),
        }
    }
    let help = match did_you_mean(name, known.iter().map(String::as_str)) {
        Some(help) => help,
        None if !answered => HINT.to_owned(),
        None => "see the names with `ferrolab nslist`, the services with `ferrolab ps`; `--uri` \
                 calls without a nameserver"
            .to_owned(),
    };
    Err(NotFound::Nowhere(miette!(help = help, "cannot find '{name}': {}", asked.join("; "))))
}
