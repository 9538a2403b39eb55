//! `ferrolab call`: one call from the shell.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use clap::error::ErrorKind;
use lab_config::nearest;
use miette::{IntoDiagnostic, Report, miette};
use remote::{Error, Exception, Metadata, NameServer, Proxy, Serializer, Uri, Value};

use super::nslist::{HINT, NameserverArgument, TIMEOUT};
use super::{Outcome, paths, runtime};

/// Call a method of a service, or read or set one of its properties
///
/// Arguments are Python literals; `key=value` gives a keyword argument. The result is printed as
/// Python would print it. A member that is a property is read, or set where a value follows.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab call demo.supply identify\n  \
    ferrolab call demo.supply voltage 5.0        # sets the property\n  \
    ferrolab call lab.sample add 1 2 3\n  \
    ferrolab call --json lab.scope trace | jq length\n  \
    ferrolab call lab.sample echo '\"hello\"'\n  \
    ferrolab call lab.laser connect address='\"0.0.0.0\"' port=12345\n  \
    ferrolab call --uri PYRO:lab.sample@localhost:40123 whoami")]
#[command(override_usage = "ferrolab call [OPTIONS] NAME METHOD [ARG]...\n       \
    ferrolab call [OPTIONS] --uri URI METHOD [ARG]...")]
pub(super) struct Arguments {
    /// The service's name, its method or property, and the arguments; what begins with
    /// a dash and is no number goes behind `--`
    #[arg(required = true, num_args = 1.., value_name = "WORD", allow_negative_numbers = true)]
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
    let Some((member, literals)) = rest.split_first() else { return Err(usage(whole())) };
    let (args, kwargs) = parse_all(literals)?;
    runtime()?.block_on(async {
        let uri = match (&arguments.uri, name) {
            (Some(uri), _) => uri.parse::<Uri>().map_err(|error| miette!("{error}"))?,
            (None, Some(name)) => look_up(name, &arguments.nameserver).await?,
            (None, None) => return Err(usage(whole())),
        };
        let called = name.cloned().unwrap_or_else(|| uri.to_string());
        let mut proxy = Proxy::from(uri);
        if let Some(timeout) = arguments.timeout {
            proxy = proxy.with_timeout(timeout);
        }
        match call(&mut proxy, member, args, kwargs).await {
            Ok(value) => {
                match arguments.json {
                    true => println!("{}", json(&called, member, &value)?),
                    false => println!("{value}"),
                }
                Ok(ExitCode::SUCCESS)
            }
            Err(Error::Remote(exception)) => Err(raised(&called, member, &exception)),
            Err(error @ Error::Unexposed { .. }) => {
                let metadata = proxy.metadata().await.into_diagnostic()?;
                Err(miette!(help = members(&metadata, member), "{error}"))
            }
            Err(error) => Err(miette!("{error}")),
        }
    })
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

/// Calls, reads or sets, whatever the member is for.
async fn call(
    proxy: &mut Proxy,
    member: &str,
    mut args: Vec<Value>,
    kwargs: Vec<(String, Value)>,
) -> Result<Value, Error> {
    let metadata = proxy.metadata().await?;
    if !metadata.attrs.iter().any(|name| name == member) {
        return proxy.call(member, args, kwargs).await;
    }
    match (args.pop(), args.is_empty() && kwargs.is_empty()) {
        (None, true) => proxy.get(member).await,
        (Some(value), true) => proxy.set(member, value).await.map(|()| Value::None),
        _ => Err(Error::Arguments {
            operation: member.to_owned(),
            reason: "it is a property: give no argument to read it, or one to set it".into(),
        }),
    }
}

/// Asks the nameservers in turn; the first that knows the name counts.
pub(super) async fn look_up(name: &str, argument: &NameserverArgument) -> Result<Uri, Report> {
    let targets = argument.targets(&paths()?).await?;
    let (mut known, mut asked, mut answered) = (Vec::new(), Vec::new(), false);
    for (title, location) in targets {
        let mut nameserver = NameServer::at(location.clone(), Some(TIMEOUT));
        match nameserver.lookup(name).await {
            Ok(uri) => return Ok(uri),
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
    let help = match nearest(name, known.iter().map(String::as_str)) {
        Some(nearest) => format!("did you mean '{nearest}'?"),
        None if !answered => HINT.to_owned(),
        None => "see the names with `ferrolab nslist`, the services with `ferrolab ps`; `--uri` \
                 calls without a nameserver"
            .to_owned(),
    };
    Err(miette!(help = help, "cannot find '{name}': {}", asked.join("; ")))
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
            Some((key, value)) => kwargs.push((key.to_owned(), parse(value)?)),
            None if kwargs.is_empty() => args.push(parse(text)?),
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

fn parse(literal: &str) -> Result<Value, Report> {
    Serializer::Serpent.decode(literal.as_bytes(), &wire::Limits::default()).map_err(|error| {
        miette!(
            help = "numbers, True, None, [1, 2], {'a': 1.5} are written as in Python; text needs \
                    its own quotes inside the shell's: '\"hello\"'",
            "argument `{literal}` is not a Python literal: {}",
            error.kind
        )
    })
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
    fn what_is_no_literal_is_refused_with_a_hint() {
        for word in ["hello", "1 +", "__import__('os')", "key=value", "[1, 2"] {
            let refused = parse_all(&[word.to_owned()]);
            assert!(refused.is_err(), "{word}");
        }
        let behind = ["a=1", "2"].map(str::to_owned);
        assert!(parse_all(&behind).is_err());
    }
}
