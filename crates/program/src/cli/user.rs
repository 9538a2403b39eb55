//! `ferrolab user`: the people and programs that this lab knows.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use lab_config::Nameserver;
use miette::{IntoDiagnostic, Report, miette};
use serde::Serialize;

use super::output::print_json;
use super::{Outcome, explain, paths, runtime, supervisor, table};
use crate::access::{self, LoginCode, User, Users};
use crate::audit::{self, AuditLine};
use crate::host::address::address_from_here;
use crate::os;
use crate::paths::Paths;
use crate::supervise::active_config;
use crate::supervise::control::Request;
use crate::web;

/// Users of this lab: add, list or remove them, or replace their logins
#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    Add(Add),
    List(List),
    Remove(Remove),
    Rotate(Rotate),
}

/// Add a user, and print the line that logs them in
///
/// The printed line is good for one login within 15 minutes. Run on the user's machine it makes a
/// private key and a token there, and gets a certificate of this lab for 90 days. For a further
/// machine of a user, add the user again. With `--link` it is a link for a browser instead.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab user add ada\n  \
    ferrolab user add ada --group optics --group night-shift\n  \
    ferrolab user add ada --link              # for a browser")]
pub(super) struct Add {
    /// The user's name, of letters, digits and `. _ @ -`
    name: String,
    /// A group that the user is in; may be given several times
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// The host's name or address in the printed line (default: as this host is known)
    #[arg(long)]
    host: Option<String>,
    /// Print a link that logs a browser in on the page, once, instead
    #[arg(long)]
    link: bool,
    /// Print a JSON object instead
    #[arg(long)]
    json: bool,
}

/// List the users, with their groups and logins
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab user list\n  ferrolab user list --json")]
pub(super) struct List {
    /// Print a JSON list instead of a table
    #[arg(long)]
    json: bool,
}

/// Remove a user: tokens and certificates are refused, and open connections end within a second
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab user remove ada")]
pub(super) struct Remove {
    name: String,
}

/// Withdraw all tokens and certificates of a user, and print a line for a new login
///
/// For a lost laptop, or a token that was read by somebody. Open connections end within a second.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab user rotate ada")]
pub(super) struct Rotate {
    name: String,
    /// The host's name or address in the printed line (default: as this host is known)
    #[arg(long)]
    host: Option<String>,
    /// Print a link that logs a browser in on the page, once, instead
    #[arg(long)]
    link: bool,
    /// Print a JSON object instead
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &UserCommand) -> Outcome {
    match command {
        UserCommand::Add(arguments) => add(arguments),
        UserCommand::List(arguments) => list(arguments),
        UserCommand::Remove(arguments) => remove(arguments),
        UserCommand::Rotate(arguments) => rotate(arguments),
    }
}

fn add(arguments: &Add) -> Outcome {
    let Add { name, groups, host, link, json } = arguments;
    let paths = paths()?;
    let way = LoginWay::new(&paths, host.as_deref(), *link)?;
    let code = access::new_code(&paths.access_folder()).into_diagnostic()?;
    let done = format!("add {name}{}", groups_text(groups));
    let is_new = change(&paths, &done, |users| users.add(name, groups, &code))?;
    if !is_new && !json {
        let what = if *link { "link is for a browser" } else { "line is for a further machine" };
        eprintln!("{name} is a user already; this {what}:");
    }
    print_login(name, &way, &code, *json)
}

fn rotate(arguments: &Rotate) -> Outcome {
    let Rotate { name, host, link, json } = arguments;
    let paths = paths()?;
    let way = LoginWay::new(&paths, host.as_deref(), *link)?;
    let code = access::new_code(&paths.access_folder()).into_diagnostic()?;
    change(&paths, &format!("rotate {name}"), |users| users.rotate(name, &code))?;
    print_login(name, &way, &code, *json)
}

fn remove(arguments: &Remove) -> Outcome {
    let done = format!("remove {}", arguments.name);
    let removed = change(&paths()?, &done, |users| users.remove(&arguments.name))?;
    let logins = removed.logins.len();
    let plural = if logins == 1 { "" } else { "s" };
    println!("removed: {} ({logins} login{plural} withdrawn)", arguments.name);
    Ok(ExitCode::SUCCESS)
}

/// A user, for `--json`.
#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    groups: Vec<&'a str>,
    since: Timestamp,
    logins: Vec<LoginRow<'a>>,
}

#[derive(Serialize)]
struct LoginRow<'a> {
    since: Timestamp,
    until: Timestamp,
    from: &'a str,
    /// Whether it is a browser's, by a link.
    #[serde(rename = "browser")]
    is_browser: bool,
}

fn list(arguments: &List) -> Outcome {
    let users = Users::look(&paths()?.access_folder()).into_diagnostic()?;
    if arguments.json {
        let rows: Vec<Row<'_>> = users.users.iter().map(|(name, user)| row(name, user)).collect();
        print_json(&rows)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut shown = table::table(&["USER", "GROUPS", "SINCE", "LOGINS", "CERTIFICATE UNTIL"]);
    for (name, user) in &users.users {
        let Row { groups, since, logins, .. } = row(name, user);
        // A browser has no certificate.
        let machines = logins.iter().filter(|login| !login.is_browser);
        let until = machines.map(|login| login.until).max();
        shown.add_row([
            name.clone(),
            if groups.is_empty() { "-".to_owned() } else { groups.join(", ") },
            format!("{since:.0}"),
            logins.len().to_string(),
            until.map_or_else(|| "-".to_owned(), |until| format!("{until:.0}")),
        ]);
    }
    table::print(&shown);
    Ok(ExitCode::SUCCESS)
}

fn row<'a>(name: &'a str, user: &'a User) -> Row<'a> {
    let login = |login: &'a access::Login| LoginRow {
        since: login.since,
        until: login.until,
        from: &login.from,
        is_browser: login.is_browser,
    };
    Row {
        name,
        groups: user.groups.iter().map(String::as_str).collect(),
        since: user.since,
        logins: user.logins.iter().map(login).collect(),
    }
}

