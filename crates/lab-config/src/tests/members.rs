//! `members` of services: what loads, and what is refused.

use std::time::Duration;

use super::*;

#[test]
fn facts_about_members_load() {
    let lab = right(
        "services:
  s:
    module: m
    classname: C
    members:
      off: {doc: Switches it off}
      voltage: {minimum: 0, maximum: 30, unit: V, type: float}
      gain: {choices: [1, 10, high]}
      ch_1.voltage: {maximum: 5.5}
      move: {arguments: {x: {minimum: -1.5e-3, unit: mm}}}
daemons: {default: {}}",
    );
    let members = &lab.service("s").unwrap().members;
    let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
    assert_eq!(names, ["off", "voltage", "gain", "ch_1.voltage", "move"]);
    let voltage = ValueFacts {
        type_word: Some("float".into()),
        unit: Some("V".into()),
        minimum: Some(0.0),
        maximum: Some(30.0),
        ..ValueFacts::default()
    };
    assert_eq!(members[1].value, voltage);
    assert_eq!(members[2].value.choices.as_deref().unwrap().len(), 3);
    assert_eq!(members[4].arguments[0].value.minimum, Some(-0.0015));
    let json = serde_json::to_string(&lab).unwrap();
    assert_eq!(serde_json::from_str::<Configuration>(&json).unwrap(), lab);
}

#[test]
fn limits_that_cannot_be_meant_are_refused() {
    // `@` marks the place of the problem.
    let cases = [
        ("{voltage: {minimum: @5, maximum: 1}}", "5 is above `maximum`, which is 1"),
        ("{voltage: {@min: 5}}", "a member has no key `min` (write `minimum`)"),
        ("{voltage: {@unti: V}}", "did you mean `unit`?"),
        ("{voltage: {minimum: @high}}", "expected a number, found the text `high`"),
        ("{voltage: {minimum: @1e6}}", "expected a number with a dot"),
        ("{voltage: {minimum: @.nan}}", "expected a number"),
        ("{voltage: {@minimum: 1, type: str}}", "a limit is for numbers, and `type` is `str`"),
        ("{voltage: {type: @volts}}", "expected `any` or `bool`"),
        ("{voltage: {choices: @[]}}", "expected a list of texts, numbers or booleans"),
        ("{voltage: {choices: [@[1]]}}", "expected a text, a number or a boolean"),
        ("{voltage: @5}", "expected a mapping with keys of a member"),
        ("@[voltage]", "expected a mapping from names to members"),
        ("{@a b: {}}", "cannot be the name of a member"),
        ("{@reset: {}}", "`reset` is in `except`"),
        ("{go: {arguments: {x: {maximum: 0, minimum: @1}}}}", "1 is above `maximum`"),
        ("{go: {arguments: {@a.b: {}}}}", "cannot be the name of an argument"),
    ];
    for (members, expected) in cases {
        let service = "services: {s: {module: m, classname: C, except: [reset], members: ";
        let column = service.len() + members.find('@').unwrap() + 1;
        let text = format!("daemons: {{default: {{}}}}\n{service}{}}}}}", members.replace('@', ""));
        check(&text, &[&format!("2:{column} {expected}")]);
    }
}

#[test]
fn members_of_a_built_in_service_are_known() {
    let text = "daemons: {default: {}}\nservices: {s: {native: demo.sine, members: {frequenzy: \
                {maximum: 5}, start: {arguments: {cycle: {}}}, stop: {arguments: {x: {}}}}}}";
    check(
        text,
        &[
            "2:45 services.s.members.frequenzy: `demo.sine` has no member `frequenzy` (did you mean \
             `frequency`?)",
            "2:90 services.s.members.start.arguments.cycle: `start` has no argument `cycle` (did you \
             mean `cycles`?)",
            "2:122 services.s.members.stop.arguments.x: `stop` has no argument `x` (it has none)",
        ],
    );
}

