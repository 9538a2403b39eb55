//! The three forms of a report: for a terminal, a log and a script.

use miette::{GraphicalReportHandler, GraphicalTheme};

use super::*;

const WRONG: &str = "daemons:
  bänk: {port: x}
  bench: {}
services:
  lab.laser: {module: laser, classname: Laser, daemon: bensh, parameters: {rate: 1e6}}
  lab.laser: {}
";

const SHOWN: &str = "
  × 3 problems in lab.yaml

Error:
  × daemons.bänk.port: expected a port number from 0 to 65535, found the text `x`
   ╭─[lab.yaml:2:16]
 1 │ daemons:
 2 │   bänk: {port: x}
   ·                ─
 3 │   bench: {}
   ╰────
  help: for example `port: 9100`

Error:
  × services.lab.laser.daemon: the daemon `bensh` is not defined
   ╭─[lab.yaml:5:56]
 4 │ services:
 5 │   lab.laser: {module: laser, classname: Laser, daemon: bensh, parameters: {rate: 1e6}}
   ·                                                        ─────
 6 │   lab.laser: {}
   ╰────
  help: did you mean `bench`?

Error:
  × services: the key `lab.laser` is there twice (the first is at 5:3)
   ╭─[lab.yaml:6:3]
 4 │ services:
 5 │   lab.laser: {module: laser, classname: Laser, daemon: bensh, parameters: {rate: 1e6}}
   ·   ────┬────
   ·       ╰── the first
 6 │   lab.laser: {}
   ·   ─────────
   ╰────
  help: remove or rename one

Warning:
  ⚠ services.lab.laser.parameters.rate: `1e6` is read as text, not as a number
   ╭─[lab.yaml:5:82]
 4 │ services:
 5 │   lab.laser: {module: laser, classname: Laser, daemon: bensh, parameters: {rate: 1e6}}
   ·                                                                                  ───
 6 │   lab.laser: {}
   ╰────
  help: write a number as `1.0e+6` or `0.5`, or a text in quotes
";

#[test]
fn a_person_sees_the_lines_and_what_to_do() {
    let mut shown = String::new();
    let theme = GraphicalTheme::unicode_nocolor();
    let handler = GraphicalReportHandler::new_themed(theme).with_width(100);
    handler.render_report(&mut shown, &parse(WRONG).unwrap_err()).unwrap();
    let trimmed: Vec<&str> = shown.lines().map(str::trim_end).collect();
    assert_eq!(trimmed.join("\n").trim(), SHOWN.trim(), "\n{shown}");
}

#[test]
fn a_log_gets_a_line_for_each() {
    let error = parse(WRONG).unwrap_err();
    assert_eq!(error.to_string(), "3 problems in lab.yaml");
    let lines: Vec<String> = error.plain().lines().map(str::to_owned).collect();
    assert_eq!(
        lines[1],
        "lab.yaml:2:16: daemons.bänk.port: expected a port number from 0 to 65535, found the text `x` \
         (for example `port: 9100`)"
    );
    assert_eq!(lines.len(), 5, "{lines:?}");
}

#[test]
fn a_script_gets_json() {
    let json = parse(WRONG).unwrap_err().to_json();
    assert_eq!(json["file"], "lab.yaml");
    assert_eq!(json["problems"].as_array().unwrap().len(), 3);
    let twice = &json["problems"][2];
    assert_eq!((&twice["line"], &twice["column"]), (&6.into(), &3.into()));
    assert_eq!(twice["other"]["line"], 5);
    assert_eq!(json["problems"][1]["help"], "did you mean `bench`?");
    assert_eq!(json["problems"][1]["path"], "services.lab.laser.daemon");
    assert_eq!(json["warnings"][0]["severity"], "warning");
    assert_eq!(json["omitted"], 0);
}

/// A line that would fill the screen is not shown, but its place still is.
#[test]
fn a_long_line_is_named_but_not_shown() {
    let text = format!("daemons: {{d: {{port: x}}}} # {}", "y".repeat(1000));
    let shown = format!("{:?}", miette::Report::new(parse(&text).unwrap_err()));
    assert!(!shown.contains("yyy"), "{shown}");
    assert!(shown.contains("lab.yaml:1:21: daemons.d.port"), "{shown}");
}