/// Changes the users, and records in the audit what is done: `add ada`.
fn change<T>(
    paths: &Paths,
    done: &str,
    change: impl FnOnce(&mut Users) -> Result<T, access::UsersError>,
) -> Result<T, Report> {
    paths.ensure().into_diagnostic()?;
    let changed = Users::change(&paths.access_folder(), change);
    let (verb, member) = done.split_once(' ').unwrap_or((done, ""));
    let line = AuditLine { member: member.to_owned(), ..AuditLine::now(&format!("user {verb}")) };
    let line = match &changed {
        Ok(_) => line,
        Err(error) => AuditLine { outcome: format!("refused: {error}"), ..line },
    };
    let id = rustix::process::getuid().as_raw();
    let who = os::name_of_user(id).unwrap_or_else(|| format!("uid {id}"));
    let line = AuditLine { who, from: "the command line".to_owned(), ..line };
    if let Err(error) = audit::record_once(&paths.audit_of_users(), line) {
        eprintln!("warning: this is not in the audit: {error}");
    }
    let (changed, damage) = changed.into_diagnostic()?;
    if let Some(damage) = damage {
        eprintln!("warning: {damage}; all other users have to be added anew");
    }
    Ok(changed)
}

/// The groups of a new user, for the audit.
fn groups_text(groups: &[String]) -> String {
    groups.iter().map(|group| format!(" --group {group}")).collect()
}

/// The way in which a user logs in with a code.
enum LoginWay {
    /// `ferrolab login` at this address.
    Machine(String),
    /// A browser on the page at this address.
    Browser(String),
}

impl LoginWay {
    fn new(paths: &Paths, host: Option<&str>, link: bool) -> Result<Self, Report> {
        match link {
            false => Ok(LoginWay::Machine(login_address(paths, host)?)),
            true => Ok(LoginWay::Browser(page_address(paths, host)?)),
        }
    }
}

/// Prints the line or the link that logs a user in.
fn print_login(user: &str, way: &LoginWay, code: &LoginCode, json: bool) -> Outcome {
    let (key, line, place) = match way {
        LoginWay::Machine(at) => ("login", format!("ferrolab login {at} {code}"), "machine"),
        // Browsers send nothing of what is behind `#`.
        LoginWay::Browser(at) => ("link", format!("{at}#/login/{code}"), "browser"),
    };
    if json {
        let minutes = access::CODE_LIFETIME.as_mins();
        print_json(&serde_json::json!({ "user": user, key: line, "minutes": minutes }))?;
    } else {
        println!("{line}");
        eprintln!("good for one login within 15 minutes, in the {place} of {user}");
    }
    Ok(ExitCode::SUCCESS)
}

/// The address of the page that runs, for the host as browsers know it.
fn page_address(paths: &Paths, host: Option<&str>) -> Result<String, Report> {
    let listing = runtime()?.block_on(async {
        supervisor(paths).await?.ask(&Request::Ps { looks: false }, |_| {}).await.map_err(explain)
    })?;
    let page = listing.processes.iter().find(|row| row.name == web::PROCESS_NAME);
    let uri = page.filter(|row| row.status == "running").and_then(|row| row.uri.clone());
    let Some(uri) = uri else {
        return Err(miette!(
            help = "`web: true` in the configuration and `ferrolab reload` start it",
            "a link is for the page, and no page runs in this lab"
        ));
    };
    let (scheme, port) = (uri.split("://").next(), uri.rsplit(':').next());
    Ok(match (host, scheme, port) {
        (Some(host), Some(scheme), Some(port)) => format!("{scheme}://{host}:{port}"),
        _ => uri,
    })
}

/// The address at which users log in: that of a nameserver of this host, other hosts' first.
pub(super) fn login_address(paths: &Paths, host: Option<&str>) -> Result<String, Report> {
    let (lab, _) = active_config::load(paths).into_diagnostic()?;
    let own = lab.nameservers.iter().filter(|nameserver| nameserver.host.is_this_host());
    let starts = |nameserver: &&Nameserver| lab.autolaunch.nameservers.contains(&nameserver.name);
    let is_public = |nameserver: &&Nameserver| !nameserver.host.is_loopback();
    let mut found: Vec<&Nameserver> = own.filter(starts).collect();
    found.sort_by_key(|nameserver| !is_public(nameserver));
    let Some(nameserver) = found.first() else {
        return Err(miette!(
            help = "write one below `nameservers:` and in `autolaunch:`, then `ferrolab reload`",
            "users log in through a nameserver's port, and no nameserver of this host starts with \
             the lab"
        ));
    };
    let host = host.map_or_else(|| address_from_here(&nameserver.host), str::to_owned);
    Ok(match nameserver.port {
        access::DEFAULT_PORT => host,
        port => format!("{host}:{port}"),
    })
}