#[test]
fn limits_and_secrets_of_members_load() {
    let lab = right(
        "daemons: {default: {call_log: off}, other: {}}\nservices:\n  s: {module: a, classname: A, \
         call_log: changes, call_timeout: 5, private: [password, 'off', ch_1.key], members: {scan: \
         {call_timeout: 20}, auto: {call_timeout: 0}, password: {private: false}}}\n  \
         t: {module: a, classname: A, daemon: other}",
    );
    let modes = ["default", "other"].map(|name| lab.daemon(name).unwrap().call_log);
    assert_eq!(modes, [CallLogMode::Off, CallLogMode::Errors]);
    let service = lab.service("s").unwrap();
    assert_eq!(service.call_log, Some(CallLogMode::Changes));
    let found: Vec<_> = service
        .members
        .iter()
        .map(|member| (member.name.as_str(), member.call_timeout, member.private))
        .collect();
    let expected = [
        ("scan", Some(Duration::from_secs(20)), false),
        ("auto", Some(Duration::ZERO), false),
        ("password", None, true),
        ("off", None, true),
        ("ch_1.key", None, true),
    ];
    assert_eq!(found, expected);
    assert_eq!(lab.service("t").unwrap().members, []);
    let part = lab.part_of("default").unwrap();
    let sent = serde_json::to_string(&part).unwrap();
    assert_eq!(serde_json::from_str::<DaemonPart>(&sent).unwrap(), part);
}

#[test]
fn alarms_load_one_or_several() {
    let lab = right(
        "daemons: {default: {}}\nservices:\n  s: {module: a, classname: A, members: {t: {alarm: {above: \
         320.5, for: 10s, hysteresis: 1, latch: true, no_data: 30s}}, mode: {alarm: [{equals: \
         fault}, {not: [1, true, ready], part: x, message: Look}]}, u: {}}}",
    );
    let members = &lab.service("s").unwrap().members;
    let above = Alarm {
        above: Some(320.5),
        hold: Some(Duration::from_secs(10)),
        hysteresis: 1.0,
        latch: true,
        no_data: Some(Duration::from_secs(30)),
        ..Alarm::default()
    };
    assert_eq!(members[0].alarms, [above]);
    let conditions: Vec<String> = members[1].alarms.iter().map(Alarm::condition).collect();
    assert_eq!(conditions, ["equals fault", "not 1 or true or ready"]);
    assert_eq!(members[1].alarms[1].part.as_deref(), Some("x"));
    assert_eq!(members[2].alarms, []);
    let part = lab.part_of("default").unwrap();
    let sent = serde_json::to_string(&part).unwrap();
    assert_eq!(serde_json::from_str::<DaemonPart>(&sent).unwrap(), part);
}

#[test]
fn alarms_that_cannot_be_meant_are_refused() {
    // `@` marks the place of the problem.
    let cases = [
        ("@alarm: {for: 3}", "t.alarm: the alarm has no condition"),
        ("alarm: [{above: 1}, @{for: 3}]", "t.alarm[1]: the alarm has no condition"),
        ("alarm: {no_data: 3, @max: 3}", "an alarm has no key `max` (write `above`)"),
        ("alarm: {above: @high}", "expected a number, found the text `high`"),
        ("alarm: {above: 1, @below: 2}", "t.alarm.below: every value is below 2 or above 1"),
        ("alarm: [{above: 1, @hysteresis: -1}]", "t.alarm[0].hysteresis: it is less than 0"),
        ("alarm: {above: 2, below: 1, @hysteresis: 1}", "it never clears"),
        ("alarm: {equals: 1, @hysteresis: 1}", "belongs to `above` or `below`"),
        ("alarm: {equals: 1, @not: 2}", "`equals` and `not` are in one alarm"),
        ("alarm: {above: 1, equals: [@{}]}", "expected a text, a number or a boolean"),
        ("alarm: {no_data: @0}", "greater than 0"),
        ("alarm: {no_data: 3, @latch: true}", "`latch` belongs to a condition on values"),
        ("alarm: [{above: 1}, @{above: 1, for: 3}]", "there is another alarm `above 1`"),
        ("alarm: @5", "expected a mapping with keys of an alarm"),
    ];
    for (alarm, expected) in cases {
        let service = "services: {s: {module: m, classname: C, members: {t: {";
        let column = service.len() + alarm.find('@').unwrap() + 1;
        let text =
            format!("daemons: {{default: {{}}}}\n{service}{}}}}}}}}}", alarm.replace('@', ""));
        let findings = problems(&text);
        let found = findings
            .iter()
            .any(|line| line.starts_with(&format!("2:{column}: ")) && line.contains(expected));
        assert!(found && findings.len() == 1, "{alarm}: {findings:#?}");
    }
}

#[test]
fn targets_of_push_load_and_need_an_address() {
    let lab = right(
        "daemons: {}\nhistory: {}\npush: [{url: \"https://h/write\", token: t}, {url: \"http://h\", every: 1m, \
         match: [\"lab.*\"]}]",
    );
    assert_eq!(lab.push.len(), 2);
    assert_eq!(lab.push[0].every, Some(Duration::from_secs(10)));
    assert_eq!(lab.push[1].patterns, ["lab.*"]);
    check("history: {}\npush: {token: x}", &["2:7 push: it has no `url`"]);
    check(
        "history: {}\npush: [{url: ftp://x}]",
        &["2:14 push[0].url: this is no address of a web"],
    );
    check("push: {url: \"http://h\"}", &["1:1 push: it sends what the history records"]);
}

