//! No child outlives its parent by more than two seconds.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::bench::{DEADLINE, is_alive, poll};
use crate::roles;

#[test]
fn children_die_with_a_parent_that_is_killed() {
    let role = roles::command("parent");
    let mut parent = Command::new(role.program)
        .args(role.args)
        .envs(role.env)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let children: Vec<(String, u32)> = BufReader::new(parent.stdout.take().unwrap())
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(&line.unwrap()).ok())
        .map(|mut line| serde_json::from_value(line["children"].take()).unwrap())
        .next()
        .expect("the parent tells its children");
    assert_eq!(children.len(), 4);
    for (name, pid) in &children {
        assert!(is_alive(*pid), "{name}");
    }

    parent.kill().unwrap();
    for (name, pid) in &children {
        // Promised are 2 s, which `--extended` judges through the binary: this one tells a hang.
        poll(DEADLINE, name, || !is_alive(*pid));
    }
    parent.wait().unwrap();
}
