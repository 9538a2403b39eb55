//! Tests of whole files: valid ones, refused ones with positions, and the cost of loading.

mod access;
mod broken;
mod certificates;
mod clashes;
mod drivers;
mod etcd;
mod history;
mod labs;
mod limits;
mod loads;
mod members;
mod mutants;
mod natives;
mod portable;
mod report;

use super::*;

/// A small file that is right, for tests that change one thing.
const LAB: &str = r#"version: "1.0"
nameservers:
  local: {host: localhost, ns_port: 9090}
daemons:
  bench: {host: localhost, servertype: thread, nameservers: [local]}
services:
  lab.sample: {module: pyrolab.drivers.sample, classname: SampleService, daemon: bench, instancemode: session, nameservers: [local]}
  lab.shared: {module: pyrolab.drivers.sample, classname: SampleService, daemon: bench, instancemode: single, nameservers: [local]}
  lab.laser: {module: pyrolab.drivers.sample, classname: SampleAutoconnectInstrument, parameters: {address: "here", port: 12345}, daemon: bench, instancemode: single, nameservers: [local]}
autolaunch: {nameservers: [local], daemons: [bench]}
"#;

fn surroundings() -> Surroundings {
    Surroundings {
        host: "lab1".into(),
        users: Some(vec!["ada".into(), "grace".into()]),
        groups: vec!["night".into()],
        folder: None,
        state: None,
        simulates: false,
        unready: Severity::Error,
        unknown_people: Severity::Error,
        natives: Some(vec![
            Native { name: "demo.clock".into(), ..Native::default() },
            Native {
                name: "demo.sine".into(),
                methods: vec!["start".into(), "stop".into()],
                attrs: vec!["frequency".into()],
                arguments: vec![("start".into(), vec!["cycles".into()])],
            },
        ]),
    }
}

fn parse(text: &str) -> Result<(Configuration, Vec<Warning>), ConfigError> {
    Configuration::parse("lab.yaml", text.as_bytes(), &surroundings())
}

/// The configuration of a text that must be right.
#[track_caller]
fn right(text: &str) -> Configuration {
    match parse(text) {
        Ok((configuration, _)) => configuration,
        Err(error) => panic!("{text}\n{}", error.plain()),
    }
}

/// The problems of a text, without its name: `LINE:COLUMN: PATH: MESSAGE (HELP)`.
fn problems(text: &str) -> Vec<String> {
    match parse(text) {
        Ok(_) => Vec::new(),
        Err(ConfigError::Invalid(report)) => report.problems.iter().map(plain).collect(),
        Err(error) => panic!("{}", error.plain()),
    }
}

fn plain(problem: &Warning) -> String {
    problem.plain().trim_start_matches("lab.yaml:").to_owned()
}

/// Checks that a text has these problems, each given as its `LINE:COLUMN` and a part of the rest.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    compare(text, &problems(text), expected);
}

/// The same for the warnings of a text that is right.
#[track_caller]
fn check_warnings(text: &str, expected: &[&str]) {
    let (_, warnings) = parse(text).unwrap_or_else(|error| panic!("{text}\n{}", error.plain()));
    compare(text, &warnings.iter().map(plain).collect::<Vec<_>>(), expected);
}

#[track_caller]
fn compare(text: &str, found: &[String], expected: &[&str]) {
    let shown = found.join("\n");
    assert_eq!(found.len(), expected.len(), "\n{text}\n-- found --\n{shown}");
    for (found, expected) in found.iter().zip(expected) {
        let (place, part) = expected.split_once(' ').unwrap();
        let (at, rest) = found.split_at(found.match_indices(':').nth(1).unwrap().0);
        let right = at == place && rest.contains(part);
        assert!(right, "\n{text}\n-- expected --\n{expected}\n-- found --\n{shown}");
    }
}
