//! The description in `protocol.rs` against what both sides do: the daemon's frames as they are
//! built and read, the worker's as its source names them.

use std::collections::BTreeSet;

use remote::{Context, HealthCheck, MethodCall, Operation, Peer, Serializer, Session};
use wire::value::{Array, Dict, Value};

use super::*;
use crate::channel::WorkerEnds;
use crate::control::{Message, Outgoing};
use crate::frames::{self, Answered};
use crate::reap_descendants::Mark;
use crate::spec::{PythonEnv, ServiceSpec, group};

const DESCRIPTION: &str = include_str!("../protocol.rs");
const CALLS: &str = include_str!("../../python/worker/calls.py");
const FRAME_KINDS: &str = include_str!("../../python/worker/frame_kinds.py");
const DAEMON: &str = include_str!("../../python/worker/daemon.py");
const PART_TABLE: &str = include_str!("../../python/worker/part_table.py");
const PROCESS: &str = include_str!("../../python/worker/process.py");
const SERVICE_LOADS: &str = include_str!("../../python/worker/service_loads.py");
const STREAMS: &str = include_str!("../../python/worker/streams.py");
const LOADING: &str = include_str!("../../python/worker/loading.py");

/// A name, its number if it has one, and its fields.
type Row = (String, Option<i64>, Vec<String>);

/// The rows of the description's table with that title.
fn table(title: &str) -> Vec<Row> {
    let context = fields(between(DESCRIPTION, "//! *context: ", "\n"));
    let mut lines = DESCRIPTION.lines().map(|line| line.trim_start_matches("//!").trim());
    lines.find(|line| line.split("  ").next() == Some(title)).unwrap();
    let row = |line: &str| {
        let (head, listed) = (line.split('(').next().unwrap(), between(line, "(", ")"));
        let mut words = head.split_whitespace();
        let name = words.next().unwrap().to_owned();
        let mut fields = fields(listed);
        if fields.last().is_some_and(|field| field == "*context") {
            fields.pop();
            fields.extend(context.clone());
        }
        (name, words.next().map(|number| number.parse().unwrap()), fields)
    };
    lines.take_while(|line| !line.is_empty() && *line != "```").map(row).collect()
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let (_, text) = text.split_once(begin).unwrap_or_else(|| panic!("no {begin}"));
    text.split_once(end).unwrap().0
}

fn fields(listed: &str) -> Vec<String> {
    listed.split(", ").map(str::to_owned).filter(|field| !field.is_empty()).collect()
}

/// The number of elements of a Python tuple's or call's text, from its opening bracket on.
fn count(text: &str) -> usize {
    let (mut depth, mut commas) = (0, 0);
    for c in text.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 1 => commas += 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    commas + 1
}

/// The fields that the worker's source takes from each frame, after the line that names the frame.
fn taken(source: &str, name: &str) -> Option<Vec<String>> {
    let mut lines = source.lines().map(str::trim);
    lines.find(|line| line.ends_with(&format!("if kind == {name}:")))?;
    let line = lines.next()?;
    Some(
        line.strip_prefix("_, ")
            .map_or_else(Vec::new, |line| fields(line.split(" = ").next().unwrap())),
    )
}

#[test]
fn names_and_numbers_agree() {
    assert_eq!(between(PROCESS, "\nPROTOCOL = ", "\n"), VERSION.to_string());
    for title in ["request", "answer"] {
        let rows = table(title);
        let names: Vec<&str> = rows.iter().map(|(name, ..)| name.as_str()).collect();
        let assigned = format!("\n{} = range({})\n", names.join(", "), names.len());
        assert!(FRAME_KINDS.contains(&assigned), "frame_kinds.py has no {assigned}");
        let numbers: Vec<Option<i64>> = rows.iter().map(|row| row.1).collect();
        assert!(numbers.into_iter().eq((0..).take(names.len()).map(Some)), "{rows:?}");
    }
}

