//! Licences, bans and sources of the dependencies: cargo-deny with `deny.toml`.

use std::process::Command;

use crate::failure::Outcome;
use crate::steps::Steps;
use crate::workspace::Workspace;
use crate::{process, venv};

const STEP: &str = "licences and bans";

/// Runs cargo-deny where it is installed. RustSec's advisories are left to the workflow, because
/// they need the network and change without a change of ours.
pub(crate) fn check(workspace: &Workspace, steps: &mut Steps) -> Outcome<()> {
    let Some(mut deny) = cargo_deny(workspace) else {
        steps.skip(STEP, "cargo-deny is not installed (`cargo xtask tools` does that)");
        return Ok(());
    };
    steps.run(STEP, || {
        deny.args(["--locked", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"]);
        process::run(&mut deny)
    })
}

/// Installs cargo-deny below `target`, from the registry of Python packages: building it takes
/// longer than everything else together.
pub(crate) fn install(workspace: &Workspace) -> Outcome<()> {
    venv::ensure(workspace, &venv::TOOLS).map(|python| println!("{}", python.display()))
}

/// cargo-deny from the PATH or from [`install`].
fn cargo_deny(workspace: &Workspace) -> Option<Command> {
    let installed = workspace.root().join("target/tools/bin/cargo-deny");
    ["cargo-deny".into(), installed.into_os_string()].into_iter().find_map(|program| {
        let found = process::succeeds(process::command(&program).arg("--version"));
        let mut command = process::command(program);
        command.current_dir(workspace.root());
        found.then_some(command)
    })
}
