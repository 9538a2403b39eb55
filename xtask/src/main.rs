//! `cargo xtask`: checks, builds and tests the workspace.
//!
//! Owns the subcommands and the order of their steps. Knows nothing of how a single check works.

mod arguments;
mod arrows;
mod changed;
mod docs;
mod failure;
mod imports;
mod layout;
mod licences;
mod process;
mod python_imports;
mod source;
mod steps;
mod suites;
mod tidy;
mod venv;
mod wheel;
mod windows;
mod workspace;

use std::process::ExitCode;

use crate::arguments::Arguments;
use crate::failure::Outcome;
use crate::steps::Steps;
use crate::workspace::Workspace;

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!("xtask: {problem}\n\n{}", arguments::USAGE);
            return ExitCode::from(2);
        }
    };
    match carry_out(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            println!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(arguments: Arguments) -> Outcome<()> {
    let workspace = Workspace::find()?;
    let mut steps = Steps::default();
    match arguments {
        Arguments::Help => {
            println!("{}", arguments::USAGE);
            return Ok(());
        }
        Arguments::Venv => {
            println!("{}", venv::ensure(&workspace, &venv::TESTS)?.display());
            return Ok(());
        }
        // Without headings: its output may be JSON.
        Arguments::Bench(options) => return bench(&workspace, &options),
        Arguments::Soak(options) => return soak(&workspace, &options),
        Arguments::Simulate(options) => return simulate(&workspace, &options),
        Arguments::Docs => steps.run("generated pages", || docs::write(&workspace))?,
        Arguments::Compare => compare(&workspace, &mut steps)?,
        Arguments::Arrows { circles: false } => {
            arrows(&workspace, &mut steps)?;
        }
        Arguments::Arrows { circles: true } => {
            steps.run("circles of files", || layout::print_circles(&workspace))?;
        }
        Arguments::Tidy => steps.run("tidy", || tidy::check(&workspace))?,
        Arguments::Lint => lint(&workspace, &mut steps)?,
        Arguments::Test(options) if options.quick => suites::run_quick(&workspace, &mut steps)?,
        Arguments::Test(options) => suites::run(&workspace, &mut steps, &options)?,
        Arguments::Windows => windows::check(&workspace, &mut steps)?,
        Arguments::Wheel { target } => {
            let target = target.as_deref().unwrap_or(wheel::X86_64);
            steps.run("wheel", || wheel::build(&workspace, target).map(drop))?;
        }
        Arguments::Tools => steps.run("tools", || licences::install(&workspace))?,
    }
    println!("\n{}", steps.summary());
    Ok(())
}

/// The same lab under PyroLab and under a release build of ours.
fn compare(workspace: &Workspace, steps: &mut Steps) -> Outcome<()> {
    let python = venv::ensure(workspace, &venv::TESTS)?;
    steps.run("release build", || {
        process::run(workspace.cargo().args(["build", "--release", "--package", "ferrolab"]))
    })?;
    let binary = workspace.binary_of("release", "ferrolab")?;
    steps.run("comparison", || {
        let mut script = process::command(&python);
        script.current_dir(workspace.root()).args(["tests/compare.py", "--ferrolab"]);
        process::run(script.arg(&binary))
    })
}

/// A release build of ours beside Pyro5's servers and a bare one, under load.
fn bench(workspace: &Workspace, options: &[String]) -> Outcome<()> {
    let python = venv::ensure(workspace, &venv::TESTS)?;
    process::run(workspace.cargo().args([
        "build",
        "--release",
        "--package",
        "ferrolab",
        "--package",
        "load",
    ]))?;
    let mut script = process::command(&python);
    script.current_dir(workspace.root()).arg("bench/bench.py").args(options);
    script.arg("--load").arg(workspace.binary_of("release", "load")?);
    script.env("FERROLAB_BIN", workspace.binary_of("release", "ferrolab")?);
    process::run(script.env("FERROLAB_TEST_PYTHON", &python))
}

/// A lab of this build under clients, operators and faults at random.
fn soak(workspace: &Workspace, options: &[String]) -> Outcome<()> {
    let python = venv::ensure(workspace, &venv::TESTS)?;
    process::run(workspace.cargo().args(["build", "--package", "ferrolab"]))?;
    let mut script = process::command(&python);
    script.current_dir(workspace.root().join("tests")).args(["-m", "soak"]).args(options);
    let folders = ["python", "tests/drivers"].map(|folder| workspace.root().join(folder));
    script.env("PYTHONPATH", std::env::join_paths(folders).unwrap_or_default());
    script.env("FERROLAB_BIN", workspace.binary("ferrolab")?);
    process::run(script.env("FERROLAB_TEST_PYTHON", &python))
}

/// Many hosts without daemons, real nameservers and a real etcd.
fn simulate(workspace: &Workspace, options: &[String]) -> Outcome<()> {
    let python = venv::ensure(workspace, &venv::TESTS)?;
    let packages = ["--package", "ferrolab", "--package", "load"];
    process::run(workspace.cargo().args(["build", "--release"]).args(packages))?;
    let mut script = process::command(&python);
    script.current_dir(workspace.root()).arg("tests/simulate_hosts.py").args(options);
    script.env("FERROLAB_LOAD", workspace.binary_of("release", "load")?);
    script.env("FERROLAB_BIN", workspace.binary_of("release", "ferrolab")?);
    process::run(script.env("FERROLAB_TEST_PYTHON", &python))
}

fn lint(workspace: &Workspace, steps: &mut Steps) -> Outcome<()> {
    steps.run("formatting", || {
        process::run(workspace.cargo().args(["fmt", "--all", "--check"]))
            .map_err(|failure| failure.hint("run `cargo fmt --all`"))
    })?;
    steps.run("clippy", || {
        let mut clippy = workspace.cargo();
        clippy.args(["clippy", "--workspace", "--all-targets", "--quiet"]);
        process::run(clippy.args(["--", "-D", "warnings"]))
    })?;
    licences::check(workspace, steps)?;
    arrows(workspace, steps)?;
    steps.run("tidy", || tidy::check(workspace))
}

/// The arrows between crates, then those inside each.
fn arrows(workspace: &Workspace, steps: &mut Steps) -> Outcome<()> {
    steps.run("dependency arrows", || arrows::check(workspace))?;
    steps.run("layers", || layout::check(workspace))
}