#[test]
fn requests_agree() {
    let call = |method: &str| MethodCall { method: method.into(), args: vec![], kwargs: vec![] };
    let request = |operation| frames::request("s", operation, Context::internal(), 0, 0);
    let session = Session::new(1, Peer::Unix { process: None }, "s".into(), Value::None);
    let check = HealthCheck { member: None, replaces_instance: false };
    let built = [
        ("CALL", CALL, request(Operation::Call(call("m")))),
        ("GET", GET, request(Operation::GetAttr("a".into()))),
        ("SET", SET, request(Operation::SetAttr("a".into(), Value::None))),
        ("BATCH", BATCH, request(Operation::Batch(vec![call("m")]))),
        ("NEXT", NEXT, frames::next_item(1, Context::internal())),
        ("CLOSE", CLOSE, frames::close_stream(1)),
        ("BIND", BIND, frames::bind(&session)),
        ("UNBIND", UNBIND, frames::unbind()),
        ("REST", REST, frames::to_rest("s", "m", false)),
        ("UNPIN", UNPIN, frames::unpin(1)),
        ("FINISH", FINISH, frames::finish_stream(1)),
        ("LEAVE", LEAVE, frames::leave("s", true)),
        ("ABORT", ABORT, frames::abort("s", "m", None)),
        ("HEALTH", HEALTH, frames::health("s", check)),
    ];
    let rows = table("request");
    assert_eq!(rows.len(), built.len());
    for ((name, number, fields), (ours, constant, frame)) in rows.into_iter().zip(built) {
        let items = frame.as_list().unwrap();
        assert_eq!((name.as_str(), number), (ours, Some(constant)));
        assert_eq!((items[0].as_i64(), items.len() - 1), (number, fields.len()), "{name}");
        let theirs = match constant {
            CALL | GET | SET | BATCH => {
                let parameters = between(CALLS, "def _carry_out(", "):").replace("=0", "");
                let parameters =
                    parameters.split(',').map(str::trim).filter(|name| !name.is_empty());
                parameters.skip(2).map(str::to_owned).collect()
            }
            _ => taken(CALLS, &name).unwrap(),
        };
        assert_eq!(theirs, fields, "{name} in calls.py");
    }
}

#[test]
fn answers_are_read() {
    let constants = [VALUE, RAISED, STREAM, END, BEGUN, REFUSED, NO_INSTANCE, NOT_MADE].map(Some);
    let rows = table("answer");
    assert!(rows.iter().map(|row| row.1).eq(constants));
    for (name, number, fields) in rows {
        let mut items = vec![Value::Int(number.unwrap())];
        items.extend(fields.iter().map(|field| match field.as_str() {
            "[annotations]" => Value::List(Vec::new()),
            "class_dict" => Value::Dict(Dict::new()),
            _ => Value::Int(1),
        }));
        let mut frame = Vec::new();
        frames::append(&mut frame, &Value::Tuple(items)).unwrap();
        let answered = format!(
            "{:?}",
            frames::answer(frames::FrameForm::Plain, &frame[frames::HEAD..]).unwrap()
        );
        let variant = name.replace('_', "");
        assert!(answered.to_uppercase().starts_with(&variant), "{name}: {answered}");
        let mut lines = CALLS.lines().chain(STREAMS.lines());
        assert!(lines.any(|line| line.contains(&name)), "{name}");
    }
}