#[test]
fn an_alarm_on_a_value_that_nobody_reads_is_told() {
    let with = |facts: &str| {
        format!(
            "daemons: {{default: {{}}}}\nservices: {{s: {{native: demo.sine, members: \
             {{frequency: {{alarm: {{above: 1}}{facts}}}}}}}}}"
        )
    };
    check_warnings(&with(", poll: 1s"), &[]);
    let place = "2:57 services.s.members.frequency.alarm: nobody reads its value";
    check_warnings(&with(""), &[place]);
}

#[test]
fn mistakes_in_the_call_log_have_places() {
    let text = "daemons: {default: {call_log: some}}\nservices: {s: {native: demo.sine, members: \
                {start: {call_timeout: -1}}, private: [a b]}}";
    check(
        text,
        &[
            "1:31 daemons.default.call_log: expected `off` or `errors` or `changes` or `all`",
            "2:67 services.s.members.start.call_timeout: expected a number of seconds",
            "2:83 services.s.private[0]: `a b` is not",
        ],
    );
}

#[test]
fn series_of_members_load() {
    let lab = right(
        "daemons: {default: {}}\nservices:\n  s: {module: m, classname: C, instancemode: single, \
         members: {temperature: {poll: 200ms, deadband: 0.05, keep: 30d}, read: {poll: 1, deadband: \
         1.5%}, ch_1.voltage: {keep: 1h, deadband: 0}, off: {unit: K}}}\n  n: {native: demo.sine, \
         members: {frequency: {poll: 1s}}}\n  m: {module: m, expose: all, members: {read: {keep: \
         5m}}}",
    );
    let second = Duration::from_secs(1);
    let members = &lab.service("s").unwrap().members;
    let found: Vec<_> =
        members.iter().map(|member| (member.poll, member.keep, member.deadband)).collect();
    let expected = [
        (Some(second / 5), Some(30 * 24 * 3600 * second), Some(Deadband::Absolute(0.05))),
        (Some(second), None, Some(Deadband::Percent(1.5))),
        (None, Some(3600 * second), Some(Deadband::Absolute(0.0))),
        (None, None, None),
    ];
    assert_eq!(found, expected);
    let has: Vec<bool> = members.iter().map(Member::has_series).collect();
    assert_eq!(has, [true, true, true, false]);
    let part = lab.part_of("default").unwrap();
    let sent = serde_json::to_string(&part).unwrap();
    assert_eq!(serde_json::from_str::<DaemonPart>(&sent).unwrap(), part);
}

#[test]
fn series_that_cannot_be_are_refused() {
    // `@` marks the place of the problem.
    let cases = [
        ("single", "{t: {poll: @0}}", "expected a number of seconds greater than 0"),
        ("single", "{t: {poll: @10ms}}", "more often than each 50 ms"),
        ("single", "{t: {poll: @often}}", "expected a number of seconds"),
        ("single", "{t: {poll: 1s, keep: @0}}", "expected a number of seconds greater than 0"),
        ("single", "{t: {poll: 1s, deadband: @-1}}", "expected a number from 0, or a percentage"),
        ("single", "{t: {poll: 1s, deadband: @'x%'}}", "expected a number from 0, or a percentage"),
        ("single", "{t: {@interval: 1s}}", "has no key `interval` (write `poll`)"),
        ("single", "{t: {@poll: 1s, type: array}}", "a live value is a number"),
        ("session", "{t: {@poll: 1s}}", "each client has an instance of its own"),
        ("percall", "{t: {@keep: 1s}}", "each call has an instance of its own"),
    ];
    for (mode, members, expected) in cases {
        let service =
            format!("services: {{s: {{module: m, classname: C, instancemode: {mode}, members: ");
        let column = service.len() + members.find('@').unwrap() + 1;
        let members = members.replace('@', "");
        let text = format!("daemons: {{default: {{}}}}\n{service}{members}}}}}");
        check(&text, &[&format!("2:{column} {expected}")]);
    }
    check_warnings(
        "daemons: {default: {}}\nservices: {s: {native: demo.sine, members: {frequency: {deadband: \
         1}}}}",
        &["2:57 it has no effect without `poll` or `keep`"],
    );
}
