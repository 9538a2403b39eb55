//! Entries that cannot both have what they ask for, paths that lead nowhere, forgotten keys.

use std::path::PathBuf;

use super::*;

#[test]
fn a_name_is_registered_once_in_a_nameserver() {
    let lab = |daemon: &str, service: &str| {
        format!(
            "nameservers: {{n: {{}}, m: {{ns_port: 1}}}}\ndaemons:\n  bench: {{{daemon}}}\n  oven: {{}}\n\
             services:\n  bench: {{native: demo.clock, daemon: oven, {service}}}\n  \
             other: {{native: demo.clock, daemon: bench}}\n"
        )
    };
    let cases: &[(&str, &str, &[&str])] = &[
        (
            "nameservers: [n]",
            "nameservers: [n]",
            &[
                "6:3 services.bench: the daemon `bench` is registered under this name in the nameserver \
               `n` already (the other is at 3:3)",
            ],
        ),
        ("nameservers: [m, n]", "nameservers: [n, m]", &["6:3 in the nameserver `n` already"]),
        ("nameservers: [m]", "nameservers: [n]", &[]),
        ("", "nameservers: [n]", &[]),
        ("nameservers: [n]", "", &[]),
    ];
    for (daemon, service, expected) in cases {
        check(&lab(daemon, service), expected);
    }
    check(
        "services: {Pyro.NameServer: {native: demo.clock}}\ndaemons: {default: {}}\n",
        &["1:12 Pyro needs that name for itself"],
    );
}

#[test]
fn the_page_has_a_port_of_its_own() {
    let lab = |web: &str| {
        format!(
            "nameservers: {{n: {{}}}}\ndaemons:\n  bench: {{port: 9100}}\nservices:\n  \
             x: {{native: demo.clock, daemon: bench}}\nweb: {web}\n"
        )
    };
    let nameserver = "6:1 web: port 9090 of its host is a nameserver's too (the other is at 1:15)";
    for (web, expected) in [
        ("true", &[][..]),
        ("{port: 9090}", &[nameserver][..]),
        ("{host: public, port: 9100}", &["6:1 web: port 9100 of its host is a daemon's too"][..]),
        ("{host: 192.0.2.7, port: 9100}", &[][..]),
        ("{port: 0}", &[][..]),
    ] {
        check(&lab(web), expected);
    }
}

#[test]
fn the_history_has_its_own_port() {
    let lab = |history: &str| {
        format!(
            "nameservers: {{n: {{}}}}\ndaemons:\n  bench: {{port: 9100}}\nservices:\n  \
             x: {{native: demo.clock, daemon: bench}}\nhistory: {history}\n"
        )
    };
    for (history, expected) in [
        ("true", &[][..]),
        ("{port: 9090}", &["6:1 history: port 9090 of its host is a nameserver's too"][..]),
        ("{host: public, port: 9100}", &["6:1 history: port 9100 of its host is a daemon's too"]),
        ("{host: 192.0.2.7, port: 9100}", &[]),
        ("{port: 0}", &[]),
    ] {
        check(&lab(history), expected);
    }
}

#[test]
fn a_part_registers_a_name_too() {
    let lab = |daemon: &str, services: &str| {
        format!(
            "nameservers: {{n: {{}}, m: {{ns_port: 1}}}}\ndaemons:\n  default: {{}}\n  a.x: {{{daemon}}}\n\
             services:\n{services}\n  z: {{native: demo.clock, daemon: a.x}}\n"
        )
    };
    let service = |name: &str, parts: &str, nameserver: &str| {
        format!(
            "  {name}: {{module: m, classname: C, instancemode: single, parts: {parts}, \
             nameservers: [{nameserver}]}}"
        )
    };
    let one = service("a", "[x]", "n");
    let with_daemon = "6:54 services.a.parts: the daemon `a.x` is registered under the name of a part in \
                       the nameserver `n` already (the other is at 4:3)";
    check(&lab("nameservers: [n]", &one), &[with_daemon]);
    check(&lab("nameservers: [m]", &one), &[]);
    check(&lab("nameservers: [n]", &service("a", "all", "n")), &[]);
    let two = format!("{}\n{}", service("b", "[x.y]", "n"), service("b.x", "[y]", "n"));
    check(
        &lab("", &two),
        &["7:56 services.b.x.parts: the part `b.x.y` is registered under the name"],
    );
    let two = format!("{}\n{}", service("b", "[x]", "n"), service("b.x", "[]", "n"));
    check(&lab("", &two), &["6:54 services.b.parts: its part `x` has the name of a service"]);
    let reserved = service("Pyro", "[NameServer]", "n");
    check(&lab("", &reserved), &["6:57 services.Pyro.parts: its part `NameServer` has the name"]);
}

#[test]
fn a_database_has_one_nameserver() {
    let two = |one: &str, other: &str| {
        format!("nameservers:\n  a: {{storage: {one}}}\n  b: {{ns_port: 1, storage: {other}}}\n")
    };
    let again =
        &["3:28 nameservers.b.storage: another nameserver has this database file (the first is \
                   at 2:16)"];
    check(&two("sql:x.db", "sql:./x.db"), again);
    check(&two("sql:x.db", "sql:d/../x.db"), again);
    check(&two("sql:/d/x.db", "sql:/d/./x.db"), again);
    check(&two("sql:x.db", "sql:../x.db"), &[]);
    check(&two("sql", "sql"), &[]);
}

