//! The Python environments of the tests: `target/test-venv` and its like, and Pyro5's own tests.
//!
//! Owns finding an interpreter, making an environment from its file of exact versions and knowing
//! when it is out of date. A stamp, written last, tells what it was made from: an interrupted
//! installation leaves none and is begun anew.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Outcome};
use crate::process;
use crate::workspace::Workspace;

/// The oldest Python that can run the tests: PyroLab 0.5 supports none before it.
/// (The drivers' own interpreters may be older.)
const OLDEST: (u32, u32) = (3, 11);

/// Where to look, the usual name first.
const INTERPRETERS: [&str; 5] = ["python3", "python3.14", "python3.13", "python3.12", "python3.11"];

/// Prints an interpreter's version, path, full version and whether it can make environments.
const PROBE: &str = "\
import importlib.util, os, sys
print('%d.%d' % sys.version_info[:2])
print(os.path.realpath(sys.executable))
print(' '.join(sys.version.split()))
print(all(importlib.util.find_spec(name) for name in ('venv', 'ensurepip')))
";

/// Puts the folder `tests` of the source package in a folder beside that package.
const UNPACK_TESTS: &str = "\
import pathlib, sys, tarfile
folder = pathlib.Path(sys.argv[1])
tests = folder / 'tests'
tests.mkdir()
with tarfile.open(next(folder.glob('*.tar.gz'))) as package:
    for member in package:
        path = pathlib.PurePosixPath(member.name)
        if member.isfile() and path.parent.name == 'tests':
            (tests / path.name).write_bytes(package.extractfile(member).read())
";

/// An environment.
pub(crate) struct Environment {
    folder: &'static str,
    /// A file in `tests`.
    requirements: &'static str,
    /// Whether pip may add what these need; else the file is taken as it is.
    resolve: bool,
}

/// The tests' environment.
pub(crate) const TESTS: Environment =
    Environment { folder: "test-venv", requirements: "requirements.txt", resolve: true };
/// A second interpreter of the same daemon.
pub(crate) const PYMEASURE: Environment = Environment {
    folder: "test-venv-pymeasure",
    requirements: "requirements-pymeasure.txt",
    resolve: false,
};
/// Type checkers.
pub(crate) const TYPES: Environment = Environment {
    folder: "test-venv-types",
    requirements: "requirements-types.txt",
    resolve: false,
};
/// Large libraries, for `--extended`.
pub(crate) const LIBRARIES: Environment = Environment {
    folder: "test-venv-libraries",
    requirements: "requirements-libraries.txt",
    resolve: true,
};

/// Drives the browser of the browser tests.
pub(crate) const BROWSER: Environment = Environment {
    folder: "test-venv-browser",
    requirements: "requirements-browser.txt",
    resolve: false,
};

/// Builds the wheel.
pub(crate) const WHEEL: Environment =
    Environment { folder: "wheel-venv", requirements: "requirements-wheel.txt", resolve: false };

/// Programs for `cargo xtask lint`.
pub(crate) const TOOLS: Environment =
    Environment { folder: "tools", requirements: "requirements-tools.txt", resolve: false };

/// Makes or updates an environment, if it is not what it should be, and returns its interpreter.
pub(crate) fn ensure(workspace: &Workspace, environment: &Environment) -> Outcome<PathBuf> {
    let requirements = workspace.root().join("tests").join(environment.requirements);
    let wanted = fs::read_to_string(&requirements)
        .map_err(|error| Failure::file("read", &requirements, &error))?;
    let interpreter = find_interpreter()?;
    let stamp = stamp(&interpreter, &wanted);

    let target = workspace.root().join("target");
    let folder = target.join(environment.folder);
    let stamp_file = folder.join("made-from.txt");
    let python = folder.join("bin").join("python");

    fs::create_dir_all(&target).map_err(|error| Failure::file("make", &target, &error))?;
    let lock_file = target.join(environment.folder).with_extension("lock");
    let lock =
        File::create(&lock_file).map_err(|error| Failure::file("create", &lock_file, &error))?;
    lock.lock().map_err(|error| Failure::file("lock", &lock_file, &error))?;
    let current = fs::read_to_string(&stamp_file).is_ok_and(|text| text == stamp);
    if current && python.exists() {
        return Ok(python);
    }

    eprintln!("making {} with Python {}", folder.display(), interpreter.full_version);
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| Failure::file("remove", &folder, &error))?;
    }
    process::run(process::command(&interpreter.path).args(["-m", "venv"]).arg(&folder))?;
    let mut pip = process::command(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    if !environment.resolve {
        pip.arg("--no-deps");
    }
    process::run(pip.arg("--requirement").arg(&requirements)).map_err(|failure| {
        failure.hint("the packages come from PyPI: is it reachable, or PIP_INDEX_URL set?")
    })?;
    write_stamp(&stamp_file, &stamp)?;
    Ok(python)
}

