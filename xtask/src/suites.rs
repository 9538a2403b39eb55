//! The tests, from the cheapest step to the dearest.
//!
//! Owns the list of suites, the programs that each needs, and the environment variables of tests.

use std::ffi::OsString;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::arguments::TestOptions;
use crate::failure::{Failure, Outcome};
use crate::steps::Steps;
use crate::workspace::Workspace;
use crate::{changed, lint, process, venv, wheel, windows};

/// The suites of the Python tests: the step and the folder.
const PYTHON_SUITES: [(&str, &str); 2] =
    [("Python worker tests", "python/tests"), ("Python behaviour tests", "tests")];

/// After how long a test is taken to hang, in seconds: longer than any wait of the tests' own
/// (`NEVER` in `tests/harness/wait.py`), so that a slow machine alone fails none.
const HANG_SECONDS: &str = "900";

/// A suite that needs programs beyond Rust and Python packages.
struct Suite {
    step: &'static str,
    folder: &'static str,
    /// Programs that must be on the PATH, with their Debian packages.
    needs: &'static [(&'static str, &'static str)],
}

const SERVICES: Suite = Suite {
    step: "tests with other services",
    folder: "tests/services",
    needs: &[
        ("prometheus", "prometheus"),
        ("victoria-metrics", "victoria-metrics"),
        ("etcd", "etcd-server"),
        ("etcdctl", "etcd-client"),
    ],
};
const BROWSER: Suite =
    Suite { step: "browser tests", folder: "tests/browser", needs: &[("chromium", "chromium")] };
/// Installs the wheel that is built just before with packages from PyPI.
const WHEEL: Suite = Suite { step: "wheel tests", folder: "tests/wheel", needs: &[] };

/// Packages whose Rust tests run Python beside them.
const BESIDE_PYTHON: [&str; 4] =
    ["ferrolab-wire", "ferrolab-remote", "ferrolab-py-worker", "fuzz-harness"];

