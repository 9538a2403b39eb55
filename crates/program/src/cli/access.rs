//! `ferrolab access test`: a decision of the rules of `access`, with the line that makes it.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use lab_config::{Access, Configuration, Grant, GrantWhen, Severity, Target, did_you_mean};
use miette::{IntoDiagnostic, Report, miette};
use remote::access::{
    AccessCaller, AccessKind, AccessObject, AccessRules, Basis, Decision, Explanation,
};
use serde_json::{Value, json};

use super::output::print_json;
use super::{Outcome, paths};
use crate::access::{Users, rules as rules_of};
use crate::host;
use crate::supervise::active_config;

/// Roles of users and other clients (`access` of the configuration)
#[derive(Debug, Subcommand)]
pub(super) enum AccessCommand {
    Test(Test),
}

/// Say whether somebody may do something, and by which line of the configuration
///
/// The rules are those of the configuration file as it is now; the lab need not be up. Exit code 0:
/// all that was asked about is allowed. 1: something is not.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab access test ada lab.laser.power=5\n  \
    ferrolab access test ada 'lab.laser.fire()'\n  \
    ferrolab access test anonymous lab.laser --from 10.0.0.7\n  \
    ferrolab access test ada lab.laser.power --file lab.yaml")]
pub(super) struct Test {
    /// A user's name, or `anonymous` for a client that does not say who it is
    who: String,
    /// SERVICE.MEMBER=VALUE to set, SERVICE.MEMBER() to call, SERVICE.MEMBER for both ways of using
    /// it, SERVICE alone for everything else
    what: String,
    /// Where the client is: an address, or `localhost`; another host if absent
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// Another configuration file than the lab's
    #[arg(long)]
    file: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// A use of a service that is asked about.
struct Use<'a> {
    object: AccessObject<'a>,
    member: &'a str,
    kind: AccessKind,
}

impl fmt::Display for Use<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AccessObject { service, part } = self.object;
        write!(f, "{} {service}", self.kind.verb())?;
        for name in [part, self.member].into_iter().filter(|name| !name.is_empty()) {
            write!(f, ".{name}")?;
        }
        Ok(())
    }
}

