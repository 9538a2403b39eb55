//! `cargo xtask`: checks, builds and tests the workspace.
//!
//! Owns the subcommands and the order of their steps. Knows nothing of how a single check works.

mod arguments;
mod arrows;
mod docs;
mod failure;
mod imports;
mod layout;
mod process;
mod source;
mod steps;
mod tidy;
mod venv;
mod workspace;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::arguments::{Arguments, TestOptions};
use crate::failure::{Failure, Outcome};
use crate::steps::Steps;
use crate::workspace::Workspace;

/// The suites of the Python tests: the step, the folder, and whether its tests mostly wait for
/// processes, so that several at a time are worth the starting of pytest's workers.
const PYTHON_SUITES: [(&str, &str, bool); 2] =
    [("Python worker tests", "python/tests", false), ("Python behaviour tests", "tests", true)];

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
        Arguments::Docs => steps.run("generated pages", || docs::write(&workspace))?,
        Arguments::Compare => compare(&workspace, &mut steps)?,
        Arguments::Arrows { circles: false } => {
            arrows(&workspace, &mut steps)?;
        }
        Arguments::Arrows { circles: true } => {
            steps.run("circles of files", || layout::print_circles(&workspace))?;
        }
        Arguments::Tidy { update: false } => steps.run("tidy", || tidy::check(&workspace))?,
        Arguments::Tidy { update: true } => {
            steps.run("exceptions", || tidy::update_exceptions(&workspace))?;
        }
        Arguments::Lint => lint(&workspace, &mut steps)?,
        Arguments::Test(options) => test(&workspace, &mut steps, &options)?,
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
    arrows(workspace, steps)?;
    steps.run("tidy", || tidy::check(workspace))
}

/// The arrows between crates, then those inside each.
fn arrows(workspace: &Workspace, steps: &mut Steps) -> Outcome<()> {
    steps.run("dependency arrows", || arrows::check(workspace))?;
    steps.run("layers", || layout::check(workspace))
}

/// Everything, from the cheapest step to the dearest.
///
/// The environment and the binary come before the Rust tests, because those use both; the one
/// build makes all that the Rust tests, the documentation tests and the Python suites run.
fn test(workspace: &Workspace, steps: &mut Steps, options: &TestOptions) -> Outcome<()> {
    if options.rust {
        lint(workspace, steps)?;
    }
    let (mut python, mut pymeasure) = (PathBuf::new(), PathBuf::new());
    let mut libraries = PathBuf::new();
    steps.run("Python environments", || {
        python = venv::ensure(workspace, &venv::TESTS)?;
        pymeasure = venv::ensure(workspace, &venv::PYMEASURE)?;
        if options.extended {
            libraries = venv::ensure(workspace, &venv::LIBRARIES)?;
        }
        Ok(())
    })?;
    steps.run("build", || {
        let mut build = workspace.cargo();
        build.args(["build", "--workspace", "--bins"]);
        if options.rust {
            build.args(["--lib", "--tests", "--examples"]);
        }
        process::run(&mut build)
    })?;
    let environment = [
        ("FERROLAB_TEST_PYTHON", python.clone().into_os_string()),
        ("FERROLAB_TEST_PYMEASURE", pymeasure.into_os_string()),
        ("FERROLAB_TEST_LIBRARIES", libraries.into_os_string()),
        ("FERROLAB_BIN", workspace.binary("ferrolab")?.into_os_string()),
        ("FERROLAB_LOAD", workspace.binary("load")?.into_os_string()),
        ("FERROLAB_TEST_EXTENDED", if options.extended { "1" } else { "" }.into()),
    ];
    if options.rust {
        rust_tests(workspace, steps, &environment)?;
    }
    if options.python {
        python_tests(workspace, steps, options, &python, &environment)?;
    }
    Ok(())
}

/// Environment variables that tests read.
type Environment = [(&'static str, OsString)];

fn rust_tests(workspace: &Workspace, steps: &mut Steps, environment: &Environment) -> Outcome<()> {
    steps.run("Rust tests", || {
        let mut tests = workspace.cargo();
        if process::succeeds(workspace.cargo().args(["nextest", "--version"])) {
            tests.args(["nextest", "run", "--workspace"]);
        } else {
            println!("cargo-nextest is not installed: using cargo test");
            tests.args(["test", "--workspace", "--lib", "--bins", "--tests", "--quiet"]);
        }
        process::run(tests.envs(environment.iter().cloned()))
    })?;
    steps.run("documentation tests", || {
        let mut tests = workspace.cargo();
        tests.args(["test", "--workspace", "--doc", "--quiet"]);
        process::run(tests.envs(environment.iter().cloned()))
    })
}

fn python_tests(
    workspace: &Workspace,
    steps: &mut Steps,
    options: &TestOptions,
    python: &Path,
    environment: &Environment,
) -> Outcome<()> {
    let mut found = false;
    for (step, folder, waits) in PYTHON_SUITES {
        steps.run(step, || {
            let mut tests = process::command(python);
            tests.current_dir(workspace.root()).args(["-m", "pytest", folder]);
            tests.args(["--timeout", "900"]);
            if waits {
                tests.args(["-n", &workers().to_string(), "--dist", "loadgroup"]);
            }
            if let Some(expression) = &options.expression {
                tests.args(["-k", expression]);
            }
            tests.args(&options.pytest).envs(environment.iter().cloned());
            found |= run_suite(&mut tests, options.expression.is_some())?;
            Ok(())
        })?;
    }
    if found { Ok(()) } else { Err(Failure::new("no Python test has such a name")) }
}

/// Runs one suite and returns whether it found a test; that it may have none is `-k`'s doing.
fn run_suite(tests: &mut Command, may_be_empty: bool) -> Outcome<bool> {
    const NO_TESTS_COLLECTED: i32 = 5;
    match process::code(tests)? {
        Some(NO_TESTS_COLLECTED) if may_be_empty => Ok(false),
        code => process::judge(tests, code).map(|()| true),
    }
}

/// How many pytest workers: one more than there are cores, because tests wait a lot.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(2, |cores| cores.get() + 1)
}
