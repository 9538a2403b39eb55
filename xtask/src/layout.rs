//! Layers inside the crates: no circle of files, and no import of a room above.
//!
//! Owns the order of the rooms and the circles that are allowed. Refuses to know how imports are
//! read.

use std::collections::BTreeSet;
use std::fs;

use crate::failure::{Failure, Outcome};
use crate::imports::{self, Imports};
use crate::python_imports;
use crate::source::Source;
use crate::workspace::Workspace;

/// Rooms on one floor, and the reason why they are there. A room is a file or a folder of `src`.
type Room = (&'static [&'static str], &'static str);

/// The rooms of each crate from the top floor down. A room imports rooms of its floor and of those
/// below; files without a room are only kept out of circles.
const ROOMS: &[(&str, &[Room])] = &[
    (
        "wire",
        &[
            (&["codec"], "chooses one of the formats"),
            (&["json", "marshal", "msgpack", "serpent", "uri", "exception"], "formats of values"),
            (&["number", "repr", "encode"], "parts of several formats"),
            (&["value", "dict", "set", "table", "key"], "the values themselves"),
            (&["error", "limits"], "what every decoder returns and obeys"),
        ],
    ),
    (
        "supervisor",
        &[
            (&["keeper"], "decides when an entry runs"),
            (&["spawn", "detached"], "start one process"),
            (&["child", "lifeline"], "handles of running processes"),
            (&["os", "process"], "the operating system's calls"),
        ],
    ),
    (
        "remote-macros",
        &[(&["lib"], "entry"), (&["expose", "exception"], "macros"), (&["attributes"], "syntax")],
    ),
    (
        "remote",
        &[
            (&["lib"], "re-exports"),
            (&["client"], "proxies; know no daemon"),
            (&["daemon/accept"], "accepts connections and hands them to sessions"),
            (&["daemon/mod", "daemon/session"], "a daemon; one connection"),
            (&["daemon/call"], "decodes a request, dispatches it, answers"),
            (&["daemon/shared"], "the parts of a daemon that all of its calls use"),
            (&["daemon/locks"], "asks the lock's rules on behalf of a call"),
            (&["daemon"], "registry, streams and other parts that know no lock"),
            (&["native", "instance", "limited"], "make Rust types objects; know no daemon"),
            (&["admission"], "limits: who may wait for what"),
            (&["batch", "arguments"], "calls as objects see them"),
            (&["lock"], "rules only: no sockets, no clock"),
            (&["object"], "the interface between daemons and objects; knows no limits"),
            (&["card"], "the service card; knows no calls"),
            (
                &["session", "identity", "users", "token", "serialized", "config", "value_text"],
                "facts about a connection, a value, a daemon",
            ),
            (&["access"], "who may do what: rules only, no clock, no connection"),
            (&["addresses", "frames", "net", "tls", "error", "blocking"], "streams of bytes"),
        ],
    ),
    (
        "py-worker",
        &[
            (
                &["pool", "supervise", "registry", "import_backoff", "watchdog"],
                "keep workers running",
            ),
            (
                &[
                    "service",
                    "service_card",
                    "service_object",
                    "safe_state",
                    "item_stream",
                    "collisions",
                ],
                "objects that stand for a driver",
            ),
            (&["worker_handle", "sessions", "run"], "one running worker"),
            (
                &["channel", "control", "output", "script", "spec", "orphan_killer"],
                "its process, its sockets, and what ends it",
            ),
            (
                &["frames", "protocol", "reap_descendants"],
                "bytes on the sockets; marks of processes",
            ),
        ],
    ),
    (
        "lab-config",
        &[
            (&["rules", "rename", "portable"], "checks and changes of a whole configuration"),
            (&["walk", "finish", "value", "members"], "from nodes of YAML to the model"),
            (&["model", "tree", "advice", "scalar"], "the model, and nodes with their places"),
            (
                &["schema", "data", "date", "address", "secret", "auto", "hash"],
                "keys and plain values",
            ),
            (&["problem", "config_text"], "places in a file and what is wrong there"),
        ],
    ),
    (
        "lab-files",
        &[
            (&["audit"], "the audit's files"),
            (&["log"], "the host's log, the lock log, the call log"),
            (&["files", "state_file"], "whole files"),
            (&["open"], "opens a file"),
        ],
    ),
    (
        "nameserver",
        &[
            (&["lib"], "re-exports"),
            (&["object", "autoclean", "broadcast"], "act on their own or for a client"),
            (&["methods", "search", "leases"], "one request each; leases end by themselves, too"),
            (&["pattern", "arguments", "directory", "liveness"], "parts of requests; pings"),
            (
                &["limits", "change_log", "owner"],
                "bounds of all requests; the log of what they take; who may take it",
            ),
            (&["store"], "the names; knows no requests"),
            (&["registry"], "the interface to a shared directory"),
        ],
    ),
    (
        "native-services",
        &[
            (&["lib"], "the list of the services"),
            (&["loopback", "multimeter", "power_supply"], "one service each"),
            (&["bench"], "what simulated instruments share; knows no service"),
        ],
    ),
    (
        "outbound",
        &[
            (&["etcd"], "the client of etcd, for nameservers"),
            (&["http_client"], "requests to web servers"),
            (&["lib"], "TLS that trusts what the host trusts"),
        ],
    ),
    (
        "history",
        &[
            (&["lib"], "re-exports"),
            (&["query"], "questions"),
            (&["maintenance"], "seals, removes, mends"),
            (&["writer", "recovery"], "the store: takes samples"),
            (&["buckets"], "parts of questions; know no files"),
            (&["store"], "the SQLite file"),
            (&["unsealed", "chunk", "journal", "retention"], "samples in memory and as bytes"),
            (&["sample", "bytes", "disk"], "plain values; the room on a disk"),
        ],
    ),
    ("ferrolab", &[(&["main"], "entry")]),
    (
        "program",
        &[
            (&["lib"], "entry"),
            (&["cli"], "commands: use everything"),
            (&["supervise/mod", "supervise/systemd", "supervise/control/server"], "the supervisor"),
            (&["supervise/entries"], "entries of the configuration as children"),
            (&["web"], "the page's process: a client of daemons and the supervisor"),
            (&["metrics"], "text of /metrics: a function of what the supervisor shows"),
            (&["nameserver_process"], "a process with an address and a report, like a daemon"),
            (&["labs"], "other labs: the object that shows this one, and its readers"),
            (&["supervise"], "what the supervisor and its clients tell each other; its files"),
            (&["history_process"], "a process with an address and a report, like a daemon"),
            (&["host"], "a daemon's process"),
            (&["card"], "forms of the service card; knows no lab"),
            (&["access"], "users of a lab; knows no processes"),
            (&["notify"], "delivery of notifications; knows no lab"),
            (&["daemon_keys"], "TLS of daemons, for the lab's own programs"),
            (&["tls"], "TLS of the lab's ports, for servers and for their clients"),
            (&["authority"], "issues certificates; knows no lab"),
            (&["paths"], "folders and names of files"),
            (&["os"], "requests to the operating system"),
        ],
    ),
];