/// Variables that tests read.
type Variables = [(&'static str, OsString)];

/// Runs the chosen suites. The Python environment and the binary come before the Rust tests, which
/// use both.
pub(crate) fn run(workspace: &Workspace, steps: &mut Steps, options: &TestOptions) -> Outcome<()> {
    let suites = [(options.services, SERVICES), (options.browser, BROWSER), (options.wheel, WHEEL)];
    let suites: Vec<_> = suites.into_iter().filter(|(wanted, _)| *wanted).collect();
    let runs = suites.iter().any(|(_, suite)| suite.reason_to_skip(workspace).is_none());
    if options.rust || options.python || runs {
        let (python, variables) = std::thread::scope(|scope| {
            // It mostly waits for the network, and lint for the processors.
            let environments = scope.spawn(|| Environments::make(workspace, options.extended));
            if options.rust {
                lint(workspace, steps)?;
            }
            let made = || environments.join().unwrap_or_else(|panic| resume_unwind(panic));
            prepare(workspace, steps, options, made)
        })?;
        if options.rust {
            rust_tests(workspace, steps, &["--workspace".to_owned()], &variables)?;
        }
        if options.python {
            python_tests(workspace, steps, options, &python, &variables)?;
        }
        for (_, suite) in
            suites.iter().filter(|(_, suite)| suite.reason_to_skip(workspace).is_none())
        {
            let mut tests = pytest(workspace, &python, options);
            tests.arg(suite.folder).envs(variables.iter().cloned());
            if suite.folder == BROWSER.folder {
                steps.run("browser driver", || {
                    tests.env("FERROLAB_TEST_BROWSER", venv::ensure(workspace, &venv::BROWSER)?);
                    Ok(())
                })?;
            }
            if suite.folder == WHEEL.folder {
                steps.run("wheel", || {
                    tests.env("FERROLAB_TEST_WHEEL", wheel::build(workspace, wheel::X86_64)?);
                    Ok(())
                })?;
            }
            steps.run(suite.step, || run_suite(&mut tests, false))?;
        }
    }
    if options.extended {
        windows::check(workspace, steps)?;
    }
    for (_, suite) in &suites {
        if let Some(reason) = suite.reason_to_skip(workspace) {
            steps.skip(suite.step, &reason);
        }
    }
    Ok(())
}

/// Lint, and the tests of what changed.
pub(crate) fn run_quick(workspace: &Workspace, steps: &mut Steps) -> Outcome<()> {
    lint(workspace, steps)?;
    let tests = steps.run("changes", || {
        let tests = changed::tests(workspace)?;
        let list = |names: &std::collections::BTreeSet<String>| match names.len() {
            0 => "none".to_owned(),
            _ => names.iter().cloned().collect::<Vec<_>>().join(" "),
        };
        println!("packages to test: {}", list(&tests.packages));
        println!("Python tests: {}", list(&tests.python));
        if tests.harness {
            println!(
                "the tests' harness changed: `cargo xtask test --python` runs all that use it"
            );
        }
        Ok(tests)
    })?;
    if !tests.packages.is_empty() {
        let mut variables = Vec::new();
        if BESIDE_PYTHON.iter().any(|name| tests.packages.contains(*name)) {
            steps.run("Python environment", || {
                let python = venv::ensure(workspace, &venv::TESTS)?;
                variables.push(("FERROLAB_TEST_PYTHON", python.into_os_string()));
                Ok(())
            })?;
        }
        let selection: Vec<_> =
            tests.packages.iter().flat_map(|name| ["--package".to_owned(), name.clone()]).collect();
        // Without the documentation: it compiles every crate below a third time.
        steps.run("Rust tests", || run_rust_tests(workspace, &selection, &variables))?;
    }
    if tests.python.is_empty() {
        return Ok(());
    }
    let options = TestOptions::default();
    let environments = || Environments::make(workspace, false);
    let (python, variables) = prepare(workspace, steps, &options, environments)?;
    // `python/tests` and `tests` each have a `conftest.py`, which one run of pytest does not bear.
    let (worker, behaviour): (Vec<_>, Vec<_>) =
        tests.python.iter().partition(|path| path.starts_with("python/"));
    for (step, paths) in [("Python worker tests", worker), ("Python behaviour tests", behaviour)] {
        if !paths.is_empty() {
            steps.run(step, || {
                let mut tests = pytest(workspace, &python, &options);
                run_suite(tests.args(paths).envs(variables.iter().cloned()), false)
            })?;
        }
    }
    Ok(())
}

impl Suite {
    /// Why the suite cannot run here, in words.
    fn reason_to_skip(&self, workspace: &Workspace) -> Option<String> {
        if !has_tests(&workspace.root().join(self.folder)) {
            return Some(format!("no tests yet in {}", self.folder));
        }
        let missing: Vec<_> =
            self.needs.iter().filter(|(program, _)| !is_on_path(program)).collect();
        let (program, package) = missing.first()?;
        Some(format!("{program} is not installed (Debian: apt-get install {package})"))
    }
}

fn has_tests(folder: &Path) -> bool {
    let Ok(entries) = folder.read_dir() else { return false };
    entries.filter_map(Result::ok).any(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.starts_with("test_") && name.ends_with(".py")
    })
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// The Python environments that tests use.
struct Environments {
    python: PathBuf,
    pymeasure: PathBuf,
    types: PathBuf,
    pyro5_suite: PathBuf,
    /// Empty without `--extended`.
    libraries: PathBuf,
}

impl Environments {
    fn make(workspace: &Workspace, extended: bool) -> Outcome<Self> {
        let python = venv::ensure(workspace, &venv::TESTS)?;
        let mut libraries = PathBuf::new();
        if extended {
            libraries = venv::ensure(workspace, &venv::LIBRARIES)?;
        }
        Ok(Self {
            pymeasure: venv::ensure(workspace, &venv::PYMEASURE)?,
            types: venv::ensure(workspace, &venv::TYPES)?,
            pyro5_suite: venv::ensure_pyro5_suite(workspace, &python)?,
            libraries,
            python,
        })
    }
}

/// Waits for the environments and makes the binaries; returns the interpreter and the tests'
/// variables.
fn prepare(
    workspace: &Workspace,
    steps: &mut Steps,
    options: &TestOptions,
    environments: impl FnOnce() -> Outcome<Environments>,
) -> Outcome<(PathBuf, Vec<(&'static str, OsString)>)> {
    let Environments { python, pymeasure, types, pyro5_suite, libraries } =
        steps.run("Python environments", environments)?;
    steps.run("build", || {
        let mut build = workspace.cargo();
        build.args(["build", "--workspace", "--bins"]);
        if options.rust {
            // Not `--lib`: cargo then compiles `remote-macros` and all that uses it a second time
            // for the tests.
            build.args(["--tests", "--examples"]);
        }
        process::run(&mut build)
    })?;
    let variables = vec![
        ("FERROLAB_TEST_PYTHON", python.clone().into_os_string()),
        ("FERROLAB_TEST_PYMEASURE", pymeasure.into_os_string()),
        ("FERROLAB_TEST_TYPES", types.into_os_string()),
        ("FERROLAB_TEST_PYRO5_SUITE", pyro5_suite.into_os_string()),
        ("FERROLAB_TEST_LIBRARIES", libraries.into_os_string()),
        ("FERROLAB_BIN", workspace.binary("ferrolab")?.into_os_string()),
        ("FERROLAB_LOAD", workspace.binary("load")?.into_os_string()),
        ("FERROLAB_TEST_EXTENDED", if options.extended { "1" } else { "" }.into()),
    ];
    Ok((python, variables))
}

/// The Rust tests, the documentation and its tests, of the packages that `selection` names.
fn rust_tests(
    workspace: &Workspace,
    steps: &mut Steps,
    selection: &[String],
    variables: &Variables,
) -> Outcome<()> {
    steps.run("Rust tests", || run_rust_tests(workspace, selection, variables))?;
    steps.run("documentation", || {
        let mut pages = workspace.cargo();
        pages.arg("doc").args(selection).args(["--no-deps", "--quiet"]);
        process::run(pages.env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    steps.run("documentation tests", || {
        let mut tests = workspace.cargo();
        tests.arg("test").args(selection).args(["--doc", "--quiet"]);
        process::run(tests.envs(variables.iter().cloned()))
    })
}

/// The Rust tests of the packages that `selection` names, without those in documentation.
fn run_rust_tests(
    workspace: &Workspace,
    selection: &[String],
    variables: &Variables,
) -> Outcome<()> {
    let mut tests = workspace.cargo();
    if process::succeeds(workspace.cargo().args(["nextest", "--version"])) {
        tests.args(["nextest", "run", "--no-tests", "pass"]).args(selection);
        tests.args(["--test-threads", &tests_at_once().to_string()]);
    } else {
        println!("cargo-nextest is not installed: using cargo test");
        tests.arg("test").args(selection).args(["--lib", "--bins", "--tests", "--quiet"]);
    }
    process::run(tests.envs(variables.iter().cloned()))
}

fn python_tests(
    workspace: &Workspace,
    steps: &mut Steps,
    options: &TestOptions,
    python: &Path,
    variables: &Variables,
) -> Outcome<()> {
    let mut found = false;
    for (step, folder) in PYTHON_SUITES {
        steps.run(step, || {
            let mut tests = pytest(workspace, python, options);
            tests.arg(folder);
            for suite in [SERVICES, BROWSER, WHEEL] {
                tests.args(["--ignore", suite.folder]);
            }
            tests.args(["-n", &tests_at_once().to_string(), "--dist", "loadgroup"]);
            tests.envs(variables.iter().cloned());
            found |= run_suite(&mut tests, options.expression.is_some())?;
            Ok(())
        })?;
    }
    if found { Ok(()) } else { Err(Failure::new("no Python test has such a name")) }
}

/// pytest with the options of the command line, without a folder.
fn pytest(workspace: &Workspace, python: &Path, options: &TestOptions) -> Command {
    let mut tests = process::command(python);
    tests.current_dir(workspace.root()).args(["-m", "pytest", "--timeout", HANG_SECONDS]);
    if let Some(expression) = &options.expression {
        tests.args(["-k", expression]);
    }
    tests.args(&options.pytest);
    tests
}

/// Runs one suite and returns whether it found a test; only `-k` may leave it without one.
fn run_suite(tests: &mut Command, may_be_empty: bool) -> Outcome<bool> {
    const NO_TESTS_COLLECTED: i32 = 5;
    match process::code(tests)? {
        Some(NO_TESTS_COLLECTED) if may_be_empty => Ok(false),
        code => process::judge(tests, code).map(|()| true),
    }
}

/// How many tests run at once: four per core, because most of a test's time is waiting for
/// processes; with three, a third of the processors' time was left. A worker of pytest takes half a
/// GiB.
fn tests_at_once() -> usize {
    const MOST: usize = 12;
    std::thread::available_parallelism().map_or(2, |cores| MOST.min(4 * cores.get()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_without_tests_is_skipped_in_words() {
        let workspace = Workspace::find().unwrap();
        let suite = Suite { step: "x", folder: "tests/no-such-folder", needs: &[] };
        assert_eq!(
            suite.reason_to_skip(&workspace).as_deref(),
            Some("no tests yet in tests/no-such-folder")
        );
        let suite = Suite { folder: "tests", needs: &[("no-such-program", "xyz")], ..suite };
        let reason = suite.reason_to_skip(&workspace).unwrap();
        assert!(reason.starts_with("no-such-program is not installed"), "{reason}");
        let suite = Suite { needs: &[], ..suite };
        assert_eq!(suite.reason_to_skip(&workspace), None);
    }
}
