//! Recorded values, in every serializer.

use wire::Limits;
use wire::serializer::Serializer;
use wire::value::Value;

use crate::{RecordedEntry, entries, unhex};

/// The lines of an entry about `serializer`.
fn lines(entry: &RecordedEntry, serializer: Serializer) -> Vec<(&'static str, &'static str)> {
    let lines = entry.lines.iter().filter(|(word, _)| *word == serializer.name());
    lines.map(|(_, line)| line.split_once(' ').unwrap()).collect()
}

fn line(lines: &[(&str, &'static str)], word: &str) -> Option<&'static str> {
    lines.iter().find(|(known, _)| *known == word).map(|(_, rest)| *rest)
}

/// The value of an entry, if the value model has it.
fn value(entry: &RecordedEntry) -> Option<(Vec<u8>, Value)> {
    let marshal = unhex(entry.title.strip_prefix("value ")?);
    let value = Serializer::Marshal.decode(&marshal, &Limits::default()).unwrap();
    Some((marshal, value))
}

#[test]
fn values_are_printed_and_written_to_the_byte() {
    for entry in entries(include_str!("values.txt")) {
        let Some((marshal, value)) = value(&entry) else { continue };
        assert_eq!(value.to_string(), entry.get("repr"));
        for serializer in Serializer::ALL {
            let lines = lines(&entry, serializer);
            let mut data = Vec::new();
            match (serializer.encode(&value, &mut data), line(&lines, "writes")) {
                // Pyro5 writes version 4. Version 2, which we write, is in the entry's title.
                (Ok(()), Some(_)) if serializer == Serializer::Marshal => assert_eq!(data, marshal),
                (Ok(()), Some(theirs)) => assert_eq!(
                    String::from_utf8_lossy(&data),
                    String::from_utf8_lossy(&unhex(theirs)),
                    "{value}"
                ),
                (Err(error), None) => assert_eq!(
                    Some(format!("{}: {error}", error.class()).as_str()),
                    line(&lines, "refuses"),
                    "{value}"
                ),
                (ours, theirs) => panic!("{value}: we write {ours:?}, Pyro5 {theirs:?}"),
            }
        }
    }
}

#[test]
fn values_are_read() {
    for entry in entries(include_str!("values.txt")) {
        for serializer in Serializer::ALL {
            let lines = lines(&entry, serializer);
            let Some(data) = line(&lines, "writes") else { continue };
            let data = unhex(data);
            let what = format!("{} of {}", serializer.name(), String::from_utf8_lossy(&data));
            let ours = serializer.decode(&data, &Limits::default());
            match (ours, line(&lines, "reads")) {
                (Ok(ours), Some(theirs)) => {
                    assert_eq!(ours.to_string(), expected(theirs), "{what}")
                }
                (Err(_), None) => {}
                // Pyro5 cannot read this, which it has written itself: the class is unknown to it.
                (Ok(Value::Dict(dict)), None) if dict.class() == Some("complex") => {}
                (ours, theirs) => panic!("{what}: we read {ours:?}, Pyro5 {theirs:?}"),
            }
        }
    }
}

/// The class dict for a value of the two types that the value model does not have.
fn expected(theirs: &str) -> &str {
    match theirs {
        "datetime.datetime(2024, 5, 1, 10, 0, 0, 250000)" => {
            "{'__class__': 'datetime.datetime', 'timestamp': 1714557600.25}"
        }
        "datetime.date(2024, 2, 29)" => "{'__class__': 'datetime.date', 'ordinal': 738945}",
        theirs => theirs,
    }
}
