//! Valid files, ours and PyroLab's, and the configurations that they load as.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::address::Host;
use super::super::schema::{SECTIONS, Section};
use super::*;

#[test]
fn a_lab_loads() {
    let lab = right(LAB);
    assert_eq!(lab.version, "1.0");
    assert_eq!(lab.nameserver("local").unwrap().port, 9090);
    let bench = lab.daemon("bench").unwrap();
    assert_eq!((bench.class, bench.servertype), (DaemonClass::Plain, ServerType::Thread));
    assert_eq!((bench.threadpool_size, bench.threadpool_size_min), (80, 4));
    assert_eq!((bench.max_message_size, bench.commtimeout), (64 << 20, None));
    let laser = lab.service("lab.laser").unwrap();
    assert_eq!(laser.instancemode, InstanceMode::Single);
    assert_eq!(laser.parameters.get("port").unwrap(), &Data::Int(12345));
    assert_eq!(laser.parameters.get("address").unwrap().as_str(), Some("here"));
    let (module, classname) = ("pyrolab.drivers.sample", "SampleAutoconnectInstrument");
    let classname = Some(classname.to_owned());
    let target = Target::Python { module: module.into(), classname };
    assert_eq!(laser.target, target);
    let names: Vec<&str> = lab.services_of("bench").map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["lab.sample", "lab.shared", "lab.laser"]);
    assert_eq!(lab.autolaunch.daemons, ["bench"]);
    check_warnings(LAB, &[]);
}

/// The examples in PyroLab's documentation, completed to whole files; one of them PyroLab 0.5
/// refuses as we do (see `broken`): parameters as a list.
#[test]
fn pyrolabs_examples_load() {
    let lab = right(
        "
nameservers:
    production:
        host: localhost
        ns_port: 9090
        ns_autoclean: 0.0
        storage: memory
    campus:
        host: public
        ns_port: 9100
        broadcast: false
        ns_bchost: null
        ns_bcport: 9091
        ns_autoclean: 15.0
        storage: sql
daemons:
    lockable:
        classname: LockableDaemon
        host: public
        servertype: thread
        nameservers:
            - production
    multiplexed:
        host: public
        servertype: multiplex
services:
    asgard.wolverine:
        module: pyrolab.drivers.motion.prm1z8
        classname: PRM1Z8
        parameters:
            serialno: 27003366
        description: Rotational motion
        instancemode: single
        daemon: lockable
        nameservers:
            - production
",
    );
    let campus = lab.nameserver("campus").unwrap();
    assert_eq!(campus.host, Host::Public);
    assert_eq!(
        (campus.autoclean, &campus.storage),
        (Some(Duration::from_secs(15)), &Storage::Sql(None))
    );
    assert_eq!(lab.nameserver("production").unwrap().autoclean, None);
    assert_eq!(lab.daemon("lockable").unwrap().class, DaemonClass::Lockable);
    assert_eq!(lab.daemon("multiplexed").unwrap().servertype, ServerType::Multiplex);
}

/// The output of `pyrolab config export`: every key, block style, nulls.
#[test]
fn pyrolabs_own_export_loads() {
    let lab = right(
        "version: '1.0'
nameservers:
  ns0:
    host: localhost
    ns_port: 9090
    broadcast: true
    ns_bchost: null
    ns_bcport: 9091
    ns_autoclean: 0.0
    storage: sql:/var/lib/ns.sql
daemons:
  default:
    module: pyrolab.server
    classname: Daemon
    host: localhost
    port: 0
    unixsocket: null
    nathost: null
    natport: 0
    servertype: thread
    nameservers: []
services:
  lab.s0:
    module: a.b
    classname: C
    parameters:
      rate: 1.0e-06
      limit: .inf
      big: 1000000000000000000000000000000
      nested:
        'yes': null
        list:
        - 1
        - 'two'
    description: ''
    instancemode: session
    daemon: default
    nameservers:
    - ns0
autolaunch:
  nameservers:
  - ns0
  daemons:
  - default
",
    );
    let parameters = &lab.services[0].parameters;
    assert_eq!(parameters.get("rate"), Some(&Data::Float(1e-6)));
    assert_eq!(parameters.get("limit"), Some(&Data::Float(f64::INFINITY)));
    assert_eq!(parameters.get("nested").unwrap().get("yes"), Some(&Data::Null));
    assert_eq!(lab.nameservers[0].storage, Storage::Sql(Some("/var/lib/ns.sql".into())));
}

