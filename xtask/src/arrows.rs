//! The dependency arrows: which crate of ours may know which, and what must stay out of each.
//!
//! Owns the allowed arrows and the bans, with their reasons. `cargo tree` tells the facts.

use std::collections::{BTreeMap, BTreeSet};

use crate::failure::{Failure, Outcome};
use crate::process;
use crate::workspace::Workspace;

/// Every crate of `crates/` with those of ours that it may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("supervisor", &[]),
    ("remote-macros", &[]),
    ("remote", &["wire", "remote-macros"]),
    ("lab-config", &["wire"]),
    ("lab-files", &["remote"]),
    ("nameserver", &["wire", "remote"]),
    ("native-services", &["remote"]),
    ("outbound", &["lab-config", "nameserver", "remote"]),
    ("history", &[]),
    ("py-worker", &["wire", "remote", "supervisor"]),
    (
        "program",
        &[
            "wire",
            "remote",
            "supervisor",
            "lab-config",
            "lab-files",
            "nameserver",
            "native-services",
            "outbound",
            "history",
            "py-worker",
        ],
    ),
    ("ferrolab", &["program"]),
];

const ARROWS_REASON: &str = "a crate exists to keep a dependency out: wire and supervisor know \
     none of ours, program knows all (ARCHITECTURE.md); a new crate is added to the table in \
     xtask/src/arrows.rs with its reason";

/// The beginning of our libraries' package names.
const PREFIX: &str = "ferrolab-";

const YAML: &[&str] = &["serde-saphyr", "saphyr", "saphyr-parser", "granit-parser", "serde_yaml"];
const SQL: &[&str] = &["rusqlite", "libsqlite3-sys"];
const HTTP: &[&str] = &["hyper", "axum", "reqwest", "ureq"];
/// Command lines and what they print.
const TERMINAL: &[&str] = &["clap", "indicatif", "comfy-table"];
/// The same with miette, by which lab-config shows where in a file a problem is.
const CLI: &[&str] = &["clap", "miette", "indicatif", "comfy-table"];
const RUNTIMES: &[&str] = &["tokio", "mio", "async-std", "smol", "futures-util"];
const IO: &[&str] = &["socket2", "rustix"];

/// Packages that must not stand anywhere in a crate's dependency tree.
const BANS: &[(&str, &[&[&str]], &str)] = &[
    (
        "wire",
        &[RUNTIMES, IO, YAML, SQL, HTTP, CLI],
        "wire turns bytes into values: no I/O, no clock, no async",
    ),
    ("remote", &[YAML, SQL, HTTP, CLI], "only the binary knows files, databases and terminals"),
    (
        "supervisor",
        &[YAML, SQL, HTTP, CLI],
        "supervisor keeps processes running and knows nothing of what they do",
    ),
    (
        "lab-config",
        &[RUNTIMES, SQL, HTTP, TERMINAL],
        "lab-config turns a file into typed values: no runtime, no connections",
    ),
    (
        "lab-files",
        &[YAML, SQL, HTTP, CLI],
        "lab-files writes and reads files: which ones, and for which command, its callers know",
    ),
    (
        "nameserver",
        &[YAML, HTTP, CLI],
        "nameserver keeps names: its settings come typed, its process is the binary's",
    ),
    (
        "native-services",
        &[YAML, SQL, HTTP, CLI],
        "native-services drives instruments: parameters come as values, its daemon is the binary's",
    ),
    (
        "history",
        &[RUNTIMES, YAML, HTTP, CLI],
        "history keeps samples: they come and go as plain values, without connections",
    ),
    ("outbound", &[TERMINAL], "outbound sends requests: what and where, its callers say"),
    (
        "py-worker",
        &[YAML, SQL, HTTP, CLI],
        "py-worker hosts drivers: which ones, it is told in typed values",
    ),
];

/// Asks cargo what each crate depends on and refuses what is not allowed.
pub(crate) fn check(workspace: &Workspace) -> Outcome<()> {
    let ours: BTreeSet<String> = workspace.crates()?.into_iter().collect();
    let mut graph = Graph::new();
    for name in &ours {
        // Development dependencies count as arrows, but what they bring along is no ban's matter.
        let direct = tree(workspace, name, &["--edges", "normal,build,dev", "--depth", "1"])?;
        let all = tree(workspace, name, &["--edges", "normal,build"])?;
        let direct = direct.intersection(&ours).cloned().collect();
        graph.insert(name.clone(), Dependencies { direct, all });
    }
    let problems = problems(&graph);
    for problem in &problems {
        println!("{problem}");
    }
    if problems.is_empty() {
        println!("{} crates, every arrow allowed", graph.len());
        return Ok(());
    }
    Err(Failure::new(format!("{} arrows are not allowed", problems.len())))
}

