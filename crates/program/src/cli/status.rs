//! `ferrolab status`: the lab's faults, each with its remedy.

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use lab_config::{TlsMode, Warning};
use miette::{IntoDiagnostic, Report};
use serde_json::json;

use super::labs::{LabsArgument, SeenLab, SeenLabs};
use super::output::print_json;
use super::table::lines_for_terminal;
use super::watch::Watch;
use super::{Outcome, explain, paths, runtime, style, up, user};
use crate::access::Users;
use crate::labs;
use crate::open;
use crate::os;
use crate::paths::Paths;
use crate::supervise::active_config;
use crate::supervise::control::client::{Client, ControlError};
use crate::supervise::control::{Host, Listing, Request};
use crate::supervise::diagnosis::{EndingLogin, Finding, diagnose, ending_logins, warn_of_logins};
use crate::supervise::incidents::Incident;

/// Say what is wrong with the lab, and what to do
///
/// Exit code 0: all that should run does. 1: something is wrong, or the lab is not up.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ferrolab status\n  ferrolab status --watch\n  ferrolab status --all                    # and the labs of `labs`\n  \
    ferrolab status --json || mail -s 'lab' me@example.edu"
)]
pub(super) struct Arguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    labs: LabsArgument,
    #[command(flatten)]
    watch: Watch,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let paths = paths()?;
    arguments.watch.repeat(|| match arguments.labs.is_given() {
        true => many(&paths, arguments),
        false => once(&paths, arguments.json),
    })
}

