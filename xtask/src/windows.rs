//! The crates that clients on Windows are built from, checked for that platform.
//!
//! Owns how the standard library for Windows is found: installed for the usual toolchain (rustup),
//! or built from the sources of Debian's.

use std::path::Path;
use std::process::Command;

use crate::failure::Outcome;
use crate::process;
use crate::steps::Steps;
use crate::workspace::Workspace;

const STEP: &str = "check for Windows";
const TARGET: &str = "x86_64-pc-windows-gnu";
/// Folders of the crates that must build there.
const CRATES: [&str; 2] = ["crates/wire", "crates/remote"];
/// The compiler for the C parts of dependencies.
const C_COMPILER: &str = "x86_64-w64-mingw32-gcc";
/// Debian's compiler and the sources of its standard library (packages rustc-web, cargo-web and
/// rust-web-src).
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// Checks the crates, or says what is missing.
pub(crate) fn check(workspace: &Workspace, steps: &mut Steps) -> Outcome<()> {
    if !process::succeeds(process::command(C_COMPILER).arg("--version")) {
        steps.skip(STEP, "no C compiler for it (Debian: gcc-mingw-w64-x86-64-win32)");
        return Ok(());
    }
    let Some(mut cargo) = cargo(workspace)? else {
        let reason = format!(
            "no standard library for it (rustup target add {TARGET}, or Debian's rustc-web, \
             cargo-web and rust-web-src)"
        );
        steps.skip(STEP, &reason);
        return Ok(());
    };
    for folder in CRATES {
        cargo.args(["--package", &workspace.package_name(folder)?]);
    }
    steps.run(STEP, || process::run(&mut cargo))
}

/// `cargo check` with a standard library for Windows, if there is one.
fn cargo(workspace: &Workspace) -> Outcome<Option<Command>> {
    let mut rustc = process::command("rustc");
    let libraries = process::output(rustc.args(["--print", "target-libdir", "--target", TARGET]))?;
    let mut cargo = if Path::new(libraries.trim()).is_dir() {
        workspace.cargo()
    } else if has_debian_sources()? {
        let mut cargo = process::command(DEBIAN_CARGO);
        // `build-std` is unstable, which this compiler is told not to mind.
        cargo.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1").arg("-Zbuild-std");
        cargo.env_remove("RUSTUP_TOOLCHAIN").current_dir(workspace.root());
        cargo
    } else {
        return Ok(None);
    };
    // A folder apart, since another compiler would make the usual one stale.
    let folder = workspace.root().join("target/windows");
    cargo.args(["check", "--target", TARGET, "--target-dir"]).arg(folder);
    Ok(Some(cargo))
}

fn has_debian_sources() -> Outcome<bool> {
    if ![DEBIAN_CARGO, DEBIAN_RUSTC].iter().all(|program| Path::new(program).is_file()) {
        return Ok(false);
    }
    let sysroot = process::output(process::command(DEBIAN_RUSTC).args(["--print", "sysroot"]))?;
    Ok(Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/std").is_dir())
}
