//! `ferrolab call`: one call from the shell.

use std::pin::pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use clap::error::ErrorKind;
use lab_config::did_you_mean;
use miette::{IntoDiagnostic, Report, miette};
use remote::{Called, Error, Exception, Items, Metadata, Proxy, Serializer, Uri, Value};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use super::nslist::NameserverArgument;
use super::output::print_json;
use super::shown_value::Printer;
use super::target::ServiceTarget;
use super::{Outcome, describe, find, labs, paths};
use crate::card;

/// How long the item that a stream is at is waited for after an interrupt (Ctrl-C).
const LAST_ITEM_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the end of a stream may take then.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The exit code after an interrupt, as a shell reports it.
const INTERRUPTED: u8 = 128 + 2;

/// Call a method of a service, or read or set one of its properties
///
/// The running lab is asked for the service first, then the nameservers of the configuration; for
/// `LAB/NAME` the nameserver of that lab of `labs` in the configuration.
/// Arguments are Python literals; anything else is text: `5.0` is a number, `*IDN?` is text.
/// `key=value` gives a keyword argument. The result is printed as Python would print it; of a
/// generator each item as it comes, one a line, until Ctrl-C. A member that is a property is read,
/// or set where a value follows, which prints nothing. Without a member it prints what the service
/// offers, as `ferrolab describe`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ferrolab call demo.supply                    # what it offers\n  \
    ferrolab call demo.supply identify\n  \
    ferrolab call demo.supply voltage 5.0        # sets the property\n  \
    ferrolab call lab.sample add 1 2 3\n  \
    ferrolab call optics/lab.laser power         # of another lab\n  \
    ferrolab call --json lab.scope trace | jq length\n  \
    ferrolab call lab.scope query '*IDN?'\n  \
    ferrolab call lab.sample echo '\"5.0\"'          # the text, not the number\n  \
    ferrolab call lab.laser connect address=0.0.0.0 port=12345\n  \
    ferrolab call --uri PYRO:lab.sample@localhost:40123 whoami"
)]
#[command(override_usage = "ferrolab call [OPTIONS] NAME [MEMBER [ARG]...]\n       \
    ferrolab call [OPTIONS] --uri URI [MEMBER [ARG]...]")]
pub(super) struct Arguments {
    /// The service's name, its method or property, and the arguments; what begins with
    /// a dash and is no number goes behind `--`
    #[arg(required_unless_present = "uri", num_args = 1.., value_name = "WORD", allow_negative_numbers = true)]
    words: Vec<String>,
    /// Call the object at this URI; no NAME is given then, and no nameserver is asked
    #[arg(long)]
    uri: Option<String>,
    #[command(flatten)]
    nameserver: NameserverArgument,
    /// Give up after this many seconds without an answer, or without the next item (default: wait
    /// as long as it takes)
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    timeout: Option<Duration>,
    /// Print the result as JSON: tuples and sets become lists, bytes a dictionary with base64 text
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| "it must be a number of seconds, 0 or more".to_owned())
}

/// `whole` is the whole command line, whose usage an error shows.
pub(super) fn run(arguments: &Arguments, whole: fn() -> clap::Command) -> Outcome {
    let (name, rest) = match &arguments.uri {
        Some(_) => (None, arguments.words.as_slice()),
        None => match arguments.words.split_first() {
            Some((name, rest)) => (Some(name), rest),
            None => return Err(usage(whole())),
        },
    };
    let (args, kwargs) = parse_all(rest.get(1..).unwrap_or_default())?;
    labs::block_on(async {
        let deadline = Deadline::after(arguments.timeout);
        let target = match (&arguments.uri, name) {
            (Some(uri), _) => {
                let uri = uri.parse::<Uri>().map_err(|error| miette!("{error}"))?;
                find::at(&paths()?, uri).await?
            }
            (None, Some(name)) => find_within(name, arguments).await?,
            (None, None) => return Err(usage(whole())),
        };
        let called = name.cloned().unwrap_or_else(|| target.uri.to_string());
        let Some(member) = rest.first() else {
            return list(&called, target, arguments.json).await;
        };
        let printer = Printer { called: &called, member, json: arguments.json };
        let mut proxy = target.proxy();
        let outcome = match call(&mut proxy, member, args, kwargs, &deadline).await {
            Ok(CallOutcome::Value(result)) => {
                return printer.print(result).map(|()| ExitCode::SUCCESS);
            }
            Ok(CallOutcome::Items(mut items)) => {
                items.set_timeout(arguments.timeout);
                print_items(&printer, items).await
            }
            Err(error) => Err(Failure::Call(error)),
        };
        match outcome {
            Ok(code) => Ok(code),
            Err(Failure::Print(report)) => Err(report),
            Err(Failure::Call(Error::Remote(exception))) => {
                Err(raised(&called, member, &exception))
            }
            Err(Failure::Call(error @ Error::Unexposed { .. })) => {
                let metadata = proxy.metadata().await.into_diagnostic()?;
                Err(miette!(help = members(&metadata, member), "{error}"))
            }
            Err(Failure::Call(Error::Timeout { uri, operation, timeout })) => {
                let timeout = arguments.timeout.unwrap_or(timeout);
                Err(miette!("{}", Error::Timeout { uri, operation, timeout }))
            }
            Err(Failure::Call(error)) => Err(miette!("{error}")),
        }
    })?
}