/// Circles that the subject itself has, by their files.
const RECURSIONS: &[(&[&str], &str)] = &[(
    &[
        "crates/wire/src/array.rs",
        "crates/wire/src/array/dtype.rs",
        "crates/wire/src/array/element.rs",
        "crates/wire/src/array/list.rs",
        "crates/wire/src/dict.rs",
        "crates/wire/src/key.rs",
        "crates/wire/src/set.rs",
        "crates/wire/src/table.rs",
        "crates/wire/src/value.rs",
    ],
    "a value holds dicts, sets and arrays of values",
)];

/// One crate may hold the shipped lines divided by this.
const LARGEST_CRATE: usize = 3;

/// Refuses circles of files, imports of a room above, and crates that hold too much.
pub(crate) fn check(workspace: &Workspace) -> Outcome<()> {
    let sources = read(workspace)?;
    let mut problems = Vec::new();
    for (name, imports) in all_imports(workspace, &sources)? {
        problems.extend(upward(&name, rooms(&name), &imports));
        for circle in circles(&imports).iter().filter(|circle| !is_recursion(circle)) {
            let files = circle.iter().copied().collect::<Vec<_>>().join(", ");
            problems.push(format!(
                "{files}: a circle (`cargo xtask arrows --circles` shows what ties it)"
            ));
        }
    }
    problems.extend(sizes(&shipped_lines(&workspace.crates()?, &sources)));
    for problem in &problems {
        println!("{problem}");
    }
    match problems.len() {
        0 => Ok(()),
        count => Err(Failure::new(format!("{count} problems of layout"))),
    }
}