#[test]
fn daemons_do_not_share_an_address() {
    let two = |one: &str, other: &str| format!("daemons:\n  a: {{{one}}}\n  b: {{{other}}}\n");
    for (one, other) in [
        ("port: 7", "port: 7"),
        ("port: 7", "port: 7, host: 127.0.0.1"),
        ("port: 7, host: 0.0.0.0", "port: 7"),
        ("unixsocket: x", "unixsocket: x"),
    ] {
        check(&two(one, other), &["3:3 daemons.b: two daemons on"]);
    }
    for (one, other) in
        [("port: 0", "port: 0"), ("port: 7, unixsocket: x", "port: 7"), ("port: 7", "port: 8")]
    {
        check(&two(one, other), &[]);
    }
    let text = "nameservers: {n: {ns_port: 7}}\ndaemons: {default: {port: 7}}\n\
                services: {s: {native: demo.clock}}\n";
    check_warnings(text, &["2:11 port 7 of its host is a nameserver's too"]);
}

#[test]
fn values_that_cannot_be_meant_are_refused() {
    let cases: &[(&str, &str)] = &[
        ("daemons: {d: {host: -rf}}", "1:21 `-rf` is not a host name or an address"),
        ("daemons: {d: {host: 999.1.1.1}}", "1:21 four numbers from 0 to 255"),
        ("nameservers: {n: {host: a..b}}", "1:25 no part of a host name is empty"),
        ("python: {executable: 5}", "1:22 expected a path, found the number 5"),
        ("python: {path: [1.5]}", "1:17 expected a path, found the number 1.5"),
        ("daemons: {d: {supervision: {backoff: []}}}", "1:38 expected at least one delay"),
    ];
    for (text, expected) in cases {
        check(text, &[expected]);
    }
}

#[test]
fn a_forgotten_instancemode_is_a_warning() {
    let lab = |keys: &str| format!("daemons: {{default: {{}}}}\nservices:\n  s: {{{keys}}}\n");
    let python = "module: m, classname: C";
    let warning = "3:3 services.s: no `instancemode`";
    check_warnings(&lab(python), &[warning]);
    check_warnings(&lab(&format!("{python}, instancemode: session")), &[]);
    check_warnings(&lab("native: demo.clock"), &[]);
}

#[test]
fn pyrolabs_old_module_of_daemons_is_an_alias() {
    let text = "daemons: {default: {module: pyrolab.daemon, classname: LockableDaemon}}\n\
                services: {s: {native: demo.clock}}\n";
    check_warnings(text, &["1:29 daemons.default.module: `pyrolab.daemon` is the old name"]);
    assert_eq!(right(text).daemons[0].class, DaemonClass::Lockable);
}

#[test]
fn paths_are_looked_for_where_a_folder_is_given() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("there")).unwrap();
    std::fs::File::create(folder.path().join("text")).unwrap();
    let look = |text: &str, severity: Severity| {
        let base = PathBuf::from(folder.path());
        let folder = Some(Folder { base, home: None });
        let surroundings = Surroundings { folder, unready: severity, ..surroundings() };
        Configuration::parse("lab.yaml", text.as_bytes(), &surroundings)
    };
    let cases = [
        ("python: {path: [there, gone]}", "1:24: python.path[1]: there is no such folder"),
        ("python: {executable: gone/python}", "1:22: python.executable: there is no such file"),
        ("python: {executable: ./text}", "1:22: python.executable: it is not an executable file"),
        ("python: {executable: no-such-python}", "there is no such program in PATH"),
        ("daemons: {d: {python: {path: [gone]}}}", "1:31: daemons.d.python.path[0]"),
        ("daemons: {d: {ssl: true, ssl_servercert: c.pem}}", "daemons.d.ssl_servercert"),
        (
            "daemons: {d: {unixsocket: gone/x.sock}}",
            "daemons.d.unixsocket: there is no such folder",
        ),
        ("nameservers: {n: {storage: sql:gone/x.db}}", "nameservers.n.storage"),
    ];
    for (text, expected) in cases {
        let Err(ConfigError::Invalid(report)) = look(text, Severity::Error) else {
            panic!("{text} is accepted");
        };
        let found: Vec<String> = report.problems.iter().map(plain).collect();
        assert!(found.len() == 1 && found[0].contains(expected), "{text}: {found:?}");
        let (_, warnings) = look(text, Severity::Warning).unwrap();
        assert!(warnings.iter().any(|warning| plain(warning).contains(expected)), "{text}");
        parse(text).unwrap();
    }
    let text = "python: {executable: sh, path: [there]}\nnameservers: {n: {storage: sql:x.db}}\n\
                daemons: {d: {unixsocket: there/x.sock, ssl_cacerts: gone}}\n";
    look(text, Severity::Error).unwrap();
}
