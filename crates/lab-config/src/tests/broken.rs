//! Invalid files: every problem with its position and help.

use super::*;

/// A text and what is found in it.
type Case = (&'static str, &'static [&'static str]);

#[track_caller]
fn all(cases: &[Case]) {
    for (text, expected) in cases {
        check(text, expected);
    }
}

#[test]
fn text_that_is_no_yaml_has_one_problem() {
    all(&[
        ("", &["1:1 the file holds nothing"]),
        ("# only a comment\n", &["1:1 the file holds nothing"]),
        ("daemons:\n\tbench: {}\n", &["2:2 indent with spaces, not tabs"]),
        ("daemons: {bench: {host: localhost\n", &["1:18 unclosed bracket '{'"]),
        ("daemons: {bench: {}}\nservices: {x: {module: a, class", &["2:15 torn"]),
        ("daemons:\n  bench: {port: 1}}\n", &["2:19 misplaced bracket"]),
        ("daemons:\n  bench: {host: \"local\n", &["2:17 unclosed quote"]),
        ("daemons:\n  a:\n    host: x\n\t    port: 1\n", &["4:1 indent with spaces, not tabs"]),
        ("daemons:\n  a:\n    host: \"x\n    b: \"y\"\n", &["4:9 is a quote missing"]),
        ("daemons:\n  bench: a: b\n", &["2:11 in quotes"]),
        ("daemons:\n  bench:\n    port: 1\n   host: x\n", &["4:4 not YAML"]),
        ("services: {a: {description: \"C:\\lab\"}}", &["1:29 single quotes"]),
        ("daemons: {}\ngarbage\n", &["2:1 not YAML"]),
        ("daemons: {}\n--- {}\n", &["2:1 second document"]),
        ("daemons: @x\n", &["1:10 put the value in quotes"]),
        ("version: \"1.0\"\ndaemons: {b: {}}\n\0\0\0", &["3:1 torn"]),
        ("daemons: \u{1b}[31m", &["1:10 U+001B"]),
        ("- a\n- b\n", &["1:1 expected a mapping with keys such as `daemons`"]),
        ("hello", &["1:1 found the text `hello`"]),
        ("null", &["1:1 found nothing"]),
    ]);
}

#[test]
fn only_plain_data_comes_in() {
    all(&[
        (
            "services: {a: !!python/object/apply:os.system [ls]}",
            &["1:15 the tag `!!python/object/apply:os.system` is not allowed"],
        ),
        ("daemons: {a: {host: !env HOST}}", &["1:21 the tag `!env`"]),
        ("daemons: !!set {a, b}", &["1:10 the tag `!!set`"]),
        ("daemons: {a: {host: !!binary aGk=}}", &["1:21 the tag `!!binary`"]),
        ("%TAG !e! tag:x,1:\n---\ndaemons: {a: !e!b {}}", &["3:14 the tag `!e!b`"]),
        ("daemons: {a: {host: !<tag:x> b}}", &["1:21 the tag `!<tag:x>`"]),
        ("daemons: {a: {port: !!int x}}", &["1:27 `x` is not what its tag says"]),
        ("daemons: {a: !!seq {}}", &["1:14 the tag `!!seq`"]),
        ("daemons: {a: *x}", &["1:14 no anchor before it has the name of the alias `x`"]),
        ("daemons: {a: &x [*x]}", &["1:17 found a list", "1:18 stands inside what it stands for"]),
        ("daemons: {a: &x {}, b: {<<: *x}}", &["1:25 merge keys (`<<`) are not supported"]),
        ("daemons: {[a]: {}}", &["1:11 a list or a mapping cannot be a key"]),
        ("daemons: {{a: b}: {}}", &["1:11 a list or a mapping cannot be a key"]),
        ("daemons: {a: {}, b: {}, a: {}}", &["1:25 `a` is there twice (the first is at 1:11)"]),
        (
            "daemons:\n  a:\n    port: 1\n    host: x\n    \"port\": 2\n",
            &["5:5 daemons.a: the key `port` is there twice (the first is at 3:5)"],
        ),
        ("daemons: {}\ndaemons: {}\n", &["2:1 `daemons` is there twice (the first is at 1:1)"]),
    ]);
}

#[test]
fn unknown_keys_are_problems_with_the_nearest_known_one() {
    all(&[
        ("daemon: {}", &["1:1 daemon: unknown key `daemon` (write `daemons`)"]),
        ("serivces: {}", &["1:1 did you mean `services`?"]),
        ("x-anchors: {}", &["1:1 its keys are `version`, `nameservers`"]),
        ("port: 1", &["1:1 `port` is a key of a daemon"]),
        (
            "nameservers: {n: {port: 1}}",
            &["1:19 nameservers.n.port: a nameserver has no key `port` (write `ns_port`)"],
        ),
        ("nameservers: {n: {ns_prot: 1}}", &["1:19 did you mean `ns_port`?"]),
        (
            "daemons: {d: {hots: x}}",
            &["1:15 daemons.d.hots: a daemon has no key `hots` (did you mean `host`?)"],
        ),
        ("daemons: {d: {HOST: x}}", &["1:15 did you mean `host`?"]),
        ("daemons: {d: {threadpool-size: 3}}", &["1:15 did you mean `threadpool_size`?"]),
        ("daemons: {d: {THREADPOOL_SIZE: 3}}", &["1:15 did you mean `threadpool_size`?"]),
        ("daemons: {d: {instancemode: single}}", &["1:15 `instancemode` is a key of a service"]),
        ("daemons: {d: {colour: red}}", &["1:15 its keys are `module`, `classname`"]),
        ("daemons: {d: {auto: 1}}", &["1:15 no key `auto`"]),
        (
            "daemons: {d: {}}\nservices: {s: {module: m, classname: C, server: d}}",
            &[
                "2:12 the daemon `default`, which it has because no `daemon` is given, is not defined",
                "2:41 (write `daemon`)",
            ],
        ),
        ("autolaunch: {daemon: [x]}", &["1:14 autolaunch.daemon: `autolaunch` has no key"]),
        ("python: {interpreter: x}", &["1:10 (write `executable`)"]),
    ]);
}

#[test]
fn values_have_their_types() {
    all(&[
        ("version: 2.0", &["1:10 version: version `2.0` of the format is not known"]),
        ("version: true", &["1:10 found `true`"]),
        ("version: one", &["1:10 `one`"]),
        ("daemons:", &["1:1 expected a mapping from names to daemons, found nothing (write `{}`"]),
        ("daemons: [a]", &["1:10 found a list"]),
        (
            "daemons: {d: }",
            &["1:11 daemons.d: expected a mapping with keys of a daemon, found nothing"],
        ),
        ("daemons: {d: host:localhost}", &["1:14 (write a space after the colon)"]),
        (
            "daemons: {d: {port: abc}}",
            &[
                "1:21 daemons.d.port: expected a port number from 0 to 65535, found the text `abc` (for example `port: 9100`)",
            ],
        ),
        ("daemons: {d: {port: 65536}}", &["1:21 found the number 65536"]),
        ("daemons: {d: {port: -1}}", &["1:21 found the number -1"]),
        ("daemons: {d: {port: 1.5}}", &["1:21 found the number 1.5"]),
        ("daemons: {d: {port: yes}}", &["1:21 found `yes` (that is, true)"]),
        ("daemons: {d: {port: [1]}}", &["1:21 found a list"]),
        ("daemons: {d: {port: null}}", &["1:21 found nothing"]),
        ("daemons: {d: {natport: null}}", &["1:24 found nothing"]),
        (
            "daemons: {d: {port: 99999999999999999999999}}",
            &["1:21 found the number 99999999999999999999999"],
        ),
        ("daemons: {d: {host: no}}", &["1:21 found `no` (that is, false) (write \"no\" in quotes"]),
        ("daemons: {d: {host: null}}", &["1:21 expected a host name or an address, found nothing"]),
        ("daemons: {d: {host: }}", &["1:15 (write one, as in `host: localhost`)"]),
        ("daemons: {d: {host: ''}}", &["1:21 it is empty"]),
        ("daemons: {d: {host: \"lab pc\"}}", &["1:21 characters in it that no host name has"]),
        (
            "daemons: {d: {host: localhost:9100}}",
            &["1:21 (write `localhost` here and 9100 under the key of the port)"],
        ),
        (
            "daemons: {d: {servertype: threaded}}",
            &[
                "1:27 expected `thread` or `multiplex`, found the text `threaded` (did you mean `thread`?)",
            ],
        ),
        ("daemons: {d: {servertype: Thread}}", &["1:27 did you mean `thread`?"]),
        ("daemons: {d: {servertype: fork}}", &["1:27 for example `servertype: thread`"]),
        ("daemons: {d: {nameservers: n}}", &["1:28 (write a list: `nameservers: [n]`)"]),
        ("daemons: {d: {nameservers: null}}", &["1:28 (write `[]`, or remove the key)"]),
        (
            "daemons: {d: {nameservers: [[n]]}}",
            &["1:29 daemons.d.nameservers[0]: expected a text, found a list"],
        ),
        ("daemons: {d: {unixsocket: \"a:b\"}}", &["1:27 in a URI it can have no `:`"]),
        (
            "daemons: {d: {max_message_size: 64 MiB}}",
            &["1:33 expected a number of bytes from 1024"],
        ),
        (
            "daemons: {d: {commtimeout: 5x}}",
            &["1:28 expected a number of seconds, or 0 for none; a unit may follow"],
        ),
        ("daemons: {d: {commtimeout: -1}}", &["1:28 found the number -1"]),
        ("daemons: {d: {commtimeout: .inf}}", &["1:28 found the number .inf"]),
        ("daemons: {d: {threadpool_size: 0}}", &["1:32 expected a number of connections from 1"]),
        (
            "daemons: {d: {threadpool_size: 2, threadpool_size_min: 3}}",
            &[
                "1:56 daemons.d.threadpool_size_min: 3 is more than `threadpool_size`, which is 2 (write at most 2",
            ],
        ),
        (
            "daemons: {d: {threadpool_size_min: 81}}",
            &["1:36 81 is more than `threadpool_size`, which is 80"],
        ),
        (
            "daemons: {d: {module: my.server, classname: Daemon}}",
            &["1:23 the module `my.server` has no daemon class: the daemon is Ferrolab itself"],
        ),
        ("daemons: {d: {classname: LockableDeamon}}", &["1:26 (did you mean `LockableDaemon`?)"]),
        (
            "nameservers: {n: {broadcast: maybe}}",
            &["1:30 expected `true` or `false`, found the text `maybe`"],
        ),
        (
            "daemons: {d: {nameservers: [yes]}}",
            &["1:29 (write \"yes\" in quotes to mean the text)"],
        ),
        ("nameservers: {n: {ns_autoclean: often}}", &["1:33 expected a number of seconds"]),
        ("nameservers: {n: {ns_autoclean: 2.9}}", &["1:33 (write 3 or more, or 0 for never)"]),
        (
            "nameservers: {n: {storage: dbm}}",
            &["1:28 (dbm keeps no metadata and is not supported: write `storage: sql`)"],
        ),
        ("nameservers: {n: {storage: \"dbm:/x\"}}", &["1:28 write `storage: sql`"]),
        (
            "nameservers: {n: {storage: sqlite}}",
            &["1:28 expected `memory`, `sql`, `sql:FILE` or `etcd`, found the text `sqlite`"],
        ),
        ("nameservers: {n: {storage: \"sql:\"}}", &["1:28 write the file after `sql:`"]),
        ("nameservers: {n: {storage: 5}}", &["1:28 found the number 5"]),
        ("autolaunch: [x]", &["1:13 expected a mapping with keys of `autolaunch`, found a list"]),
        ("python: {path: /opt/lab}", &["1:16 (write a list: `path: [/opt/lab]`)"]),
        (
            "python: {env: [A=1]}",
            &["1:15 expected a mapping from variables to texts, found a list"],
        ),
        (
            "python: {env: {A: true, 1B: x}}",
            &[
                "1:19 (write \"true\" in quotes to mean the text)",
                "1:25 `1B` cannot be the name of a variable",
            ],
        ),
    ]);
}

/// A service with these keys in a daemon that is there.
fn service(keys: &str) -> String {
    format!("daemons: {{default: {{}}}}\nservices:\n  s: {{module: m, classname: C, {keys}}}\n")
}

#[test]
fn services_are_checked_key_by_key() {
    let cases: &[Case] = &[
        ("instancemode: singel", &["3:46 (did you mean `single`?)"]),
        ("instancemode: 5", &["3:46 found the number 5"]),
        (
            "parameters: [{serialno: 27003366}]",
            &[
                "3:44 services.s.parameters: expected a mapping from parameters to values, found a list (write the keys without dashes: `{serialno: 27003366}`)",
            ],
        ),
        ("parameters: []", &["3:44 (write `{key: value}`, or `{}` for none)"]),
        ("parameters: COM4", &["3:44 found the text `COM4`"]),
        ("parameters: null", &["3:44 found nothing"]),
        (
            "parameters: {1: a}",
            &["3:45 expected a text as the key, found `1` (write \"1\" in quotes)"],
        ),
        (
            "parameters: {a: {yes: b}}",
            &["3:49 services.s.parameters.a: expected a text as the key, found `yes`"],
        ),
        (
            "parameters: {a: [2024-02-30]}",
            &["3:49 services.s.parameters.a[0]: `2024-02-30` is a date that does not exist"],
        ),
        ("parameters: {auto: 1, auto: 2}", &["3:54 `auto` is there twice"]),
        (
            "arguments: 5",
            &["3:43 expected a list of arguments or a mapping of keyword ones, found the number 5"],
        ),
        ("expose: everything", &["3:40 (write `expose: all` or `expose: [everything]`)"]),
        ("expose: true", &["3:40 expected `all` or a list of members, found `true`"]),
        ("expose: [a.b]", &["3:41 `a.b` is not a name in Python"]),
        ("isolate: 2", &["3:41 expected `true` or `false`"]),
        ("watchdog: 0", &["3:42 expected a number of seconds greater than 0"]),
        ("watchdog: soon", &["3:42 found the text `soon`"]),
        ("lock_max_wait: .inf", &["3:47 expected a number of seconds, or 0 for none"]),
        ("on_disconnect: off", &["3:47 found `off` (that is, false)"]),
        ("on_disconnect: [~]", &["3:48 `~` is not a name in Python"]),
        ("read_while_locked: status", &["3:51 (write a list: `read_while_locked: [status]`)"]),
        ("description: [a]", &["3:45 expected a text, found a list"]),
        (
            "native: demo.clock",
            &[
                "3:32 services.s: a built-in service has no `module` and `classname` (the other is at 3:7)",
            ],
        ),
        ("python: {executable: ''}", &["3:53 it is empty"]),
        ("daemon: ''", &["3:40 the daemon `` is not defined"]),
        ("daemon: 5", &["3:40 the daemon `5` is not defined"]),
        ("daemon: null", &["3:40 found nothing"]),
    ];
    for (keys, expected) in cases {
        check(&service(keys), expected);
    }
    all(&[
        (
            "daemons: {default: {}}\nservices: {s: {module: m}}",
            &["2:12 services.s: a service needs `classname`"],
        ),
        (
            "daemons: {default: {}}\nservices: {s: {}}",
            &["2:12 a service needs `module` and `classname` (write `module: MODULE`"],
        ),
        (
            "daemons: {default: {}}\nservices: {s: {module: null, classname: C}}",
            &["2:12 a service needs `module`"],
        ),
        (
            "daemons: {default: {}}\nservices: {s: {module: drivers/laser.py, classname: a.B}}",
            &[
                "2:24 (write `drivers.laser`, and its directory under",
                "2:53 `a.B` is not a name in Python",
            ],
        ),
        (
            "daemons: {default: {}}\nservices: {s: {native: demo.clok}}",
            &[
                "2:24 services.s.native: there is no built-in service `demo.clok` (did you mean `demo.clock`?)",
            ],
        ),
    ]);
}

#[test]
fn names_fit_into_a_uri() {
    all(&[
        (
            "daemons: {my bench: {}}",
            &["1:11 `my bench` cannot be the name of a daemon: a name in a URI has no spaces"],
        ),
        ("daemons: {a@b: {}}", &["1:11 (write `a_b`)"]),
        ("daemons: {'': {}}", &["1:11 it is empty"]),
        ("daemons: {yes: {}}", &["1:11 `yes` is not text (write \"yes\" in quotes)"]),
        ("daemons: {~: {}}", &["1:11 `~` is not text"]),
        ("daemons: {\"a\\tb\": {}}", &["1:11 no control characters"]),
        ("nameservers: {a b: {}}", &["1:15 cannot be the name of a nameserver"]),
        ("daemons: {Pyro.Daemon: {}}", &["1:11 Pyro needs that name for itself"]),
        (
            "daemons: {default: {}}\nservices: {Pyro.NameServer: {module: m, classname: C}}",
            &["2:12 cannot be the name of a service: Pyro needs that name for itself"],
        ),
        (
            "daemons: {auto x: {}}",
            &["1:11 `auto x` does not say how many words (write `auto`, or `auto N`"],
        ),
        ("daemons: {auto 99: {}}", &["1:11 a number from 1 to 8"]),
    ]);
}

#[test]
fn references_lead_somewhere() {
    all(&[
        (
            LAB_WITH_WRONG_NAMES,
            &[
                "3:25 daemons.bench.nameservers[0]: the nameserver `locla` is not defined (did you mean `local`?)",
                "5:40 services.s.daemon: the daemon `bensch` is not defined (did you mean `bench`?)",
                "5:69 services.s.nameservers[1]: the nameserver `x` is not defined (the nameservers are `local`)",
                "6:28 autolaunch.nameservers[0]: the nameserver `lcoal` is not defined",
                "6:46 autolaunch.daemons[0]: the daemon `nobody` is not defined (the daemons are `bench`)",
            ],
        ),
        (
            "services: {s: {module: m, classname: C}}",
            &["1:12 there are no daemons: define `default` under `daemons`"],
        ),
        // A default that replaces a wrong value causes no further problems.
        ("nameservers: 5\ndaemons: {d: {nameservers: [n]}}", &["1:14 found the number 5"]),
        (
            "daemons: {d: []}\nservices: {s: {module: m, classname: C, daemon: d}, t: 5}",
            &["1:14 found a list", "2:56 found the number 5"],
        ),
        (
            "daemons: {d: {}}\nservices: {s: {module: m, classname: C, daemon: [d]}}",
            &["2:49 expected a text, found a list"],
        ),
    ]);
}

const LAB_WITH_WRONG_NAMES: &str = "nameservers: {local: {}}
daemons:
  bench: {nameservers: [locla]}
services:
  s: {module: m, classname: C, daemon: bensch, nameservers: [local, x]}
autolaunch: {nameservers: [lcoal], daemons: [nobody]}
";

#[test]
fn nameservers_do_not_share_a_port() {
    all(&[
        (
            "nameservers:\n  a: {}\n  b: {host: 127.0.0.1}\n",
            &["3:3 nameservers.b: two nameservers on port 9090 of one host (the first is at 2:3)"],
        ),
        ("nameservers:\n  a: {host: public}\n  b: {host: 0.0.0.0}\n", &["3:3 two nameservers"]),
        ("nameservers:\n  a: {host: 0.0.0.0}\n  b: {}\n", &["3:3 two nameservers"]),
        ("nameservers:\n  a: {host: lab.x}\n  b: {host: LAB.x}\n", &["3:3 two nameservers"]),
        ("nameservers:\n  a: {host: 0.0.0.0}\n  b: {host: lab.x}\n  c: {ns_port: 1}\n", &[]),
        ("nameservers:\n  a: {host: public}\n  b: {}\n", &["3:3 localhost's included"]),
        ("nameservers:\n  a: {host: public}\n  b: {ns_port: 9089}\n", &[]),
    ]);
}

#[test]
fn an_alias_leads_to_each_problem_once() {
    check(
        "daemons:\n  a: &d {prt: 1, host: [x]}\n  b: *d\n  c: *d\n",
        &["2:10 did you mean `port`?", "2:24 found a list"],
    );
    // But a value in the wrong place is wrong where it is put.
    check("daemons:\n  a: {host: &h x}\n  b: {port: *h}\n", &["3:13 found the text `x`"]);
}

#[test]
fn every_problem_is_told_at_once() {
    check(
        "version: 3
nameservers:
  local: {host: localhost, ns_port: ninety}
daemons:
  bench: {hots: localhost, servertype: tread, nameservers: [locl]}
services:
  lab.laser:
    module: !!python/name:os.system
    classname: Laser
    daemon: bensh
    parameters: {when: 2024-01-32}
  lab.laser: {}
extra: 1
",
        &[
            "1:10 version `3`",
            "3:37 expected a port number",
            "5:11 did you mean `host`?",
            "5:40 did you mean `thread`?",
            "5:61 did you mean `local`?",
            "8:13 is not allowed",
            "10:13 did you mean `bench`?",
            "11:24 is a date",
            "12:3 is there twice",
            "13:1 unknown key `extra`",
        ],
    );
}

#[test]
fn what_is_odd_but_harmless_is_a_warning() {
    let cases: &[Case] = &[
        ("daemons: {d: {}}", &["1:11 daemons.d: no service is hosted by it"]),
        ("nameservers: {n: {broadcast: true}}", &["1:19 other hosts cannot reach"]),
        ("nameservers: {n: {broadcast: true, host: public}}", &[]),
        ("nameservers: {n: {ns_port: 0}}", &["1:28 nobody knows where to find it"]),
        ("version: 1.3", &["1:10 version 1.3 is newer than 1.0"]),
        (
            "autolaunch: {nameservers: [n, n]}\nnameservers: {n: {}}",
            &["1:31 `n` is in the list twice"],
        ),
    ];
    for (text, expected) in cases {
        check_warnings(text, expected);
    }
    let odd = |daemon: &str, keys: &str| {
        let keys = match keys.contains("instancemode") {
            true => keys.to_owned(),
            false => format!("{keys}, instancemode: session"),
        };
        format!(
            "nameservers: {{n: {{}}, far: {{host: far.example}}}}\ndaemons: {{default: {{{daemon}}}}}\n\
             services:\n  s: {{module: m, classname: C, {keys}}}\nautolaunch: {{daemons: [default]}}\n"
        )
    };
    let cases: &[(&str, &str, &[&str])] = &[
        ("natport: 5", "isolate: no", &["2:11 `natport` has no effect without `nathost`"]),
        ("", "nameservers: [far]", &[]),
        (
            "",
            "nameservers: [n]",
            &["5:24 but the nameserver `n` that it registers with does not (add `n`"],
        ),
        ("nameservers: [n]", "isolate: no", &["5:24 the nameserver `n`"]),
        ("", "read_while_locked: [status]", &["4:32 its daemon `default` has no locks"]),
        ("classname: LockableDaemon", "read_while_locked: [status]", &[]),
        ("", "on_disconnect: [x], instancemode: single", &["4:32 left by nobody while its daemon"]),
        ("", "on_disconnect: [x], instancemode: session", &[]),
        ("classname: LockableDaemon", "on_disconnect: [x], instancemode: single", &[]),
        (
            "classname: LockableDaemon",
            "on_disconnect: [x], instancemode: percall",
            &["4:32 an instance that lives for one call"],
        ),
        ("", "abort: [x], instancemode: percall", &["4:32 it is never called"]),
        ("", "abort: [x], instancemode: single", &[]),
        ("", "parameters: {rate: 1e6}", &["4:51 `1e6` is read as text, not as a number"]),
        ("", "parameters: {serial: 0012}", &["4:53 `0012` is read as an octal number, 10"]),
        ("", "parameters: {at: [12:30]}", &["4:50 `12:30` is read in base 60, as 750"]),
        ("", "parameters: {a: \"1e6\", b: 1.0e+6, c: COM4, d: 10.0.0.1}", &[]),
    ];
    for (daemon, keys, expected) in cases {
        check_warnings(&odd(daemon, keys), expected);
    }
}