/// Prints what a service offers.
async fn list(called: &str, target: ServiceTarget, json: bool) -> Outcome {
    let service = describe::fetch(called, target).await?;
    match json {
        true => print_json(&card::description(&service))?,
        false => describe::print_listing(&service),
    }
    Ok(ExitCode::SUCCESS)
}

/// Why nothing more is printed.
enum Failure {
    Call(Error),
    Print(Report),
}

/// The time by which an answer must be there, if there is one.
struct Deadline(Option<Instant>);

impl Deadline {
    fn after(timeout: Option<Duration>) -> Self {
        Deadline(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
    }

    fn left(&self) -> Option<Duration> {
        self.0.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }
}

/// The address of a service, within the time that the whole call has.
async fn find_within(name: &str, arguments: &Arguments) -> Result<ServiceTarget, Report> {
    let (paths, nameserver) = (paths()?, &arguments.nameserver);
    let Some(timeout) = arguments.timeout else {
        return find::service(&paths, name, nameserver).await;
    };
    // A supervisor that says nothing leaves the other half to nameservers and the call.
    let finding = find::service_within(&paths, name, nameserver, timeout / 2);
    tokio::time::timeout(timeout, finding).await.map_err(|_| {
        miette!(
            help = "`ferrolab status` shows whether the lab answers; `--uri` asks neither the lab nor a \
                    nameserver",
            "'{name}' was not found within {} s",
            timeout.as_secs_f64()
        )
    })?
}

/// Prints the items of a stream as they come. An interrupt ends it, and the stream is closed.
async fn print_items(printer: &Printer<'_>, mut items: Items<'_>) -> Result<ExitCode, Failure> {
    let mut interrupt =
        signal(SignalKind::interrupt()).into_diagnostic().map_err(Failure::Print)?;
    loop {
        let next = {
            let mut next = pin!(items.next());
            tokio::select! {
                item = &mut next => Ok(item),
                // The stream is closed over this connection only if its answer has come.
                _ = interrupt.recv() => Err(timeout(LAST_ITEM_TIMEOUT, next).await.is_ok()),
            }
        };
        match next {
            Ok(Ok(Some(item))) => {
                if let Err(report) = printer.print(Some(item)) {
                    close(items, true).await;
                    return Err(Failure::Print(report));
                }
            }
            Ok(Ok(None)) => return Ok(ExitCode::SUCCESS),
            Ok(Err(error)) => return Err(Failure::Call(error)),
            Err(is_connected) => {
                close(items, is_connected).await;
                return Ok(ExitCode::from(INTERRUPTED));
            }
        }
    }
}

/// Closes a stream at its daemon. Where that fails, the daemon closes it a while later.
async fn close(mut items: Items<'_>, is_connected: bool) {
    let closing = async {
        if !is_connected {
            items.reconnect().await?;
        }
        items.close().await
    };
    let _ = timeout(CLOSE_TIMEOUT, closing).await;
}

/// Suggestions for a member that does not exist.
fn members(metadata: &Metadata, member: &str) -> String {
    let all = metadata.methods.iter().chain(&metadata.attrs).map(String::as_str);
    // Nobody types the methods that Python itself calls.
    let known: Vec<&str> = all.filter(|name| !name.starts_with('_')).collect();
    match did_you_mean(member, known.iter().copied()) {
        Some(help) => help,
        None if known.is_empty() => "it exposes nothing".to_owned(),
        None => format!("there are: {}", known.join(", ")),
    }
}

/// The outcome of a call.
enum CallOutcome<'a> {
    /// A property that was set has no result.
    Value(Option<Value>),
    Items(Items<'a>),
}

/// Calls, reads or sets, whatever the member is for.
async fn call<'a>(
    proxy: &'a mut Proxy,
    member: &str,
    mut args: Vec<Value>,
    kwargs: Vec<(String, Value)>,
    deadline: &Deadline,
) -> Result<CallOutcome<'a>, Error> {
    proxy.set_timeout(deadline.left());
    let metadata = proxy.metadata().await?;
    let is_property = metadata.attrs.iter().any(|name| name == member);
    proxy.set_timeout(deadline.left());
    if !is_property {
        return Ok(match proxy.call_or_stream(member, args, kwargs).await? {
            Called::Value(value) => CallOutcome::Value(Some(value)),
            Called::Items(items) => CallOutcome::Items(items),
        });
    }
    let result = match (args.pop(), args.is_empty() && kwargs.is_empty()) {
        (None, true) => Some(proxy.get(member).await?),
        (Some(value), true) => {
            proxy.set(member, value).await?;
            None
        }
        _ => {
            return Err(Error::Arguments {
                operation: member.to_owned(),
                reason: "it is a property: give no argument to read it, or one to set it".into(),
            });
        }
    };
    Ok(CallOutcome::Value(result))
}

