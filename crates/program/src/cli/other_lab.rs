//! Address of a service of another lab: `optics/lab.laser`, looked up in the nameserver there.
//!
//! The call then goes straight to the daemon there, whose rules of access decide.

use lab_config::{Host, LAB_MARK, OtherLab, did_you_mean};
use miette::{Report, miette};
use remote::{Error, Location, Uri};

use super::labs;
use super::table::for_terminal;
use super::target::ServiceTarget;
use crate::labs::{LabReader, reason_of};
use crate::paths::Paths;

/// The answer of another lab's nameserver.
enum LookedUp {
    At(Box<LabReader>, FoundService),
    /// It does not know the name; the names that it knows.
    Unknown(Vec<String>),
}

/// The address of a service, and whether the nameserver that has named it is on this host.
struct FoundService {
    uri: Uri,
    is_here: bool,
}

/// A service of another lab; `None` for a name that is in none of them.
///
/// # Errors
/// The lab is away, or does not know the name; in words for a person.
pub(super) async fn service(
    paths: &Paths,
    known: &[OtherLab],
    name: &str,
) -> Result<Option<ServiceTarget>, Report> {
    let found = known.iter().find_map(|lab| Some((lab, lab.unqualify(name)?)));
    let Some((lab, own)) = found else { return Ok(None) };
    let answers = look_up(paths, vec![lab.clone()], own).await;
    match answers.into_iter().next() {
        Some((_, Ok(LookedUp::At(reader, FoundService { uri, is_here }))))
            if is_reachable(lab, &uri) =>
        {
            Ok(Some(ServiceTarget::of_lab(uri, *reader, !is_here)))
        }
        Some((_, Ok(LookedUp::At(_, FoundService { uri, .. })))) => Err(miette!(
            help =
                format!("write `host: public` in the daemon's configuration on {}", host_of(lab)),
            "'{own}' of the lab '{}' is reachable on its own host only: {}",
            lab.name,
            for_terminal(&uri.to_string())
        )),
        Some((_, Ok(LookedUp::Unknown(names)))) => {
            let help = did_you_mean(own, names.iter().map(String::as_str)).unwrap_or_else(|| {
                format!("see its names with `ferrolab nslist --lab {}`", lab.name)
            });
            Err(miette!(help = help, "the lab '{}' has no service '{own}'", lab.name))
        }
        Some((_, Err(reason))) => Err(miette!(
            help = "its host or its nameserver does not answer; `ferrolab status --all` shows all labs",
            "the lab '{}' is away: {reason}",
            lab.name
        )),
        None => Ok(None),
    }
}

/// An error that says more of a name that is not in this lab: the labs that have it, or the lab
/// that may be meant.
pub(super) async fn explain(
    paths: &Paths,
    known: &[OtherLab],
    name: &str,
    report: Report,
) -> Report {
    if let Some((lab, own)) = name.split_once(LAB_MARK) {
        let help = match did_you_mean(lab, known.iter().map(|lab| lab.name.as_str())) {
            Some(help) => format!("{help} (labs of the configuration; the name there is `{own}`)"),
            None => format!("write `labs: {{{lab}: {{host: HOST}}}}` in the configuration"),
        };
        return miette!(
            help = help,
            "there is no lab '{lab}' in the configuration, and no service '{name}' here"
        );
    }
    let answers = look_up(paths, known.to_vec(), name).await;
    let has_it = |(lab, answer): (OtherLab, Result<LookedUp, String>)| {
        matches!(answer, Ok(LookedUp::At(..))).then(|| format!("`{}`", lab.qualify(name)))
    };
    let found: Vec<String> = answers.into_iter().filter_map(has_it).collect();
    match found.as_slice() {
        [] => report,
        [one] => miette!(help = format!("another lab has it: {one}"), "{report}"),
        several => miette!(
            help = format!("say which one is meant: {}", several.join(" or ")),
            "{report}, and several other labs have it"
        ),
    }
}

/// Asks the nameservers of labs for a name, side by side.
async fn look_up(
    paths: &Paths,
    asked: Vec<OtherLab>,
    name: &str,
) -> Vec<(OtherLab, Result<LookedUp, String>)> {
    let seen = labs::ask_all(asked, paths, |reader| {
        let name = name.to_owned();
        async move {
            let mut nameserver = reader.nameserver();
            match nameserver.lookup(&name).await {
                Ok(uri) => {
                    let found = FoundService { uri, is_here: nameserver.is_here() };
                    Ok(LookedUp::At(Box::new(reader), found))
                }
                Err(Error::Remote(_)) => {
                    let names = nameserver.list(None).await.unwrap_or_default();
                    Ok(LookedUp::Unknown(
                        names.into_iter().map(|entry| for_terminal(&entry.name)).collect(),
                    ))
                }
                Err(error) => Err(reason_of(&error)),
            }
        }
    });
    seen.await.into_iter().map(|seen| (seen.lab, seen.answer)).collect()
}

/// Whether an address that another lab has told leads there: one of another host's loopback leads
/// here, and so does a name for this host's own nameserver. Where any other name leads is seen at
/// its connection.
fn is_reachable(lab: &OtherLab, uri: &Uri) -> bool {
    let leads_elsewhere = match uri {
        Uri::Pyro { location: Location::Tcp { host, .. }, .. } => {
            let host = Host::from(host.clone());
            let is_any = host.literal().is_some_and(|address| address.is_unspecified());
            !host.is_loopback() && !is_any
        }
        Uri::Pyro { .. } => false,
        _ => return false,
    };
    // A name would be this host's by its first part alone.
    leads_elsewhere || lab.host.literal().is_some() && lab.host.is_this_host()
}

fn host_of(lab: &OtherLab) -> String {
    String::from(lab.host.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_leads_to_the_other_lab_is_reachable() {
        let own_name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let same_first_part = format!("{own_name}.elsewhere.example");
        for (lab, uri, expected) in [
            ("opticspc", "PYRO:x@opticspc:9100", true),
            ("opticspc", "PYRO:x@192.0.2.7:9100", true),
            ("opticspc", "PYRO:x@localhost:9100", false),
            ("opticspc", "PYRO:x@127.0.0.1:9100", false),
            ("opticspc", "PYRO:x@[::1]:9100", false),
            ("opticspc", "PYRO:x@[::ffff:7f00:1]:9100", false),
            ("opticspc", "PYRO:x@0.0.0.0:9100", false),
            ("opticspc", "PYRO:x@./u:/run/x.sock", false),
            ("opticspc", "PYRONAME:x", false),
            ("opticspc", "PYROMETA:x", false),
            ("localhost", "PYRONAME:x", false),
            ("localhost", "PYRO:x@localhost:9100", true),
            ("127.0.0.1", "PYRO:x@./u:/run/x.sock", true),
            ("192.0.2.7", "PYRO:x@localhost:9100", false),
            (&same_first_part, "PYRO:x@localhost:9100", false),
        ] {
            let lab = OtherLab {
                name: "optics".to_owned(),
                host: Host::from(lab.to_owned()),
                port: 9090,
                ssl: false,
                ssl_cacerts: None,
                ssl_clientcert: None,
                ssl_clientkey: None,
            };
            let parsed: Uri = uri.parse().unwrap();
            assert_eq!(is_reachable(&lab, &parsed), expected, "{:?} {uri}", lab.host);
        }
    }
}