/// The status of several labs.
fn many(paths: &Paths, arguments: &Arguments) -> Outcome {
    let SeenLabs { here, others } = arguments.labs.listings(paths, true)?;
    let (mut findings, mut shown, mut headlines) = (Vec::new(), Vec::new(), Vec::new());
    let up = here.as_ref().map(Result::is_ok);
    let here = match here {
        None => None,
        Some(Ok(listing)) => {
            headlines.push(headline("The lab", &listing));
            findings.extend(diagnose(&listing));
            Some(listing)
        }
        Some(Err(_)) => {
            findings.push(not_up(paths));
            None
        }
    };
    for SeenLab { lab, answer } in others {
        let (name, host) = (lab.name.clone(), labs::location(&lab).to_string());
        let (listing, away) = match answer {
            Ok(listing) => {
                headlines.push(headline(&format!("{name} ({host})"), &listing));
                let there = |Finding { subject, problem, advice }| Finding {
                    subject: format!("{name}: {subject}"),
                    problem,
                    // Its commands are for its own host: here they would mean this lab.
                    advice: format!("on the host of {name}: {advice}"),
                };
                findings.extend(diagnose(&listing).into_iter().map(there));
                (Some(labs::qualify(&lab, listing)), None)
            }
            Err(reason) => {
                findings.push(Finding {
                    subject: format!("lab {name}"),
                    problem: format!("it is away ({host}): {reason}"),
                    advice: "see `ferrolab status` on its host, and whether this host reaches it"
                        .to_owned(),
                });
                (None, Some(reason))
            }
        };
        shown.push(json!({ "name": name, "at": host, "away": away, "lab": listing }));
    }
    if arguments.json {
        print_json(&json!({
            "up": up, "findings": findings, "warnings": [], "lab": here, "labs": shown,
        }))?;
    } else {
        for headline in headlines {
            println!("{}", lines_for_terminal(&headline));
        }
        print_findings(&findings);
    }
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints each fault with its remedy, or that all is well.
fn print_findings(findings: &[Finding]) {
    if findings.is_empty() {
        println!("{}", style::verdict(true, "All is well."));
    }
    for Finding { subject, problem, advice } in findings {
        // Drivers and clients of nameservers have their words in these.
        let [subject, problem, advice] =
            [subject, problem, advice].map(|part| lines_for_terminal(part));
        println!("\n{}: {problem}\n  -> {advice}", style::verdict(false, &subject));
    }
}

fn once(paths: &Paths, as_json: bool) -> Outcome {
    let listing = runtime()?.block_on(listing(paths))?;
    let mut findings = match &listing {
        Some(listing) => diagnose(listing),
        None => vec![not_up(paths)],
    };
    let (fault, warnings) = file(paths, listing.as_ref());
    findings.extend(fault);
    findings.extend(listing.as_ref().and_then(|_| edited(paths)));
    findings.extend(listing.as_ref().and_then(replaced_program));
    let logins = logins(paths);
    if as_json {
        let shown: Vec<_> = warnings.iter().map(Warning::to_json).collect();
        let report = json!({
            "up": listing.is_some(), "findings": findings, "warnings": shown, "logins": logins,
            "lab": listing,
        });
        print_json(&report)?;
    } else {
        if let Some(listing) = &listing {
            println!("{}", headline("The lab", listing));
            if let Some(simulated) = up::simulated(listing) {
                println!("{simulated}");
            }
        }
        print_findings(&findings);
        for Incident { time, subject, text } in listing.iter().flat_map(|lab| &lab.incidents) {
            let [subject, text] = [subject, text].map(|part| lines_for_terminal(part));
            println!("\nOver, since {time}: {subject}: {text}");
        }
        for warning in &warnings {
            println!("\n{}: {}", style::level("WARN", "warning"), warning.plain());
        }
        if !logins.is_empty() {
            let at = user::login_address(paths, None).unwrap_or_else(|_| "HOST".to_owned());
            let Finding { subject, problem, advice } = warn_of_logins(&logins, &at);
            let warning = style::level("WARN", "warning");
            println!("\n{warning}: {subject}: {}\n  -> {advice}", lines_for_terminal(&problem));
        }
    }
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn listing(paths: &Paths) -> Result<Option<Listing>, Report> {
    let socket = paths.control_socket().into_diagnostic()?;
    match Client::connect(&socket).await {
        Ok(client) => {
            client.ask(&Request::Ps { looks: true }, |_| {}).await.map(Some).map_err(explain)
        }
        Err(ControlError::NotRunning { .. }) => Ok(None),
        Err(error) => Err(explain(error)),
    }
}

fn not_up(paths: &Paths) -> Finding {
    let last = open::read_regular(&paths.log_dir.join("supervisor.stderr")).unwrap_or_default();
    let last = String::from_utf8_lossy(&last);
    let problem = match last.trim() {
        "" => "it is not up".to_owned(),
        said => format!("it is not up; its supervisor's last words: {said}"),
    };
    let advice = match paths.config_file.exists() {
        true => "`ferrolab up` starts it",
        false => {
            "give it a configuration with `ferrolab config update FILE`, then `ferrolab up`; or \
             try `ferrolab demo`"
        }
    };
    Finding { subject: "the lab".to_owned(), problem, advice: advice.to_owned() }
}

/// That the user's file has been edited since it was taken over.
fn edited(paths: &Paths) -> Option<Finding> {
    let file = active_config::edited_origin(paths)?;
    Some(Finding {
        subject: "the configuration file".to_owned(),
        problem: format!("{} was edited since it was taken over", file.display()),
        advice: super::reload::takes_over(&file),
    })
}

/// That the lab runs with a program whose file was replaced.
fn replaced_program(listing: &Listing) -> Option<Finding> {
    let Host { pid, version, .. } = &listing.host;
    os::is_replaced(*pid).then(|| Finding {
        subject: "the lab's program".to_owned(),
        problem: format!("it was replaced since the lab has started, with version {version}"),
        advice: "`ferrolab upgrade --wait` takes over the new one, when nobody uses the lab"
            .to_owned(),
    })
}

/// Users whose certificate ends soon or has ended, where a port of the lab takes certificates: a
/// token has no end.
fn logins(paths: &Paths) -> Vec<EndingLogin> {
    let Ok((configuration, _)) = active_config::load(paths) else { return Vec::new() };
    let own = configuration.nameservers.iter().filter(|nameserver| nameserver.host.is_this_host());
    let ports = own.map(|nameserver| nameserver.tls());
    let mut ports = ports.chain(configuration.daemons.iter().map(|daemon| daemon.tls()));
    if !ports.any(|keys| keys.mode != TlsMode::Off) {
        return Vec::new();
    }
    // Why a file cannot be read is what `user list` says.
    let users = Users::look(&paths.access_folder()).unwrap_or_default();
    ending_logins(&users, Timestamp::now())
}

/// A fault of the configuration file, or that the lab runs with another one; and the file's
/// warnings.
fn file(paths: &Paths, listing: Option<&Listing>) -> (Option<Finding>, Vec<Warning>) {
    if !paths.config_file.exists() {
        return (None, Vec::new());
    }
    let path = paths.config_file.display();
    let subject = "the configuration file".to_owned();
    let warnings = match active_config::load(paths) {
        Ok((_, warnings)) => warnings,
        Err(error) => {
            let in_force = match listing {
                Some(_) => "; the lab goes on with the last good one",
                None => "",
            };
            let problem = format!("{error}{in_force}");
            let advice = format!("`ferrolab config check {path}` shows where; repair it");
            return (Some(Finding { subject, problem, advice }), Vec::new());
        }
    };
    let now = active_config::fingerprint(paths);
    let is_other = listing.zip(now).is_some_and(|(lab, now)| now != lab.host.configuration);
    let changed = is_other.then(|| Finding {
        subject,
        problem: "it has changed since it was taken up".to_owned(),
        advice: "`ferrolab reload` takes it up".to_owned(),
    });
    (changed, warnings)
}

fn headline(lab: &str, listing: &Listing) -> String {
    let count = |rows: &mut dyn Iterator<Item = &String>| {
        rows.filter(|status| *status == "running").count()
    };
    let nameservers = count(&mut listing.nameservers.iter().map(|row| &row.status));
    let daemons = count(&mut listing.daemons.iter().map(|row| &row.status));
    let services = count(&mut listing.services.iter().map(|row| &row.report.status));
    format!(
        "{lab} is up since {}: {nameservers} of {} nameserver(s), {daemons} of {} daemon(s) and \
         {services} of {} service(s) run.",
        listing.host.since,
        listing.nameservers.len(),
        listing.daemons.len(),
        listing.services.len()
    )
}