#[test]
fn values_may_be_written_as_pyrolab_accepts_them() {
    let lab = right(
        "version: 1
nameservers: {n: {ns_port: '9090', ns_bcport: 9091.0, broadcast: 'Yes', ns_autoclean: '3.5'}}
daemons:
  a: &a {host: 5}
  b: *a
  c: {port: ' 7 ', servertype: 'multiplex', unixsocket: ~}
  010: {threadpool_size: 2, port: 0x10}
services:
  s: {module: 'm', \"classname\": C, description: 1.10, daemon: 010, ? parameters : {? a : b}}
",
    );
    let nameserver = &lab.nameservers[0];
    assert_eq!(
        (nameserver.port, nameserver.broadcast_port, nameserver.broadcast),
        (9090, 9091, true)
    );
    assert_eq!(nameserver.autoclean, Some(Duration::from_millis(3500)));
    assert_eq!(lab.daemon("010").unwrap().port, 16);
    assert_eq!(lab.daemon("b").unwrap().host, Host::Named("5".into()));
    assert_eq!(lab.daemon("c").unwrap().port, 7);
    assert_eq!(lab.daemon("010").unwrap().threadpool_size_min, 2);
    assert_eq!(lab.service("s").unwrap().description, "1.10");
}

#[test]
fn an_empty_mapping_is_a_configuration() {
    for text in ["{}", "---\n{}\n...\n", "\u{feff}{}", "version: \"1.0\""] {
        let nothing = right(text);
        assert!(nothing.services.is_empty() && nothing.daemons.is_empty(), "{text}");
    }
}

#[test]
fn names_for_auto_stay_and_differ() {
    let text = |comment: &str| {
        format!(
            "{comment}\ndaemons: {{default: {{}}}}\nservices:\n  auto: {{module: a, classname: A}}\n  \
             lab.x: {{module: a, classname: A}}\n  auto: {{module: b, classname: B}}\n  \
             auto 2: {{module: c, classname: C}}\n"
        )
    };
    let names = |text: &str, host: &str| -> Vec<String> {
        let surroundings = Surroundings { host: host.into(), ..Surroundings::default() };
        let (lab, _) = Configuration::parse("x", text.as_bytes(), &surroundings).unwrap();
        lab.services.iter().map(|service| service.name.clone()).collect()
    };
    let first = names(&text(""), "lab1");
    assert_eq!(first, names(&text("# edited"), "lab1"));
    assert_eq!(first[1], "lab.x");
    assert_eq!(first[3].split('-').count(), 2);
    assert_ne!(first[0], first[2]);
    assert_ne!(first, names(&text(""), "lab2"));
}

#[test]
fn our_own_keys_load() {
    let lab = right(
        "python: {executable: python3.12, path: [/a, /b], env: {A: file, B: file}}
daemons:
  default: {python: {executable: /venv/bin/python, env: {B: daemon, C: 3}}}
services:
  clock: {native: demo.clock, parameters: {rate: 5}}
  laser:
    module: laser
    classname: Laser
    arguments: [1, two]
    expose: all
    isolate: true
    watchdog: 2.5
    read_while_locked: [status]
    abort: [stop]
    on_disconnect: [off, close_shutter]
    lock_max_wait: 0
    lock_idle: 90s
    python: {path: [/c, /a], env: {C: service}}
  other: {module: m, classname: C, arguments: {x: 1}, expose: [read, write]}
",
    );
    assert_eq!(lab.service("clock").unwrap().target, Target::Native("demo.clock".into()));
    let laser = lab.service("laser").unwrap();
    assert_eq!(laser.arguments, Arguments::Positional(vec![Data::Int(1), "two".into()]));
    assert_eq!((&laser.expose, laser.isolate), (&Expose::All, true));
    assert_eq!(laser.watchdog, Some(Duration::from_millis(2500)));
    assert_eq!(laser.abort, ["stop"]);
    assert_eq!(laser.on_disconnect, ["off", "close_shutter"]);
    let day = Some(Duration::from_secs(86_400));
    assert_eq!((laser.lock_max_wait, laser.lock_max_ttl), (None, day));
    assert_eq!(laser.lock_idle, Some(Duration::from_secs(90)));
    let other = lab.service("other").unwrap();
    assert_eq!(other.lock_idle, None);
    assert_eq!(other.expose, Expose::Names(vec!["read".into(), "write".into()]));
    assert_eq!(other.arguments, Arguments::Keyword(Data::Map(vec![("x".into(), Data::Int(1))])));

    let python = lab.python_for(laser);
    assert_eq!(python.executable.as_deref(), Some(Path::new("/venv/bin/python")));
    assert_eq!(python.path, ["/c", "/a", "/b"].map(PathBuf::from));
    let env = [("A", "file"), ("B", "daemon"), ("C", "service")];
    assert_eq!(python.env, BTreeMap::from(env.map(|(name, value)| (name.into(), value.into()))));
}

#[test]
fn a_daemons_part_is_complete_and_survives_json() {
    let text = LAB.replace("daemons:\n", "python: {path: [/x]}\ndaemons:\n  idle: {}\n");
    let text = text.replace("address: \"here\"", "address: .nan, big: 123456789012345678901");
    let lab = right(&text);
    let part = lab.part_of("bench").unwrap();
    assert_eq!(part.services.len(), 3);
    assert_eq!(part.services[0].python.path, [PathBuf::from("/x")]);
    assert_eq!(part.nameservers, lab.nameservers);
    assert_eq!(lab.part_of("idle").unwrap().nameservers, []);
    assert!(lab.part_of("nobody").is_none());

    let line = serde_json::to_string(&part).unwrap();
    assert!(!line.contains('\n'));
    assert_eq!(serde_json::from_str::<DaemonPart>(&line).unwrap(), part);
    let all = serde_json::to_string(&lab).unwrap();
    assert_eq!(serde_json::from_str::<Configuration>(&all).unwrap(), lab);
}

#[test]
fn relative_paths_are_taken_from_a_folder() {
    let text = "python: {executable: python3, path: [drivers, ~/lab]}
nameservers: {n: {storage: sql:names.sql}}
daemons: {d: {unixsocket: d.sock, python: {executable: venv/bin/python}}}
";
    let mut lab = right(text);
    lab.rebase(Path::new("/lab"), Some(Path::new("/home/ada")));
    let at = |name: &str| Path::new("/lab").join(name);
    assert_eq!(lab.python.executable.as_deref(), Some(Path::new("python3")));
    assert_eq!(lab.python.path[0], at("drivers"));
    assert_eq!(lab.python.path[1], Path::new("/home/ada/lab"));
    assert_eq!(lab.nameservers[0].storage, Storage::Sql(Some(at("names.sql"))));
    assert_eq!(lab.daemons[0].unixsocket, Some(at("d.sock")));
    assert_eq!(lab.daemons[0].python.executable, Some(at("venv/bin/python")));
}

/// A file with the tested key of a section and the other keys that the section needs.
fn with(section: &Section, key: &str, value: &str) -> String {
    let rest = "daemons: {bench: {}, default: {}}\nnameservers: {local: {}}\n";
    let pair = format!("{key}: {value}");
    let needed = match (section.key, key) {
        ("", "daemons") => return format!("nameservers: {{local: {{}}}}\n{pair}\n"),
        ("", "nameservers") => return format!("{pair}\n"),
        ("", "push") => return format!("{rest}history: {{}}\n{pair}\n"),
        ("", _) => return format!("{rest}{pair}\n"),
        ("autolaunch" | "history" | "python", _) => {
            return format!("{rest}{}: {{{pair}}}\n", section.key);
        }
        ("web", _) => {
            let needed = needed_for_tls(key, value);
            return format!("{rest}web: {{{needed}{pair}}}\n");
        }
        ("labs", _) => {
            let needed = match (key, value) {
                (_, "null") => "",
                ("ssl_cacerts" | "ssl_clientcert", _) => "ssl: true, ",
                ("ssl_clientkey", _) => "ssl: true, ssl_clientcert: a.pem, ",
                _ => "",
            };
            return format!("{rest}labs: {{x: {{{needed}{pair}}}}}\n");
        }
        ("supervision", _) => {
            return format!("daemons: {{default: {{}}, x: {{supervision: {{{pair}}}}}}}\n");
        }
        ("health", key) => {
            // A check without a method is no check.
            let (method, pair) = match (key, value) {
                ("method", "null") => ("method: m", ""),
                ("method", _) => ("", pair.as_str()),
                _ => ("method: m", pair.as_str()),
            };
            let health = format!("health: {{{method}, {pair}}}").replace("{, ", "{");
            return format!("{rest}services: {{x: {{native: demo.clock, {health}}}}}\n");
        }
        ("access", "grants") if value != "[]" => {
            return format!("{rest}access: {{groups: {{optics: [ada]}}, {pair}}}\n");
        }
        ("access", _) => return format!("{rest}access: {{{pair}}}\n"),
        ("grants", _) => {
            let grant = match (key, value) {
                ("who", "[]") => "who: ada, role: view".to_owned(),
                ("who", _) => format!("{pair}, role: view"),
                ("role", _) => format!("who: ada, {pair}"),
                _ => format!("who: ada, role: view, {pair}"),
            };
            let groups = "groups: {optics: [ada]}";
            return format!("{rest}access: {{{groups}, grants: [{{{grant}}}]}}\n");
        }
        ("notify", _) => return format!("{rest}notify: {{{pair}}}\n"),
        ("portable", _) => return format!("{rest}portable: {{{pair}}}\n"),
        ("packages", _) => return format!("{rest}portable: {{packages: [{{{pair}}}]}}\n"),
        ("alarm", key) => {
            let needed = match key {
                "no_data" | "latch" | "hysteresis" => "above: 999",
                _ => "no_data: 1s",
            };
            let member = format!("{{x: {{alarm: {{{needed}, {pair}}}}}}}");
            return format!(
                "{rest}services: {{x: {{module: m, classname: C, members: {member}}}}}\n"
            );
        }
        // An empty address is refused.
        ("push", "url") if value == "\"\"" => return rest.to_owned(),
        ("push", "url") => return format!("{rest}history: {{}}\npush: {{{pair}}}\n"),
        ("push", _) => {
            return format!("{rest}history: {{}}\npush: {{url: \"http://h\", {pair}}}\n");
        }
        ("daemons" | "nameservers", _) => {
            let local = "nameservers: {local: {}}";
            let needed = needed_for_tls(key, value);
            return match section.key {
                "nameservers" => format!("nameservers: {{x: {{{needed}{pair}}}}}\n"),
                _ => format!("{local}\ndaemons: {{default: {{}}, x: {{{needed}{pair}}}}}\n"),
            };
        }
        ("etcd", _) => return format!("nameservers: {{x: {{etcd: {{{pair}}}}}}}\n"),
        ("members", _) => {
            let service = "module: m, classname: C, instancemode: single, members";
            return format!("{rest}services: {{x: {{{service}: {{x: {{{pair}}}}}}}}}\n");
        }
        ("arguments", _) => {
            let service = "module: m, classname: C, members";
            let member = format!("{{x: {{arguments: {{x: {{{pair}}}}}}}}}");
            return format!("{rest}services: {{x: {{{service}: {member}}}}}\n");
        }
        ("simulate", _) => {
            let service = "module: m, classname: C, simulate";
            return format!("{rest}services: {{x: {{{service}: {{{pair}}}}}}}\n");
        }
        ("services", "module" | "classname") if value == "null" => "native: demo.clock, ",
        ("services", "native") if value != "null" => "",
        ("services", "module") => "classname: C, ",
        ("services", "classname") => "module: m, ",
        ("services", "simulated") => "module: m, classname: C, simulate: {classname: D}, ",
        ("services", "parts" | "start" | "health") => {
            "module: m, classname: C, instancemode: single, "
        }
        _ => "module: m, classname: C, ",
    };
    format!("{rest}services: {{x: {{{needed}{pair}}}}}\n")
}

/// Keys that a key of a port's TLS needs beside it.
fn needed_for_tls(key: &str, value: &str) -> &'static str {
    match (key, value) {
        (_, "null") => "",
        ("ssl_servercert", _) => "ssl: true, ",
        ("ssl_serverkey", _) => "ssl: true, ssl_servercert: a.pem, ",
        ("ssl_requireclientcert", "true") => "ssl: true, ",
        _ => "",
    }
}

