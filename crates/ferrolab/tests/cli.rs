//! The command line as it meets the user: help texts, usage errors, exit codes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::path::Path;
use std::process::{Output, Stdio};

use assert_cmd::Command;

/// Runs the binary with its own home, as on a terminal 100 columns wide.
fn ferrolab(home: &Path, arguments: &[&str]) -> Output {
    Command::cargo_bin("ferrolab")
        .unwrap()
        .args(arguments)
        .env("FERROLAB_HOME", home)
        .env("COLUMNS", "100")
        .env("NO_COLOR", "1")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn help_texts() {
    let home = tempfile::tempdir().unwrap();
    let commands: &[&[&str]] = &[
        &[],
        &["up"],
        &["down"],
        &["ps"],
        &["start"],
        &["stop"],
        &["restart"],
        &["restart", "daemon"],
        &["reload"],
        &["upgrade"],
        &["status"],
        &["logs", "show"],
        &["rename"],
        &["service", "install"],
        &["config"],
        &["config", "update"],
        &["config", "export"],
        &["config", "import"],
        &["nslist"],
        &["ns"],
        &["ns", "lookup"],
        &["ns", "register"],
        &["ns", "remove"],
        &["ns", "set-metadata"],
        &["call"],
        &["calls"],
        &["describe"],
        &["stubs"],
        &["lock"],
        &["locks"],
        &["session", "run"],
        &["history"],
        &["unlock"],
        &["access", "test"],
        &["alarms"],
        &["alarms", "ack"],
        &["values"],
        &["demo"],
    ];
    for command in commands {
        let arguments = [*command, &["--help"]].concat();
        let output = ferrolab(home.path(), &arguments);
        assert_eq!(output.status.code(), Some(0), "{command:?}");
        let name = format!("help_{}", command.join("_"));
        insta::assert_snapshot!(name, text(&output.stdout));
    }
}

#[test]
fn exit_codes_and_errors() {
    let home = tempfile::tempdir().unwrap();
    // Arguments, exit code, what standard output or standard error says.
    let cases: &[(&[&str], i32, &str)] = &[
        (&[], 2, "Usage"),
        (&["pss"], 2, "ps"),
        (&["call"], 2, "required"),
        (&["call", "--timeout", "5"], 2, "required arguments"),
        (&["describe"], 2, "required arguments"),
        (&["describe", "x", "--json", "--pyi"], 2, "cannot be used with"),
        (&["stubs"], 2, "--out"),
        (&["call", "x", "y", "a=1", "2"], 1, "stands behind a keyword argument"),
        (&["up", "--timeout", "18446744073709551615"], 2, "0..=86400"),
        (&["up"], 1, "ferrolab config update"),
        (&["ps"], 1, "ferrolab up"),
        (&["locks"], 1, "ferrolab up"),
        (&["locks", "--last", "5"], 2, "--history"),
        (&["lock", "x"], 2, "COMMAND"),
        (&["unlock", "x", "--reason", "y"], 2, "--break"),
        (&["down"], 0, "The lab is not up."),
        (&["config", "update", "/nonexistent.yaml"], 1, "/nonexistent.yaml"),
        (&["run", "nameserver", "x"], 1, "ferrolab up"),
        (&["ns", "remove"], 2, "required"),
        (&["ns", "remove", "x", "--prefix", "y"], 2, "cannot be used with"),
        (&["ns", "register", "x", "nonsense", "--ns", "localhost:1"], 1, "invalid uri"),
        (&["ns", "lookup", "x", "--ns", "localhost:1"], 1, "cannot connect"),
        (&["nslist", "lab", "--regex", "x"], 2, "cannot be used with"),
        (&["nslist", "--ns", "localhost:port"], 1, "--ns localhost:port"),
        (&["--version"], 0, "ferrolab 0."),
    ];
    for (arguments, code, said) in cases {
        let output = ferrolab(home.path(), arguments);
        let all = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(*code), "{arguments:?}: {all}");
        assert!(all.contains(said), "{arguments:?} said {all:?}, not {said:?}");
    }
}

#[test]
fn standard_output_may_be_closed_or_full() {
    let home = tempfile::tempdir().unwrap();
    let (reader, closed) = std::io::pipe().unwrap();
    drop(reader);
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let ends: [(Stdio, i32, &str); 2] =
        [(closed.into(), 141, ""), (full.into(), 1, "cannot write to standard output")];
    for (stdout, code, said) in ends {
        let output = std::process::Command::new(assert_cmd::cargo::cargo_bin!("ferrolab"))
            .arg("down")
            .env("FERROLAB_HOME", home.path())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
            .wait_with_output()
            .unwrap();
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{errors}");
        assert!(errors.contains(said) && !errors.contains("panicked"), "{errors}");
    }
}