#[test]
fn the_length_of_a_frame_says_its_form() {
    use frames::FrameForm::{Packed, PackedResult, Plain};
    let array = Value::from(Array::from_values(&[2], &[1.5_f64, 2.5]).unwrap());
    let answer = Value::Tuple(vec![VALUE.into(), array.clone()]);
    let mut frame = Vec::new();
    let last = frames::append_with_arrays(&mut frame, &answer).unwrap().unwrap();
    frame.extend_from_slice(last.data());
    let (head, content) = frame.split_first_chunk().unwrap();
    assert_eq!(frames::form_and_length(*head), (Packed, content.len()));
    let read = |form, content: &[u8]| frames::answer(form, content).unwrap();
    assert_eq!(read(Packed, content), Answered::Value(array.clone(), Vec::new()));
    // For a worker without numpy the array is a list.
    let mut frame = Vec::new();
    frames::append(&mut frame, &answer).unwrap();
    let (head, content) = frame.split_first_chunk().unwrap();
    assert_eq!(frames::form_and_length(*head), (Plain, content.len()));
    let list = Value::List(vec![1.5.into(), 2.5.into()]);
    assert_eq!(read(Plain, content), Answered::Value(list, Vec::new()));
    // A result without its tuple is passed on, if its table is right.
    let mut result = vec![0xff; frames::HEAD];
    wire::packed::encode(&array, &mut result).unwrap();
    let length = (result.len() - frames::HEAD) as u32 | 3 << 30;
    let (form, len) = frames::form_and_length(length.to_be_bytes());
    assert_eq!((form, len), (PackedResult, result.len() - frames::HEAD));
    assert_eq!(read(form, &result[frames::HEAD..]), Answered::Value(array.clone(), Vec::new()));
    let pass_on = |buffer| frames::pass_on(buffer, frames::HEAD, form, Serializer::Marshal);
    assert_eq!(pass_on(result.clone()).unwrap().read(), Ok(array));
    result.pop();
    assert!(pass_on(result).is_err());
}

#[test]
fn a_list_of_floats_is_passed_on_without_its_values() {
    let list = Value::List((0..1000).map(|at| Value::Float(f64::from(at) / 7.0)).collect());
    let mixed = Value::List([vec![Value::Int(1)], vec![Value::Float(1.5); 999]].concat());
    for (value, serializer, passes) in [
        (&list, Serializer::Marshal, true),
        (&list, Serializer::Msgpack, true),
        (&list, Serializer::Json, false),
        (&list, Serializer::Serpent, false),
        (&mixed, Serializer::Msgpack, false),
    ] {
        let mut frame = Vec::new();
        frames::append(&mut frame, &Value::Tuple(vec![VALUE.into(), value.clone()])).unwrap();
        let plain = frames::FrameForm::Plain;
        match frames::pass_on(frame.clone(), frames::HEAD, plain, serializer) {
            Ok(passed) => assert_eq!((passed.read().as_ref(), passes), (Ok(value), true)),
            Err(buffer) => assert_eq!((buffer, passes), (frame, false), "{serializer:?}"),
        }
    }
}

#[test]
fn messages_to_the_worker_agree() {
    let fd = || std::os::unix::net::UnixStream::pair().unwrap().0.into();
    let ends = || WorkerEnds { requests: fd(), answers: fd() };
    let sent = [
        Outgoing::start(Dict::new(), fd()),
        Outgoing::load([]),
        Outgoing::channel(ends()),
        Outgoing::beside(ends()),
        Outgoing::close_stream(1),
        Outgoing::ping(1),
        Outgoing::answer(1, Ok(Value::None)),
        Outgoing::stop(1.0),
    ];
    let rows = table("from the daemon");
    assert_eq!(rows.len(), sent.len());
    for ((name, _, fields), message) in rows.into_iter().zip(sent) {
        let content = message.content();
        let items = content.as_list().unwrap();
        assert_eq!((items[0].as_str(), items.len() - 1), (Some(name.as_str()), fields.len()));
        match name.as_str() {
            "start" => assert!(PROCESS.contains("(_, settings), fds = first")),
            _ => assert_eq!(taken(PROCESS, &format!("\"{name}\"")), Some(fields), "{name}"),
        }
    }
}