#[test]
fn a_page_is_on_off_or_described() {
    let web = |text: &str| right(&format!("{LAB}{text}\n")).web.map(|web| (web.host, web.port));
    let local = |port| Some((Host::from("localhost".to_owned()), port));
    for (text, expected) in [
        ("", None),
        ("web: null", None),
        ("web: false", None),
        ("web: true", local(9092)),
        ("web: {}", local(9092)),
        ("web: {port: 0}", local(0)),
        ("web: {host: public}", Some((Host::Public, 9092))),
    ] {
        assert_eq!(web(text), expected, "{text}");
    }
}

/// The tables are the only place where a default is written, so they must be right.
#[test]
fn each_default_and_each_example_in_the_tables_is_accepted() {
    let natives = Surroundings { natives: None, users: None, ..surroundings() };
    for section in SECTIONS {
        assert!(section.doc.ends_with('.'), "{}", section.key);
        for field in section.fields {
            assert!(field.doc.ends_with('.'), "{}.{}", section.key, field.key);
            for value in [field.default, field.example] {
                let text = with(section, field.key, value);
                let result = Configuration::parse("table", text.as_bytes(), &natives);
                assert!(result.is_ok(), "{text}\n{}", result.unwrap_err().plain());
            }
            let written = with(section, field.key, field.default);
            let absent = with(section, "version", "1").replace(", version: 1", "");
            if !["", "services", "alarm", "push"].contains(&section.key) {
                let absent = absent.replace("version: 1", "");
                assert_eq!(right(&written), right(&absent), "{written}");
            }
        }
    }
}
