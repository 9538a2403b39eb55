//! `ferrolab call`: one call from the shell.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use clap::error::ErrorKind;
use lab_config::nearest;
use miette::{IntoDiagnostic, Report, miette};
use remote::{Dict, Error, Exception, Metadata, Proxy, Serializer, Uri, Value};

use super::nslist::NameserverArgument;
use super::output::print_json;
use super::{Outcome, describe, find, paths, runtime};
use crate::card;

/// The class name of proxies on the wire.
const PROXY_CLASS: &str = "Pyro5.client.Proxy";

/// Call a method of a service, or read or set one of its properties
///
/// The running lab is asked for the service first, then the nameservers of the configuration.
/// Arguments are Python literals; anything else is text: `5.0` is a number, `*IDN?` is text.
/// `key=value` gives a keyword argument. The result is printed as Python would print it. A member
/// that is a property is read, or set where a value follows, which prints nothing. Without a member
/// it prints what the service offers, as `ferrolab describe`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ferrolab call demo.supply                    # what it offers\n  \
    ferrolab call demo.supply identify\n  \
    ferrolab call demo.supply voltage 5.0        # sets the property\n  \
    ferrolab call lab.sample add 1 2 3\n  \
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
    /// Give up after this many seconds without an answer (default: wait as long as it takes)
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
    runtime()?.block_on(async {
        let uri = match (&arguments.uri, name) {
            (Some(uri), _) => uri.parse::<Uri>().map_err(|error| miette!("{error}"))?,
            (None, Some(name)) => find::service(&paths()?, name, &arguments.nameserver).await?,
            (None, None) => return Err(usage(whole())),
        };
        let called = name.cloned().unwrap_or_else(|| uri.to_string());
        let Some(member) = rest.first() else {
            return list(&called, uri, arguments.json).await;
        };
        let mut proxy = Proxy::from(uri);
        if let Some(timeout) = arguments.timeout {
            proxy = proxy.with_timeout(timeout);
        }
        match call(&mut proxy, member, args, kwargs).await {
            Ok(result) => {
                let result = result.map(plainly);
                let value = result.as_ref().unwrap_or(&Value::None);
                if let Some(class) = emptied_class(value) {
                    return Err(unshown(&called, member, value, class));
                }
                match (arguments.json, &result) {
                    (true, _) => println!("{}", json(&called, member, value)?),
                    (false, Some(value)) => println!("{value}"),
                    (false, None) => {}
                }
                Ok(ExitCode::SUCCESS)
            }
            Err(Error::Remote(exception)) => Err(raised(&called, member, &exception)),
            Err(error @ Error::Unexposed { .. }) => {
                let metadata = proxy.metadata().await.into_diagnostic()?;
                Err(miette!(help = members(&metadata, member), "{error}"))
            }
            Err(Error::IsStream { .. }) => Err(miette!(
                help = format!("in Python: `for item in proxy.{member}(): ...`"),
                "the result of {called}.{member} is a stream of items, which `call` does not read"
            )),
            Err(error) => Err(miette!("{error}")),
        }
    })
}

/// Prints what a service offers.
async fn list(called: &str, uri: Uri, json: bool) -> Outcome {
    let service = describe::fetch(called, uri).await?;
    match json {
        true => print_json(&card::description(&service))?,
        false => describe::print_listing(&service),
    }
    Ok(ExitCode::SUCCESS)
}

/// A result as a person reads it: bytes that serpent carries as base64 text are bytes again, and an
/// object that the service hands out is its URI, for `call --uri`.
fn plainly(value: Value) -> Value {
    let is_carried = value.as_dict().is_some_and(|dict| dict.len() == 2);
    if is_carried && let Some(bytes) = wire::serpent::to_bytes(&value) {
        return Value::bytes(bytes);
    }
    match value {
        Value::List(items) => Value::List(items.into_iter().map(plainly).collect()),
        Value::Tuple(items) => Value::Tuple(items.into_iter().map(plainly).collect()),
        Value::Dict(dict) if dict.class() == Some(PROXY_CLASS) => match proxy_uri(&dict) {
            Some(uri) => Value::from(uri),
            None => Value::Dict(dict),
        },
        Value::Dict(dict) => {
            Value::Dict(dict.into_iter().map(|(key, value)| (key, plainly(value))).collect())
        }
        other => other,
    }
}

