//! The Python wheel: the program and the package `ferrolab` for the manylinux2014 platforms.
//!
//! maturin builds it with zig as the linker, so that the program runs with the C library of 2014.
//! The line tables, four fifths of the program, move into a file beside the wheel: a debugger finds
//! them there, and users download none of them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Outcome};
use crate::workspace::Workspace;
use crate::{process, venv};

/// The platform of most labs, and the only one on which the tests run the wheel.
pub(crate) const X86_64: &str = "x86_64-unknown-linux-gnu";
/// The C library that the program is linked for: glibc 2.17, of 2014.
const PLATFORM: &str = "manylinux2014";

/// Builds the wheel for `target`, a triple, in `target/wheels`; returns its path.
pub(crate) fn build(workspace: &Workspace, target: &str) -> Outcome<PathBuf> {
    let python = venv::ensure(workspace, &venv::WHEEL)?;
    let wheels = workspace.root().join("target/wheels");
    let parts = wheels.join("parts").join(target);
    remove_folder(&parts)?;
    fs::create_dir_all(&parts).map_err(|error| Failure::file("make", &parts, &error))?;

    // maturin looks for `python -m ziglang` in the PATH.
    let programs = python.with_file_name("");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path =
        std::env::join_paths(std::iter::once(programs.clone()).chain(std::env::split_paths(&path)));
    let path = path.map_err(|error| Failure::new(format!("PATH cannot be extended: {error}")))?;
    let mut maturin = process::command(programs.join("maturin"));
    maturin.current_dir(workspace.root());
    maturin.env("PATH", path).args(["build", "--release", "--locked", "--zig"]);
    maturin.args(["--compatibility", PLATFORM, "--target", target, "--out"]).arg(&parts);
    process::run(&mut maturin)?;

    let built = only_entry(&parts, "whl")?;
    process::run(wheel_command(&python, "unpack").arg("--dest").arg(&parts).arg(&built))?;
    let unpacked = only_folder(&parts)?;
    let program = program_within(&unpacked)?;
    let debug = wheels.join(format!("ferrolab-{target}.debug"));
    strip(&program, &debug, &objcopy_for(target))?;
    process::run(wheel_command(&python, "pack").arg("--dest-dir").arg(&wheels).arg(&unpacked))?;

    let name = built.file_name().unwrap_or_default();
    let wheel = wheels.join(name);
    remove_folder(&parts)?;
    let bytes = fs::metadata(&wheel).map_err(|error| Failure::file("read", &wheel, &error))?.len();
    println!("{} ({} KiB)", wheel.display(), bytes / 1024);
    Ok(wheel)
}

fn wheel_command(python: &Path, subcommand: &str) -> std::process::Command {
    let mut wheel = process::command(python);
    wheel.args(["-m", "wheel", subcommand]);
    wheel
}

/// GNU's objcopy knows the programs of one kind of processor.
fn objcopy_for(target: &str) -> String {
    match target.split('-').next() {
        Some(processor) if processor != std::env::consts::ARCH => {
            format!("{processor}-linux-gnu-objcopy")
        }
        _ => "objcopy".to_owned(),
    }
}

/// Moves the symbols and line tables of `program` to the file `debug`, where its debug link points.
fn strip(program: &Path, debug: &Path, objcopy: &str) -> Outcome<()> {
    let objcopy = || process::command(objcopy);
    process::run(objcopy().arg("--only-keep-debug").arg(program).arg(debug)).map_err(
        |failure| {
            failure.hint("Debian has it in binutils, and in binutils-aarch64-linux-gnu for aarch64")
        },
    )?;
    process::run(objcopy().arg("--strip-all").arg(program))?;
    process::run(objcopy().arg(format!("--add-gnu-debuglink={}", debug.display())).arg(program))
}

/// The program in an unpacked wheel: `ferrolab-VERSION.data/scripts/ferrolab`.
fn program_within(unpacked: &Path) -> Outcome<PathBuf> {
    let data = only_entry(unpacked, "data")?;
    let program = data.join("scripts/ferrolab");
    if program.is_file() {
        return Ok(program);
    }
    Err(Failure::new(format!("the wheel has no {}", program.display())))
}

/// The only entry of `folder` whose name ends in `.extension`.
fn only_entry(folder: &Path, extension: &str) -> Outcome<PathBuf> {
    only(folder, &format!("*.{extension}"), |path| {
        path.extension().is_some_and(|found| found == extension)
    })
}

fn only_folder(folder: &Path) -> Outcome<PathBuf> {
    only(folder, "*/", Path::is_dir)
}

fn only(folder: &Path, what: &str, fits: impl Fn(&Path) -> bool) -> Outcome<PathBuf> {
    let entries = fs::read_dir(folder).map_err(|error| Failure::file("list", folder, &error))?;
    let mut found = entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|p| fits(p));
    match (found.next(), found.next()) {
        (Some(path), None) => Ok(path),
        (first, _) => {
            let count = if first.is_none() { "no" } else { "more than one" };
            Err(Failure::new(format!("{count} {what} in {}", folder.display())))
        }
    }
}

fn remove_folder(folder: &Path) -> Outcome<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::file("remove", folder, &error))
        }
        _ => Ok(()),
    }
}