/// Prints every circle of files with the names that tie it.
pub(crate) fn print_circles(workspace: &Workspace) -> Outcome<()> {
    let sources = read(workspace)?;
    for (_, imports) in all_imports(workspace, &sources)? {
        for circle in circles(&imports) {
            let reason =
                RECURSIONS.iter().find(|(files, _)| circle.iter().all(|f| files.contains(f)));
            let reason = reason.map_or("", |(_, reason)| reason);
            println!("circle of {} files {reason}", circle.len());
            for file in &circle {
                for (target, names) in imports[file].iter().filter(|(to, _)| circle.contains(*to)) {
                    let names: Vec<_> = names.iter().map(String::as_str).collect();
                    println!("  {file} -> {target}: {}", names.join(" "));
                }
            }
        }
    }
    Ok(())
}

/// The imports inside each crate and inside the Python package.
fn all_imports<'a>(
    workspace: &Workspace,
    sources: &'a [Source],
) -> Outcome<Vec<(String, Imports<'a>)>> {
    let python = python_imports::of_package("python/ferrolab/", sources);
    let mut all = vec![("python/ferrolab".to_owned(), python)];
    for name in workspace.crates()? {
        let imports = imports::of_crate(&format!("crates/{name}/src/"), sources);
        all.push((name, imports));
    }
    all.push(("xtask".to_owned(), imports::of_crate("xtask/src/", sources)));
    Ok(all)
}

/// The rooms of one crate from the top down.
fn rooms(name: &str) -> &'static [Room] {
    ROOMS.iter().find(|(known, _)| *known == name).map_or(&[], |(_, rooms)| rooms)
}

/// Imports of a room above.
fn upward(name: &str, rooms: &[Room], imports: &Imports) -> Vec<String> {
    let folder = format!("crates/{name}/src/");
    let floor = |file: &str| {
        let path = file.strip_prefix(&folder)?;
        let inside =
            |room: &str| path.strip_prefix(room).is_some_and(|rest| rest.starts_with(['/', '.']));
        rooms.iter().position(|(names, _)| names.iter().any(|room| inside(room)))
    };
    let mut problems = Vec::new();
    for (file, targets) in imports {
        for (target, names) in targets {
            let (Some(from), Some(to)) = (floor(file), floor(target)) else { continue };
            if to < from {
                let names: Vec<_> = names.iter().map(String::as_str).collect();
                problems.push(format!(
                    "{file}: imports {} from {target}, a room above [{}: {}]",
                    names.join(", "),
                    rooms[to].0.join(", "),
                    rooms[to].1
                ));
            }
        }
    }
    problems
}

fn is_recursion(circle: &BTreeSet<&str>) -> bool {
    RECURSIONS.iter().any(|(files, _)| circle.iter().all(|file| files.contains(file)))
}

/// The lines of each crate and of the Python package that are neither tests nor blank.
fn shipped_lines(crates: &[String], sources: &[Source]) -> Vec<(String, usize)> {
    let lines = |folder: String| {
        let inside = |source: &&Source| source.path.starts_with(&folder) && !source.is_test_file();
        let count = |source: &Source| {
            let shipped = |(index, line): &(usize, &str)| {
                !line.trim().is_empty() && !source.is_test(index + 1)
            };
            source.lines().enumerate().filter(shipped).count()
        };
        sources.iter().filter(inside).map(count).sum()
    };
    let mut all: Vec<(String, usize)> =
        crates.iter().map(|name| (name.clone(), lines(format!("crates/{name}/src/")))).collect();
    all.push(("python/ferrolab".to_owned(), lines("python/ferrolab/".to_owned())));
    all
}

/// Crates that hold more of the shipped lines than they may.
fn sizes(lines: &[(String, usize)]) -> Vec<String> {
    let total = lines.iter().map(|(_, lines)| lines).sum::<usize>().max(1);
    let mut problems = Vec::new();
    let mut words = Vec::new();
    for (name, lines) in lines {
        let share = lines * 100 / total;
        words.push(format!("{name} {lines} ({share} %)"));
        if lines * LARGEST_CRATE > total {
            problems.push(format!("{name} holds more than a third of the shipped lines"));
        }
    }
    println!("{total} shipped lines: {}", words.join(", "));
    problems
}

