//! The portable form of a configuration: what it means, and what it leaves out.

use std::path::{Path, PathBuf};

use super::*;
use crate::{Folder, Portable, PortablePackages, portable, unfilled};

fn exported(text: &str) -> crate::PortableText {
    let folder =
        Folder { base: PathBuf::from("/home/ada/lab"), home: Some(PathBuf::from("/home/ada")) };
    portable("lab.yaml", text.as_bytes(), &Surroundings::default(), &folder).unwrap()
}

fn rebased(text: &str) -> Configuration {
    let mut configuration = right(text);
    configuration.rebase(Path::new("/home/ada/lab"), Some(Path::new("/home/ada")));
    configuration
}

const FULL: &str = r#"
# The password is hunter2.
version: "1.0"
nameservers:
  local: {host: public, ns_port: 9090, storage: sql:/home/ada/lab/names.db}
  elsewhere: {host: no-such-host.example, ns_port: 9190}
daemons:
  bench: &bench
    classname: LockableDaemon
    host: 127.0.0.1
    port: 9100
    nameservers: [local]
    python: {executable: /home/ada/lab/venv/bin/python, path: [/home/ada/lab/drivers, /home/ada/more, /opt/x, ../up], env: {A: "1", B: 'yes'}}
  other: {classname: LockableDaemon, host: 127.0.0.1, unixsocket: /home/ada/lab/other.sock}
services:
  lab.a:
    module: m
    classname: C
    daemon: bench
    description: |
      two
      lines
    parameters:
      {port: 5, text: "5", when: 2020-01-02, tiny: 1.0e-3, list: [1, [2, "x: y"], {a: b}], none: ~,
       odd: "a\u0085b\u2028c", "key with: colon": " # no comment", "": "...", float: !!float 1}
  lab.b: {module: m, classname: C, daemon: bench, arguments: [1, {deep: [[1, 2], [3]]}], members: {power: {unit: "%", choices: [1, "2", true]}}, tags: ["1e3", x]}
autolaunch: {nameservers: [local], daemons: [bench]}
"#;

#[test]
fn a_portable_file_means_the_same_lab() {
    let exported = exported(FULL);
    let text = exported.with_section(&Portable::default());
    let mut again = rebased(&text);
    assert_eq!(again.portable.take(), Some(Portable::default()), "{text}");
    assert_eq!(again, rebased(FULL), "{text}");
    for kept in ["venv/bin/python", "~/more", "/opt/x", "../up", "sql:names.db", "[drivers, "] {
        assert!(text.contains(kept), "{kept} in {text}");
    }
    assert!(!text.contains("/home/ada/lab") && !text.contains("hunter2"), "{text}");
    let keys = |rows: &[(String, String)]| {
        rows.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>()
    };
    let outside = ["~/more", "/opt/x", "../up"];
    let outside: Vec<String> = (1..)
        .zip(outside)
        .map(|(index, path)| format!("daemons.bench.python.path[{index}]={path}"))
        .collect();
    assert_eq!(keys(&exported.outside), outside);
    let of_host = [
        "nameservers.local.ns_port=9090",
        "daemons.bench.port=9100",
        "daemons.bench.python.executable=/home/ada/lab/venv/bin/python",
        "daemons.other.unixsocket=/home/ada/lab/other.sock",
    ];
    assert_eq!(keys(&exported.of_host), of_host);
    assert_eq!((exported.left_out, exported.shortened), (Vec::new(), Vec::new()));
}

#[test]
fn secrets_are_left_out_and_named() {
    let text = r#"
nameservers:
  shared:
    storage: etcd
    etcd: {endpoints: ["http://ada:SECRET@etcd1:2379"], user: SECRET, password: SECRET}
  tls: {ns_port: 9191, ssl: true, ssl_servercert: c.pem, ssl_serverkey: k.pem, ssl_serverkeypasswd: SECRET}
daemons: {bench: {python: {env: {API_TOKEN: SECRET, MODE: fast}}}}
services:
  lab.a: {module: m, classname: C, daemon: bench, parameters: {password: SECRET, url: "ftp://a:SECRET@h/x", page: "http://h/x?key=SECRET", nested: [{auth_token: SECRET}], host: h}}
push: [{url: "http://u:SECRET@h/write?u=a&p=SECRET", token: SECRET, headers: {X-Key: SECRET}}]
history: {}
notify: {url: "https://ntfy.sh/SECRET", headers: {Authorization: Bearer SECRET}, fields: {token: SECRET, topic: t}}
"#;
    let exported = exported(text);
    let all = exported.with_section(&Portable::default());
    assert!(!all.contains("SECRET"), "{all}");
    let left_out = [
        "nameservers.shared.etcd.user",
        "nameservers.shared.etcd.password",
        "nameservers.tls.ssl_serverkeypasswd",
        "daemons.bench.python.env.API_TOKEN",
        "services.lab.a.parameters.password",
        "services.lab.a.parameters.nested[0].auth_token",
        "push[0].token",
        "push[0].headers.X-Key",
        "notify.url",
        "notify.headers.Authorization",
        "notify.fields.token",
    ];
    assert_eq!(exported.left_out, left_out);
    let shortened = [
        "nameservers.shared.etcd.endpoints[0]",
        "services.lab.a.parameters.url",
        "services.lab.a.parameters.page",
        "push[0].url",
    ];
    assert_eq!(exported.shortened, shortened);
    let configuration = right(&all);
    assert_eq!(configuration.push[0].url.0, "http://h/write");
    assert_eq!(configuration.daemons[0].python.env.len(), 1);
    // All are missing until somebody fills them in.
    let left_out = exported.left_out;
    assert_eq!(unfilled(all.as_bytes(), &left_out), left_out);
    let filled = all.replace("password: null", "password: mine");
    assert_eq!(unfilled(filled.as_bytes(), &left_out).len(), left_out.len() - 2);
    assert_eq!(unfilled(text.as_bytes(), &left_out), Vec::<String>::new());
    // Also with a map or a list.
    for (value, missing) in [("{user: a}", 2), ("[1]", 2), ("{}", 0), ("[]", 0)] {
        let filled = all.replace("password: null", &format!("password: {value}"));
        let unfilled = unfilled(filled.as_bytes(), &left_out);
        assert_eq!(unfilled.len(), left_out.len() - missing, "{value}");
    }
}

#[test]
fn a_file_says_what_it_needs_and_the_next_export_says_it_anew() {
    let facts = Portable {
        host: Some("lab\npc".to_owned()),
        folder: Some("/home/ada/my lab".to_owned()),
        release: Some("0.1.0".to_owned()),
        left_out: vec!["push.token".to_owned()],
        shortened: vec!["push.url".to_owned()],
        packages: vec![PortablePackages {
            python: Some("/opt/venv/bin/python".to_owned()),
            version: Some("3.11".to_owned()),
            services: vec!["lab.a".to_owned(), "no".to_owned()],
            needs: vec!["pyserial==3.5".to_owned()],
        }],
    };
    let text = exported(LAB).with_section(&facts);
    assert_eq!(right(&text).portable, Some(facts), "{text}");
    assert!(!exported(&text).body.contains("portable"));
    for empty in ["{}\n", "portable: {left_out: [a.b]}\n"] {
        let text = exported(empty).with_section(&Portable::default());
        assert_eq!(right(&text).portable, Some(Portable::default()), "{text}");
    }
    let hostile = format!("{LAB}portable: {{packages: [{{needs: [\"a; rm -rf ~\"]}}]}}\n");
    check(&hostile, &["11:32 portable.packages[0].needs[0]: `a; rm -rf ~` is not a package"]);
}