/// The URI in the class dict of a proxy: the first item of its state.
fn proxy_uri(dict: &Dict) -> Option<String> {
    let (_, state) = dict.iter().find(|(key, _)| key.as_str() == Some("state"))?;
    match state {
        Value::List(items) | Value::Tuple(items) => Some(items.first()?.as_str()?.to_owned()),
        _ => None,
    }
}

/// Suggestions for a member that does not exist.
fn members(metadata: &Metadata, member: &str) -> String {
    let all = metadata.methods.iter().chain(&metadata.attrs).map(String::as_str);
    // Nobody types the methods that Python itself calls.
    let known: Vec<&str> = all.filter(|name| !name.starts_with('_')).collect();
    match nearest(member, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "it exposes nothing".to_owned(),
        None => format!("there are: {}", known.join(", ")),
    }
}

/// Calls, reads or sets, whatever the member is for. A property that was set has no result.
async fn call(
    proxy: &mut Proxy,
    member: &str,
    mut args: Vec<Value>,
    kwargs: Vec<(String, Value)>,
) -> Result<Option<Value>, Error> {
    let metadata = proxy.metadata().await?;
    if !metadata.attrs.iter().any(|name| name == member) {
        return proxy.call(member, args, kwargs).await.map(Some);
    }
    match (args.pop(), args.is_empty() && kwargs.is_empty()) {
        (None, true) => proxy.get(member).await.map(Some),
        (Some(value), true) => proxy.set(member, value).await.map(|()| None),
        _ => Err(Error::Arguments {
            operation: member.to_owned(),
            reason: "it is a property: give no argument to read it, or one to set it".into(),
        }),
    }
}

/// The first class in a value of which only the name has arrived: a Path, the data of a DataFrame.
fn emptied_class(value: &Value) -> Option<&str> {
    match value {
        Value::List(items) | Value::Tuple(items) => items.iter().find_map(emptied_class),
        Value::Dict(dict) => match dict.class() {
            Some(class) if dict.len() == 1 => Some(class),
            _ => dict.values().find_map(emptied_class),
        },
        _ => None,
    }
}

/// The refusal of a result whose printed form would lack what matters.
fn unshown(called: &str, member: &str, value: &Value, emptied: &str) -> Report {
    let whole = value.as_dict().and_then(Dict::class).unwrap_or(emptied);
    let held = match whole == emptied {
        true => String::new(),
        false => format!(" (it holds a {emptied})"),
    };
    miette!(
        help = "let the driver return plain data, such as `str(path)` or `frame.to_dict(\"list\")`, or \
                register a converter for the class (`register_class_to_dict`)",
        "the result of {called}.{member} is a {whole}{held}, of which only the name has arrived"
    )
}

/// A result for scripts, in one line.
fn json(called: &str, member: &str, value: &Value) -> Result<String, Report> {
    let mut text = Vec::new();
    Serializer::Json.encode(value, &mut text).map_err(|error| {
        miette!(
            help = "without `--json` it is printed as Python would print it",
            "the result of {called}.{member} has no JSON form: {error}"
        )
    })?;
    String::from_utf8(text).into_diagnostic()
}

fn raised(called: &str, member: &str, exception: &Exception) -> Report {
    let traceback = exception.traceback().unwrap_or_default().concat();
    let report = format!("{called}.{member} raised {exception}");
    if traceback.is_empty() {
        miette!("{report}")
    } else {
        miette!(help = format!("remote traceback:\n{}", traceback.trim_end()), "{report}")
    }
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

    #[test]
    fn a_result_that_has_lost_its_content_is_told_apart() {
        let path = || Dict::from_iter([("__class__", "pathlib.PosixPath")]);
        let frame = Dict::from_iter([
            (Value::from("__class__"), Value::from("pandas.core.frame.DataFrame")),
            (Value::from("_mgr"), Value::Dict(path())),
        ]);
        let point = Dict::from_iter([
            (Value::from("__class__"), Value::from("lab.Point")),
            (Value::from("x"), Value::from(1)),
        ]);
        let list = Value::List(vec![Value::from(1), Value::Dict(path())]);
        for (value, class) in [
            (Value::Dict(path()), Some("pathlib.PosixPath")),
            (Value::Dict(frame), Some("pathlib.PosixPath")),
            (list, Some("pathlib.PosixPath")),
            (Value::Dict(point), None),
            (Value::Dict(Dict::new()), None),
        ] {
            assert_eq!(emptied_class(&value), class, "{value}");
        }
    }
}