fn raised(called: &str, member: &str, exception: &Exception) -> Report {
    let traceback = exception.traceback().unwrap_or_default().concat();
    let report = format!("{called}.{member} raised {exception}");
    if !has_foreign_frames(&traceback) {
        miette!("{report}")
    } else {
        miette!(help = format!("remote traceback:\n{}", traceback.trim_end()), "{report}")
    }
}

/// Whether a traceback leads through code that is not Ferrolab's: its own says nothing to a user.
fn has_foreign_frames(traceback: &str) -> bool {
    let frames = traceback.lines().map(str::trim_start).filter(|line| line.starts_with("File \""));
    frames.into_iter().any(|frame| !frame.starts_with("File \"<ferrolab>/"))
}

type Parsed = (Vec<Value>, Vec<(String, Value)>);

fn parse_all(literals: &[String]) -> Result<Parsed, Report> {
    let mut args = Vec::new();
    let mut kwargs: Vec<(String, Value)> = Vec::new();
    for text in literals {
        match keyword(text) {
            Some((key, value)) => kwargs.push((key.to_owned(), parse(value))),
            None if kwargs.is_empty() => args.push(parse(text)),
            None => {
                return Err(miette!(
                    "argument `{text}` stands behind a keyword argument; put it before"
                ));
            }
        }
    }
    Ok((args, kwargs))
}

/// `key=value`, where `key` is a Python identifier. A literal never looks like that.
fn keyword(text: &str) -> Option<(&str, &str)> {
    let (key, value) = text.split_once('=')?;
    let mut letters = key.chars();
    let first = letters.next()?;
    let is_identifier = (first.is_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_alphanumeric() || letter == '_');
    is_identifier.then_some((key, value))
}

/// The value of an argument: a Python literal's, or the text itself.
fn parse(argument: &str) -> Value {
    let limits = wire::Limits::default();
    Serializer::Serpent.decode(argument.as_bytes(), &limits).unwrap_or_else(|_| {
        if let Some(constant) = near_constant(argument) {
            eprintln!("note: `{argument}` is sent as text; Python's constant is `{constant}`");
        }
        Value::from(argument)
    })
}

/// The constant that a text in other letters or of another language may mean.
fn near_constant(text: &str) -> Option<&'static str> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Some("True"),
        "false" => Some("False"),
        "none" | "null" => Some("None"),
        _ => None,
    }
}

/// Ends like any other usage error, with exit code 2.
fn usage(mut command: clap::Command) -> Report {
    command
        .error(
            ErrorKind::MissingRequiredArgument,
            "a method is missing: ferrolab call NAME METHOD [ARG]..., or \
             ferrolab call --uri URI METHOD [ARG]...",
        )
        .exit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceback_of_ferrolab_alone_is_not_shown() {
        let own =
            "Traceback (most recent call last):\n  File \"<ferrolab>/worker/rules.py\", line 3\n";
        for (traceback, is_shown) in [
            (String::new(), false),
            (own.to_owned(), false),
            (
                "  In daemon 'bench', object 'a', member 'b'\nValueError: File \"x\"".to_owned(),
                false,
            ),
            (format!("{own}  File \"/lab/driver.py\", line 4, in b\n"), true),
        ] {
            assert_eq!(has_foreign_frames(&traceback), is_shown, "{traceback}");
        }
    }

    #[test]
    fn arguments_are_literals_and_keywords() {
        let words = ["1", "'a=b'", "key=[1, 2]", "other='x'"].map(str::to_owned);
        let (args, kwargs) = parse_all(&words).unwrap();
        assert_eq!(args, [Value::from(1), Value::from("a=b")]);
        let expected = [
            ("key".to_owned(), Value::from(vec![Value::from(1), Value::from(2)])),
            ("other".to_owned(), Value::from("x")),
        ];
        assert_eq!(kwargs, expected);
    }

    #[test]
    fn what_is_no_literal_is_text() {
        for word in ["hello", "*IDN?", "1 +", "__import__('os')", "[1, 2", "COM3", "true", ""] {
            let (args, _) = parse_all(&[word.to_owned()]).unwrap();
            assert_eq!(args, [Value::from(word)]);
        }
        let (_, kwargs) = parse_all(&["address=GPIB0::7::INSTR".to_owned()]).unwrap();
        assert_eq!(kwargs, [("address".to_owned(), Value::from("GPIB0::7::INSTR"))]);
        let behind = ["a=1", "2"].map(str::to_owned);
        assert!(parse_all(&behind).is_err());
    }
}