/// Unpacks Pyro5's own tests from its source package and returns their folder. The package's file
/// is the one whose hash `requirements-pyro5-suite.txt` has.
pub(crate) fn ensure_pyro5_suite(workspace: &Workspace, python: &Path) -> Outcome<PathBuf> {
    let requirements = workspace.root().join("tests").join("requirements-pyro5-suite.txt");
    let wanted = fs::read_to_string(&requirements)
        .map_err(|error| Failure::file("read", &requirements, &error))?;
    let folder = workspace.root().join("target").join("pyro5-suite");
    let stamp_file = folder.join("made-from.txt");
    let tests = folder.join("tests");

    let lock_file = folder.with_extension("lock");
    let lock =
        File::create(&lock_file).map_err(|error| Failure::file("create", &lock_file, &error))?;
    lock.lock().map_err(|error| Failure::file("lock", &lock_file, &error))?;
    if fs::read_to_string(&stamp_file).is_ok_and(|text| text == wanted) && tests.exists() {
        return Ok(tests);
    }

    eprintln!("fetching Pyro5's own tests into {}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| Failure::file("remove", &folder, &error))?;
    }
    let mut pip = process::command(python);
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check"]);
    pip.args(["--no-deps", "--no-binary", ":all:", "--require-hashes"]);
    pip.arg("--requirement").arg(&requirements).arg("--dest").arg(&folder);
    process::run(&mut pip).map_err(|failure| {
        failure.hint("the package comes from PyPI: is it reachable, or PIP_INDEX_URL set?")
    })?;
    process::run(process::command(python).args(["-c", UNPACK_TESTS]).arg(&folder))?;
    write_stamp(&stamp_file, &wanted)?;
    Ok(tests)
}

#[derive(Debug, PartialEq, Eq)]
struct Interpreter {
    version: (u32, u32),
    path: PathBuf,
    full_version: String,
    makes_environments: bool,
}

fn find_interpreter() -> Outcome<Interpreter> {
    let candidates = INTERPRETERS.iter().filter_map(|name| {
        let answer = process::output(process::command(name).args(["-c", PROBE])).ok()?;
        parse_probe(&answer)
    });
    choose(candidates)
}

fn parse_probe(answer: &str) -> Option<Interpreter> {
    let mut lines = answer.lines();
    let (major, minor) = lines.next()?.split_once('.')?;
    Some(Interpreter {
        version: (major.parse().ok()?, minor.parse().ok()?),
        path: PathBuf::from(lines.next()?),
        full_version: lines.next()?.to_owned(),
        makes_environments: lines.next()? == "True",
    })
}

/// The first that will do; else what is wrong with the best one and what to install.
fn choose(candidates: impl Iterator<Item = Interpreter>) -> Outcome<Interpreter> {
    let (major, minor) = OLDEST;
    let install = "on Debian: apt-get install python3 python3-venv";
    let mut rejected = None;
    for candidate in candidates {
        if candidate.version >= OLDEST && candidate.makes_environments {
            return Ok(candidate);
        }
        rejected.get_or_insert(candidate);
    }
    let problem = match rejected {
        None => Failure::new(format!("no python3 is on the PATH ({major}.{minor} or later)")),
        Some(old) if old.version < OLDEST => Failure::new(format!(
            "{} is Python {}: the tests need {major}.{minor} or later",
            old.path.display(),
            old.full_version
        )),
        Some(bare) => Failure::new(format!(
            "{} cannot make virtual environments: its modules venv and ensurepip are missing",
            bare.path.display()
        )),
    };
    Err(problem.hint(install))
}

fn stamp(interpreter: &Interpreter, requirements: &str) -> String {
    format!("{}\n{}\n\n{requirements}", interpreter.path.display(), interpreter.full_version)
}

fn write_stamp(path: &Path, stamp: &str) -> Outcome<()> {
    let unfinished = path.with_extension("new");
    File::create(&unfinished)
        .and_then(|mut file| file.write_all(stamp.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&unfinished, path))
        .map_err(|error| Failure::file("write", path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn python(version: (u32, u32), makes_environments: bool) -> Interpreter {
        Interpreter {
            version,
            path: PathBuf::from(format!("/usr/bin/python{}.{}", version.0, version.1)),
            full_version: format!("{}.{}.1 (main)", version.0, version.1),
            makes_environments,
        }
    }

    fn chosen(candidates: Vec<Interpreter>) -> Result<(u32, u32), String> {
        choose(candidates.into_iter())
            .map(|interpreter| interpreter.version)
            .map_err(|failure| failure.to_string())
    }

    #[test]
    fn the_first_that_will_do() {
        assert_eq!(chosen(vec![python((3, 12), true), python((3, 13), true)]), Ok((3, 12)));
        assert_eq!(chosen(vec![python((3, 9), true), python((3, 13), true)]), Ok((3, 13)));
        assert_eq!(chosen(vec![python((3, 12), false), python((3, 11), true)]), Ok((3, 11)));
    }

    #[test]
    fn what_is_missing_is_told() {
        for (candidates, problem) in [
            (vec![], "no python3 is on the PATH"),
            (vec![python((3, 9), true)], "is Python 3.9.1"),
            (vec![python((3, 12), false)], "venv and ensurepip are missing"),
        ] {
            let message = chosen(candidates).unwrap_err();
            assert!(message.contains(problem) && message.contains("python3-venv"), "{message}");
        }
    }

    #[test]
    fn a_probe_answer() {
        let answer = "3.11\n/usr/bin/python3.11\n3.11.2 (main)\nTrue\n";
        let interpreter = parse_probe(answer).unwrap();
        assert_eq!(interpreter.version, (3, 11));
        assert!(interpreter.makes_environments);
        assert_eq!(parse_probe("Python 2.7"), None);
        assert_ne!(stamp(&interpreter, "a==1"), stamp(&interpreter, "a==2"));
    }
}