#[test]
fn messages_of_the_worker_agree() {
    let rows = table("from the worker");
    let mut written = BTreeSet::new();
    let writers = [PROCESS, SERVICE_LOADS].into_iter();
    for text in writers.flat_map(|source| source.split("_out.write(").skip(1)) {
        let name = between(text, "(", ",");
        let names =
            if name == "kind" { vec!["failed", "broken"] } else { vec![name.trim_matches('"')] };
        let count = count(&text.replace(",)", ")")) - 1;
        written.extend(names.into_iter().map(|name| (name.to_owned(), count)));
    }
    let described = rows.iter().map(|(name, _, fields)| (name.clone(), fields.len())).collect();
    assert_eq!(written, described);
    for (name, _, fields) in rows {
        let mut items = vec![Value::from(&name)];
        items.extend(fields.iter().map(|field| match field.as_str() {
            "version" | "number" => Value::Int(1),
            "facts" | "members" => Value::Dict(Dict::new()),
            "remarks" | "traceback" | "arguments" | "files" => Value::List(Vec::new()),
            _ => Value::from("text"),
        }));
        let read = format!("{:?}", Message::read(Value::Tuple(items)));
        assert!(read.to_lowercase().starts_with(&format!("some({name}")), "{name}: {read}");
    }
}

#[test]
fn questions_of_the_worker_agree() {
    let described: BTreeSet<_> =
        table("what a worker asks").into_iter().map(|(name, _, list)| (name, list.len())).collect();
    let askers = [DAEMON, PART_TABLE].into_iter();
    let asked = askers.flat_map(|source| source.split("self._ask(\"").skip(1));
    let asked = asked.map(|text| (text.split('"').next().unwrap(), count(&format!("({text}")) - 1));
    assert_eq!(
        asked.map(|(name, fields)| (name.to_owned(), fields)).collect::<BTreeSet<_>>(),
        described
    );
    for (name, count) in described {
        let pattern =
            between(include_str!("../registered.rs"), &format!("(\"{name}\", ["), "]) =>");
        assert_eq!(fields(pattern).len(), count, "{name} in registered.rs");
    }
}

#[test]
fn log_records_agree() {
    let stdio = include_str!("../../python/worker/stdio.py");
    let bridge = include_str!("../../python/worker/logging_bridge.py");
    let output = include_str!("../output.rs");
    for (name, _, fields) in table("log records") {
        let (source, begin) =
            if name == "log" { (bridge, "(\"log\"") } else { (stdio, "(self._kind") };
        assert!(source.contains(&format!("\"{name}\"")), "{name}");
        let written = &source[source.find(begin).unwrap()..];
        assert_eq!(count(written) - 1, fields.len(), "{name} as it is written");
        let begin = if name == "log" { "[_, " } else { "[Value::Str(kind), " };
        let read = &output[output.find(begin).unwrap()..];
        assert_eq!(count(read) - 1, fields.len(), "{name} as it is read");
    }
}

#[test]
fn settings_and_services_agree() {
    let read = |sources: &[&str], dict: &str| {
        let mut keys = BTreeSet::new();
        for access in ["[\"", ".get(\""] {
            let access = format!("{dict}{access}");
            for text in sources.iter().flat_map(|source| source.split(&access).skip(1)) {
                keys.insert(text.split('"').next().unwrap().to_owned());
            }
        }
        keys
    };
    let sent = |dict: &Dict| {
        dict.iter().filter_map(|(key, _)| key.as_str().map(str::to_owned)).collect::<BTreeSet<_>>()
    };
    let service = ServiceSpec::new("s", "m", "C");
    assert_eq!(
        sent(service.to_value().as_dict().unwrap()),
        read(&[SERVICE_LOADS, LOADING], "spec")
    );
    let python = PythonEnv::new("python3");
    let placed = crate::spec::Placement { service, python, isolate: false, watchdog: None };
    let worker = group("w", vec![placed], false).remove(0);
    assert_eq!(
        sent(&crate::run::settings(&worker, &Mark::new(), None)),
        read(&[PROCESS], "settings")
    );
}