pub(super) fn run(command: &AccessCommand) -> Outcome {
    let AccessCommand::Test(test) = command;
    let paths = paths()?;
    let (configuration, file) = match &test.file {
        Some(file) => {
            let checked = active_config::check(file, Severity::Warning);
            (checked.map_err(|error| Report::new(*error))?.configuration, file.clone())
        }
        None => {
            let loaded = active_config::load(&paths).map_err(|error| Report::new(*error))?;
            (loaded.0, paths.config_file.clone())
        }
    };
    let file = file.display().to_string();
    let uses = uses(&configuration, &test.what)?;
    let Some(access) = &configuration.access else {
        let text = format!("{file} has no `access`: everybody may do everything");
        match test.json {
            true => print_json(&json!({ "allowed": true, "file": file, "text": text }))?,
            false => println!("allowed: {text}."),
        }
        return Ok(ExitCode::SUCCESS);
    };
    let is_local = is_local(test.from.as_deref())?;
    let name = Some(test.who.as_str()).filter(|who| *who != "anonymous");
    let users = Users::look(&paths.access_folder()).into_diagnostic()?.users;
    let user = name.and_then(|name| users.get(name));
    let groups = user.map(|user| Vec::from_iter(user.groups.iter().cloned())).unwrap_or_default();
    let caller = AccessCaller { name, groups: &groups, is_local };
    let rules = rules_of(access, &configuration.services);
    let answers: Vec<AccessAnswer<'_>> = uses
        .iter()
        .map(|asked| {
            let explanation = rules.explain(caller, asked.object, asked.member, asked.kind);
            AccessAnswer { test, asked, is_local, access, file: &file, explanation }
        })
        .collect();
    let is_allowed = answers.iter().all(AccessAnswer::is_allowed);
    if test.json {
        let answers: Vec<Value> = answers.iter().map(AccessAnswer::to_json).collect();
        print_json(&json!({ "allowed": is_allowed, "file": file, "answers": answers }))?;
    } else {
        for answer in &answers {
            println!("{answer}");
        }
        warn_of_unknown(&rules, access, name.filter(|_| user.is_none()));
    }
    Ok(if is_allowed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Says that no line of the file names the user: it may be misspelt.
fn warn_of_unknown(rules: &AccessRules, access: &Access, name: Option<&str>) {
    let Some(name) = name else { return };
    let in_groups = rules.groups.values().flatten().map(String::as_str);
    let in_grants = access.grants.iter().flat_map(|grant| &grant.who).map(String::as_str);
    let known: Vec<&str> = in_groups.chain(in_grants).collect();
    if !known.contains(&name) {
        let help = did_you_mean(name, known.iter().copied()).unwrap_or_default();
        println!("No line names `{name}`. {help}");
    }
}

/// Whether an address is on this host.
fn is_local(from: Option<&str>) -> Result<bool, Report> {
    match from {
        None => Ok(false),
        Some("localhost") => Ok(true),
        Some(text) => match text.parse::<IpAddr>() {
            Ok(address) => Ok(address.to_canonical().is_loopback()),
            Err(_) => Err(miette!(
                help = "write an address such as 10.0.0.7, or `localhost`",
                "`{text}` is no address"
            )),
        },
    }
}

/// The uses that a text means.
fn uses<'a>(configuration: &'a Configuration, text: &'a str) -> Result<Vec<Use<'a>>, Report> {
    let (target, is_set) = match text.split_once('=') {
        Some((target, _)) => (target, true),
        None => (text, false),
    };
    let (target, is_call) = match target.strip_suffix("()") {
        Some(target) => (target, true),
        None => (target, false),
    };
    let names = configuration.services.iter().map(|service| service.name.as_str());
    let below = |name: &str| {
        target.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let service = names.clone().filter(|name| below(name)).max_by_key(|name| name.len());
    let Some(service) = service else {
        let help = match did_you_mean(target, names.clone()) {
            Some(help) => help,
            None => format!("the services are: {}", names.collect::<Vec<_>>().join(", ")),
        };
        return Err(miette!(help = help, "`{target}` is no service and no member of one"));
    };
    let path = target.get(service.len()..).unwrap_or_default().trim_start_matches('.');
    let (part, member) = path.rsplit_once('.').unwrap_or(("", path));
    let object = AccessObject { service, part };
    let kinds: &[AccessKind] = match (is_set, is_call, member) {
        (_, _, "") => &[
            AccessKind::Describe,
            AccessKind::Read,
            AccessKind::Call,
            AccessKind::Set,
            AccessKind::Lock,
            AccessKind::Break,
        ],
        (true, ..) => &[AccessKind::Set],
        (_, true, _) => &[AccessKind::Call],
        _ => kinds_of(configuration, service, member),
    };
    Ok(kinds.iter().map(|kind| Use { object, member, kind: *kind }).collect())
}

/// The ways of using a member: known for built-in services only.
fn kinds_of(configuration: &Configuration, service: &str, member: &str) -> &'static [AccessKind] {
    const PROPERTY: &[AccessKind] = &[AccessKind::Read, AccessKind::Set];
    const METHOD: &[AccessKind] = &[AccessKind::Call];
    const EITHER: &[AccessKind] = &[AccessKind::Read, AccessKind::Set, AccessKind::Call];
    let service = configuration.services.iter().find(|known| known.name == service);
    let Some(Target::Native(native)) = service.map(|service| &service.target) else {
        return EITHER;
    };
    let native = host::describe_natives().into_iter().find(|known| known.name == *native);
    match native {
        Some(native) if native.attrs.iter().any(|name| name == member) => PROPERTY,
        Some(native) if native.methods.iter().any(|name| name == member) => METHOD,
        _ => EITHER,
    }
}

/// The answer to one question.
struct AccessAnswer<'a> {
    test: &'a Test,
    asked: &'a Use<'a>,
    is_local: bool,
    access: &'a Access,
    file: &'a str,
    explanation: Explanation,
}

impl AccessAnswer<'_> {
    fn is_allowed(&self) -> bool {
        !matches!(self.explanation.decision, Decision::Refused { .. })
    }

    /// The place and the words of the line that gives the role.
    fn line(&self, basis: Basis) -> (usize, String) {
        let access = self.access;
        match basis {
            Basis::Local => {
                (access.localhost_line.0, format!("localhost: {}", word(access.localhost)))
            }
            Basis::Network => (access.network_line.0, format!("network: {}", word(access.network))),
            Basis::Grant(index) => match access.grants.get(index) {
                Some(grant) => (grant.line.0, grant_text(grant)),
                None => (0, String::new()),
            },
        }
    }

    fn to_json(&self) -> Value {
        let Explanation { decision, wanted, has } = self.explanation;
        let by = has.map(|(_, basis)| {
            let (line, text) = self.line(basis);
            json!({ "line": line, "text": text })
        });
        json!({
            "who": self.test.who, "local": self.is_local, "service": self.asked.object.service,
            "part": self.asked.object.part, "member": self.asked.member,
            "use": self.asked.kind.verb(), "allowed": self.is_allowed(),
            "with_lock": decision == Decision::WithLock, "wanted": wanted.word(),
            "has": has.map(|(role, _)| role.word()), "by": by,
        })
    }
}

impl fmt::Display for AccessAnswer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Explanation { decision, wanted, has } = self.explanation;
        let verdict = if self.is_allowed() { "allowed" } else { "refused" };
        let place = if self.is_local { "on this host" } else { "from another host" };
        let lock = match decision {
            Decision::WithLock => ", while holding the lock",
            Decision::Allowed | Decision::Refused { .. } => "",
        };
        writeln!(f, "{verdict}: {}, {place}: {}{lock}", self.test.who, self.asked)?;
        write!(f, "  needs {wanted}; ")?;
        match has {
            None => write!(f, "no line of {} gives any role", self.file),
            Some((role, basis)) => {
                let (line, text) = self.line(basis);
                write!(f, "has {role} by {}:{line}: {text}", self.file)
            }
        }
    }
}

fn word(role: lab_config::AccessRole) -> String {
    // Its word in the file is its word in JSON.
    serde_json::to_value(role)
        .ok()
        .and_then(|word| word.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// A grant in one line, as one writes it.
fn grant_text(grant: &Grant) -> String {
    let list = |texts: &[String]| match texts {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    };
    let mut text = format!(
        "{{who: {}, what: {}, role: {}",
        list(&grant.who),
        list(&grant.what),
        word(grant.role)
    );
    if !grant.members.is_empty() {
        text.push_str(&format!(", members: [{}]", grant.members.join(", ")));
    }
    if grant.when == GrantWhen::Locked {
        text.push_str(", when: locked");
    }
    text.push('}');
    text
}
