//! `access`: what loads, and what is refused.

use super::*;

/// A lab with this `access` in its last line.
fn with(access: &str) -> String {
    format!(
        "daemons: {{bench: {{classname: LockableDaemon}}, plain: {{}}}}\nservices: {{lab.laser: \
         {{module: m, classname: C, daemon: bench, instancemode: single}}, lab.psu: {{native: demo.sine, daemon: plain}}}}\
         \naccess: {access}"
    )
}

#[test]
fn grants_load() {
    let lab = right(&with(
        "
  localhost: operate
  network: none
  users: [\"b.o-b\"]
  groups: {optics: [ada, b.o-b], one: grace}
  grants:
    - {who: \"group:optics\", what: lab.laser, role: operate, members: [power, ch_1.go], when: locked}
    - who: [ada, 'group:one', anonymous, '*']
      what: ['lab.*', bench]
      role: admin
    - {who: [grace, 'group:night'], role: view}",
    ));
    let access = lab.access.clone().unwrap();
    assert_eq!((access.localhost, access.network), (AccessRole::Operate, AccessRole::None));
    assert_eq!(access.groups[1], AccessGroup { name: "one".into(), people: vec!["grace".into()] });
    let [first, second, third] = <[Grant; 3]>::try_from(access.grants.clone()).unwrap();
    assert_eq!(first.who, ["group:optics"]);
    assert_eq!(first.members, ["power", "ch_1.go"]);
    assert_eq!((first.when, second.when), (GrantWhen::Locked, GrantWhen::Always));
    assert_eq!((second.role, third.role), (AccessRole::Admin, AccessRole::View));
    assert_eq!(third.what, ["*"]);
    assert_eq!([first.line.0, second.line.0, third.line.0], [9, 10, 13]);
    let part = lab.part_of("bench").unwrap();
    let json = serde_json::to_string(&part).unwrap();
    assert_eq!(serde_json::from_str::<DaemonPart>(&json).unwrap(), part);
    assert_eq!(part.access, Some(access));
}

#[test]
fn an_empty_section_has_the_defaults() {
    let access = right(&with("{}")).access.unwrap();
    assert_eq!((access.localhost, access.network), (AccessRole::Admin, AccessRole::View));
    assert!(access.grants.is_empty());
    let part = right(LAB).part_of("bench").unwrap();
    assert!(!serde_json::to_string(&part).unwrap().contains("access"), "as it was before");
}

#[test]
fn a_grant_that_moves_is_no_change() {
    let grants = "{grants: [{who: ada, role: view}]}";
    let moved = format!("# more\n{}", with(grants));
    assert_eq!(right(&with(grants)), right(&moved));
}

#[test]
fn mistakes_have_places() {
    // `@` marks the place of the problem.
    let cases = [
        ("@[ada]", "expected a mapping with keys of `access`, found a list"),
        ("{@grant: []}", "`access` has no key `grant` (write `grants`)"),
        ("{@local: view}", "(write `localhost`)"),
        (
            "{network: @vew}",
            "expected `none` or `view` or `operate` or `admin`, found the text `vew`",
        ),
        ("{grants: @{who: ada}}", "expected a list, each a grant, found a mapping"),
        ("{grants: [@ada]}", "expected a mapping with keys of a grant, found the text `ada`"),
        ("{grants: [@{role: view}]}", "a grant needs `who` (write `who: NAME`"),
        ("{grants: [@{who: ada}]}", "a grant needs `role` (write `role: view`"),
        ("{grants: [{who: ada, role: @oprate}]}", "did you mean `operate`?"),
        ("{grants: [{who: ada, role: @none}]}", "expected `view` or `operate` or `admin`"),
        ("{grants: [{who: @adda, role: view}]}", "there is no user `adda` (did you mean `ada`?)"),
        ("{grants: [{who: [ada, @zoe], role: view}]}", "(`ferrolab user add zoe` makes one;"),
        ("{grants: [{who: @group:optic, role: view}]}", "the group `optic` is not defined"),
        ("{grants: [{who: @[], role: view}]}", "the grant counts for nobody"),
        ("{grants: [{who: @a b, role: view}]}", "it has spaces or control characters"),
        ("{grants: [{who: @anonymous@10.0.0.7, role: view}]}", "write `anonymous`, whatever"),
        ("{grants: [{who: @grp:ada, role: view}]}", "it has `*` or `:` in it"),
        ("{grants: [{who: ada, role: view, what: @lab.lasr}]}", "(did you mean `lab.laser`?)"),
        (
            "{grants: [{who: ada, role: view, what: @lab.laser.power}]}",
            "there is no service `lab.laser.power` (parts and members go with their service: write \
             `what: lab.laser` and `members: [power]`)",
        ),
        ("{grants: [{who: ada, role: view, @service: lab.laser}]}", "(write `what`)"),
        (
            "{grants: [{who: ada, role: view, what: lab.psu, members: [start, @stopp]}]}",
            "none of these services has a member `stopp` (did you mean `stop`?)",
        ),
        ("{grants: [{who: ada, role: view, members: [@a b]}]}", "`a b` is not a name in Python"),
        ("{grants: [{who: ada, role: view, when: @lock}]}", "did you mean `locked`?"),
        (
            "{grants: [{who: ada, role: operate, what: lab.psu, when: @locked}]}",
            "it never counts: the services that it is for have no locks",
        ),
        (
            "{groups: {g: [@group:h]}, grants: [{who: group:g, role: view}]}",
            "a group has people, and `group:h` is none",
        ),
        (
            "{groups: {@a b: [ada]}, grants: [{who: 'group:a b', role: view}]}",
            "`a b` cannot be the name of a group",
        ),
        (
            "{groups: {g: [ada]}, grants: [{who: group:g, role: view}, {who: @g, role: view}]}",
            "there is no user `g` (write `\"group:g\"` to mean the group)",
        ),
        ("{groups: @[ada]}", "expected a mapping from groups to lists of people"),
        ("{grants: [{who: @*, role: view}]}", "expected"),
    ];
    let nothing = "expected a mapping with keys of `access`, found nothing (write `{}`";
    check(&with("# {network: view}"), &[&format!("3:1 access: {nothing}")]);
    for (access, expected) in cases {
        let column = "access: ".len() + access.find('@').unwrap() + 1;
        let text = with(&access.replacen('@', "", 1));
        check(&text, &[&format!("3:{column} {expected}")]);
    }
}

#[test]
fn what_counts_for_nothing_is_said() {
    let cases = [
        ("{grants: [{who: ada, role: view, what: @cam.*}]}", "`cam.*` matches no service"),
        ("{groups: {@g: [ada]}}", "no grant names the group (write `who: \"group:g\"`"),
        ("{groups: {@g: []}, grants: [{who: group:g, role: view}]}", "the group is empty"),
    ];
    for (access, expected) in cases {
        let column = "access: ".len() + access.find('@').unwrap() + 1;
        check_warnings(&with(&access.replacen('@', "", 1)), &[&format!("3:{column} {expected}")]);
    }
    let text = "daemons: {bench: {}}\nservices: {s: {module: m, classname: C, daemon: bench, \
                instancemode: single, members: {go: {role: admin}}}}";
    check_warnings(text, &["2:93 services.s.members.go.role: it has no effect: without `access`"]);
}

#[test]
fn instruments_that_are_everybodys_are_told_of_in_one_line() {
    let lab = |host: &str, rest: &str| {
        format!(
            "daemons: {{a: {{host: localhost}}, b: {{{host}}}}}\nservices: {{s: {{native: \
             demo.sine, daemon: a}}, t: {{native: demo.sine, daemon: b}}}}\n{rest}"
        )
    };
    let told = "anybody who reaches public (daemon b, port 9091) can drive the instruments there \
                (write `access: {}`";
    let told = format!("1:43 daemons.b.host: {told}");
    for (host, rest, expected) in [
        ("host: public, port: 9091", "", &[told.as_str()][..]),
        ("host: public, port: 9091", "access: {}", &[]),
        ("host: localhost", "", &[]),
        ("host: 127.0.0.1", "", &[]),
        ("host: '::1'", "", &[]),
        ("unixsocket: b.sock", "", &[]),
    ] {
        check_warnings(&lab(host, rest), expected);
    }
}

#[test]
fn a_user_who_has_been_removed_keeps_no_lab_down() {
    let text = with("{grants: [{who: gone, role: view}]}");
    let surroundings = Surroundings { unknown_people: Severity::Warning, ..surroundings() };
    let parsed = Configuration::parse("lab.yaml", text.as_bytes(), &surroundings);
    let (_, warnings) = parsed.unwrap();
    assert!(warnings[0].plain().contains("there is no user `gone`"), "{}", warnings[0].plain());
}

#[test]
fn a_renamed_service_keeps_its_grants() {
    let text = with("{grants: [{who: ada, role: view, what: [lab.laser, 'lab.*']}]}");
    let renamed = rename(
        "lab.yaml",
        text.as_bytes(),
        &surroundings(),
        RenamedEntry::Service,
        "lab.laser",
        "lab.diode",
    );
    let (text, places) = renamed.unwrap();
    assert_eq!(places, 2);
    assert!(text.contains("what: [lab.diode, 'lab.*']"), "{text}");
}