type Graph = BTreeMap<String, Dependencies>;

struct Dependencies {
    /// Those of our crates that it names in its manifest.
    direct: BTreeSet<String>,
    /// Everything that is built into it.
    all: BTreeSet<String>,
}

fn tree(workspace: &Workspace, name: &str, options: &[&str]) -> Outcome<BTreeSet<String>> {
    let mut cargo = workspace.cargo();
    cargo
        .args(["tree", "--package", &package(name), "--prefix", "none", "--format", "{p}"])
        .args(options);
    Ok(names(&process::output(&mut cargo)?, name))
}

/// The package of the crate in a folder of `crates/`: names on a registry are everybody's.
fn package(name: &str) -> String {
    if name == "ferrolab" { name.to_owned() } else { format!("{PREFIX}{name}") }
}

/// The crates in the output of `cargo tree`, without the root; ours by the names of their folders.
fn names(tree: &str, root: &str) -> BTreeSet<String> {
    let words = tree.lines().filter_map(|line| line.split_whitespace().next());
    let folders = words.map(|package| package.strip_prefix(PREFIX).unwrap_or(package));
    folders.filter(|name| *name != root && !name.starts_with('[')).map(str::to_owned).collect()
}

fn problems(graph: &Graph) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, dependencies) in graph {
        let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| known == name) else {
            problems.push(format!("crates/{name}: unknown crate [{ARROWS_REASON}]"));
            continue;
        };
        for target in dependencies.direct.iter().filter(|to| !allowed.contains(&to.as_str())) {
            problems.push(format!("crates/{name}: depends on {target} [{ARROWS_REASON}]"));
        }
        for (_, bans, reason) in BANS.iter().filter(|(banned, ..)| banned == name) {
            for ban in bans.iter().copied().flatten() {
                if dependencies.all.contains(*ban) {
                    problems.push(format!(
                        "crates/{name}: {ban} is in its dependency tree [{reason}] \
                         (cargo tree --package {} --invert {ban})",
                        package(name)
                    ));
                }
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(rows: &[(&str, &[&str], &[&str])]) -> Graph {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        rows.iter()
            .map(|(name, direct, all)| {
                ((*name).to_owned(), Dependencies { direct: set(direct), all: set(all) })
            })
            .collect()
    }

    #[test]
    fn the_intended_shape_has_no_problem() {
        let graph = graph(&[
            ("wire", &[], &["flate2", "memchr"]),
            ("supervisor", &[], &["tokio", "mio", "rustix"]),
            ("remote-macros", &[], &["syn"]),
            ("remote", &["wire", "remote-macros"], &["wire", "remote-macros", "tokio"]),
            ("lab-config", &[], &["granit-parser", "rustix"]),
            ("program", &["wire", "remote", "lab-config"], &["clap", "granit-parser", "rusqlite"]),
            ("ferrolab", &["program"], &["clap", "granit-parser", "rusqlite"]),
        ]);
        assert_eq!(problems(&graph), Vec::<String>::new());
    }

    #[test]
    fn what_is_not_allowed_is_named() {
        let cases: [(&str, &[&str], &[&str], &str); 7] = [
            ("wire", &[], &["tokio"], "crates/wire: tokio"),
            ("wire", &["supervisor"], &[], "crates/wire: depends on supervisor"),
            ("supervisor", &["wire"], &[], "crates/supervisor: depends on wire"),
            ("supervisor", &["remote"], &[], "crates/supervisor: depends on remote"),
            ("remote", &["wire"], &["serde-saphyr"], "crates/remote: serde-saphyr"),
            ("lab-config", &[], &["tokio"], "crates/lab-config: tokio"),
            ("gadgets", &[], &[], "crates/gadgets: unknown crate"),
        ];
        for (name, direct, all, expected) in cases {
            let problems = problems(&graph(&[(name, direct, all)]));
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems.concat().starts_with(expected), "{problems:?}");
        }
    }

    #[test]
    fn names_in_a_tree() {
        let tree = "ferrolab-remote v0.1.0 (/x/crates/remote)\nbytes v1.12.2\ntokio v1.54.1 (*)\n\n[dev-dependencies]\nferrolab-wire v0.1.0 (/x/crates/wire)\n";
        let expected = ["bytes", "tokio", "wire"].map(str::to_owned);
        assert_eq!(names(tree, "remote"), BTreeSet::from(expected));
    }
}