/// The largest sets of files in which each imports each other one, directly or through others.
fn circles<'a>(imports: &Imports<'a>) -> Vec<BTreeSet<&'a str>> {
    let mut found: Vec<BTreeSet<&str>> = Vec::new();
    let reached: Vec<_> = imports.keys().map(|file| (*file, reachable(imports, file))).collect();
    for (file, targets) in &reached {
        if !targets.contains(file) || found.iter().any(|circle| circle.contains(file)) {
            continue;
        }
        let back = |other: &&(&'a str, BTreeSet<&'a str>)| {
            targets.contains(other.0) && other.1.contains(file)
        };
        found.push(reached.iter().filter(back).map(|(other, _)| *other).collect());
    }
    found
}

/// The files that `from` imports, directly or through others.
fn reachable<'a>(imports: &Imports<'a>, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut waiting = vec![from];
    while let Some(file) = waiting.pop() {
        for target in imports.get(file).into_iter().flat_map(|targets| targets.keys()) {
            if reached.insert(*target) {
                waiting.push(target);
            }
        }
    }
    reached
}

fn read(workspace: &Workspace) -> Outcome<Vec<Source>> {
    let code = |path: &String| path.ends_with(".rs") || path.ends_with(".py");
    let mut sources = Vec::new();
    for path in workspace.files()?.into_iter().filter(code) {
        let file = workspace.root().join(&path);
        let text =
            fs::read_to_string(&file).map_err(|error| Failure::file("read", &file, &error))?;
        sources.push(Source::new(path, text));
    }
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports(rows: &[(&'static str, &[&'static str])]) -> Imports<'static> {
        let names = || BTreeSet::from(["X".to_owned()]);
        rows.iter()
            .map(|(file, targets)| (*file, targets.iter().map(|to| (*to, names())).collect()))
            .collect()
    }

    #[test]
    fn circles_are_found_whole() {
        let cases: &[(&[(&str, &[&str])], &[&[&str]])] = &[
            (&[("a", &["b"]), ("b", &["c"]), ("c", &[])], &[]),
            (&[("a", &["b"]), ("b", &["c", "d"]), ("c", &["b"]), ("d", &[])], &[&["b", "c"]]),
            (
                &[("a", &["b"]), ("b", &["a"]), ("c", &["d", "a"]), ("d", &["c"])],
                &[&["a", "b"], &["c", "d"]],
            ),
        ];
        for (rows, expected) in cases {
            let found: Vec<Vec<_>> =
                circles(&imports(rows)).into_iter().map(|c| c.into_iter().collect()).collect();
            assert_eq!(found, *expected, "{rows:?}");
        }
    }

    #[test]
    fn an_import_of_a_room_above_is_refused() {
        let rooms: &[Room] = &[(&["main"], "entry"), (&["cli"], "top"), (&["os", "log"], "bottom")];
        let found = upward(
            "x",
            rooms,
            &imports(&[
                ("crates/x/src/main.rs", &["crates/x/src/os.rs"]),
                ("crates/x/src/cli/a.rs", &["crates/x/src/clip.rs", "crates/x/src/os/b.rs"]),
                ("crates/x/src/os/b.rs", &["crates/x/src/log.rs", "crates/x/src/cli/a.rs"]),
                ("crates/x/src/clip.rs", &["crates/x/src/cli/a.rs"]),
            ]),
        );
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("crates/x/src/os/b.rs: imports X from crates/x/src/cli/a.rs"));
    }

    #[test]
    fn a_crate_holds_a_third_at_most() {
        let lines = |wire, rest| {
            ["wire", "remote", "ferrolab"].map(String::from).into_iter().zip([wire, rest, rest])
        };
        // The share is compared exactly, not in whole percents.
        assert!(sizes(&Vec::from_iter(lines(100, 100))).is_empty());
        let problems = sizes(&Vec::from_iter(lines(1_005, 1_000)));
        assert_eq!(problems, ["wire holds more than a third of the shipped lines"]);
    }
}
