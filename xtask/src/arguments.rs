//! The command line of `cargo xtask`.
//!
//! Owns the words and their meaning; by hand, because a parser crate would have to be built before
//! the first check of a fresh clone.

use std::iter::Peekable;

/// Help text, also printed after a command line that makes no sense.
pub(crate) const USAGE: &str = "\
Usage: cargo xtask COMMAND

Commands:
  test     run every check and every test; stops at the first step that fails
             --quick      lint, and the tests of what changed since the branch left main
             --rust       lint and the Rust tests only
             --python     the Python tests only
             --services   the tests with other services only (Prometheus, VictoriaMetrics, etcd)
             --browser    the tests of the page in a browser only
             --wheel      the tests of the Python wheel only
             -k EXPR      run the Python tests whose names match (passed to pytest)
             --extended   all suites, also the tests that take long
             -- ARGS      passed to pytest
  lint     formatting, clippy, licences (with cargo-deny), arrows and tidy
  arrows   which crate depends on which, and the layers inside the crates
             --circles    print the circles of files and the names that tie them
  tidy     the rules of the house that no compiler checks
  bench    measure Ferrolab beside Pyro5 and bare TCP; all of it takes ten minutes
             NAME         only scenarios with NAME in their names (--list names them)
             --quick      short rounds: under two minutes
             --json       as JSON, with every round's figures
             --against F  compare with the JSON of an earlier run (bench/records has some)
             --ferrolab P compare with another version's program, in the same rounds
             --help       the other options
  soak     clients, operators and faults at random on a whole lab, with checks throughout
             --minutes N  for how long (10)
             --seed S     as in an earlier run
  simulate hosts
           many hosts on one directory in etcd: how long registrations, losses and faults take
             --hosts N    how many (1000); --help names the other options
  compare  measure `up` and idle memory of one lab under PyroLab and under Ferrolab
  docs     write the pages that are generated from the program: the configuration reference and
             its JSON Schema
  windows  check `wire` and `remote` for x86_64-pc-windows-gnu, where that can be built
  wheel    build the Python wheel in target/wheels, with maturin and zig
             --target T   for another platform: aarch64-unknown-linux-gnu
  tools    install cargo-deny below target/
  venv     make or update the Python environment of the tests; prints its interpreter";

/// A subcommand, with its options.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arguments {
    Help,
    Test(TestOptions),
    Lint,
    Arrows {
        circles: bool,
    },
    Tidy,
    Venv,
    Tools,
    Windows,
    /// For this triple; else for the machines that the tests run on.
    Wheel {
        target: Option<String>,
    },
    /// Its options are the soak's.
    Soak(Vec<String>),
    /// The model to simulate, and the script's options.
    Simulate(Vec<String>),
    Docs,
    Compare,
    /// With what is passed on to the script.
    Bench(Vec<String>),
}

/// Options of `test`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TestOptions {
    pub(crate) quick: bool,
    pub(crate) rust: bool,
    pub(crate) python: bool,
    pub(crate) services: bool,
    pub(crate) browser: bool,
    pub(crate) wheel: bool,
    pub(crate) extended: bool,
    pub(crate) expression: Option<String>,
    pub(crate) pytest: Vec<String>,
}

impl Arguments {
    /// Reads the words after the program's name.
    pub(crate) fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut words = words.into_iter().peekable();
        let Some(command) = words.next() else {
            return Err("a command is missing".to_owned());
        };
        let alone = match command.as_str() {
            "test" => return test_options(words).map(Arguments::Test),
            "bench" => return Ok(Arguments::Bench(words.collect())),
            "soak" => return Ok(Arguments::Soak(words.collect())),
            "simulate" => return Ok(Arguments::Simulate(words.collect())),
            "lint" => Arguments::Lint,
            "arrows" => Arguments::Arrows { circles: flag(&mut words, "--circles") },
            "tidy" => Arguments::Tidy,
            "venv" => Arguments::Venv,
            "tools" => Arguments::Tools,
            "windows" => Arguments::Windows,
            "wheel" => {
                let target = match flag(&mut words, "--target") {
                    true => Some(words.next().ok_or("--target needs a triple")?),
                    false => None,
                };
                Arguments::Wheel { target }
            }
            "docs" => Arguments::Docs,
            "compare" => Arguments::Compare,
            "help" | "--help" | "-h" => Arguments::Help,
            unknown => return Err(format!("unknown command `{unknown}`")),
        };
        match words.next() {
            None => Ok(alone),
            Some(word) => Err(format!("`{command}` takes no `{word}`")),
        }
    }
}

/// Whether `option` comes next; takes it.
fn flag(words: &mut Peekable<impl Iterator<Item = String>>, option: &str) -> bool {
    words.next_if(|word| word == option).is_some()
}

fn test_options(mut words: impl Iterator<Item = String>) -> Result<TestOptions, String> {
    let mut options = TestOptions::default();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" => options.quick = true,
            "--rust" => options.rust = true,
            "--python" => options.python = true,
            "--services" => options.services = true,
            "--browser" => options.browser = true,
            "--wheel" => options.wheel = true,
            "--extended" => options.extended = true,
            "-k" => options.expression = Some(words.next().ok_or("-k needs an expression")?),
            "--" => options.pytest.extend(words.by_ref()),
            unknown => return Err(format!("`test` takes no `{unknown}`")),
        }
    }
    if options.quick && options != (TestOptions { quick: true, ..TestOptions::default() }) {
        return Err("`--quick` chooses the tests itself: it goes with no other option".to_owned());
    }
    let extra = [&mut options.services, &mut options.browser, &mut options.wheel];
    if !options.quick && !options.rust && !options.python && !extra.iter().any(|chosen| **chosen) {
        (options.rust, options.python) = (true, true);
        for suite in extra {
            *suite = options.extended;
        }
        // It takes seconds, and says what it lacks.
        options.services = true;
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    fn options(rust: bool, python: bool) -> TestOptions {
        TestOptions { rust, python, ..TestOptions::default() }
    }

    #[test]
    fn commands_and_options() {
        let picked = TestOptions {
            extended: true,
            expression: Some("down".to_owned()),
            pytest: vec!["-x".to_owned()],
            ..options(false, true)
        };
        let quick = TestOptions { quick: true, ..TestOptions::default() };
        let browser = TestOptions { browser: true, ..TestOptions::default() };
        let all = TestOptions {
            services: true,
            wheel: true,
            extended: true,
            ..TestOptions { rust: true, python: true, browser: true, ..TestOptions::default() }
        };
        let cases = [
            ("test", Arguments::Test(TestOptions { services: true, ..options(true, true) })),
            ("test --quick", Arguments::Test(quick)),
            ("test --browser", Arguments::Test(browser)),
            ("test --extended", Arguments::Test(all)),
            ("test --rust", Arguments::Test(options(true, false))),
            ("test --python", Arguments::Test(options(false, true))),
            ("test --rust --python", Arguments::Test(options(true, true))),
            ("test --python --extended -k down -- -x", Arguments::Test(picked)),
            ("lint", Arguments::Lint),
            ("tidy", Arguments::Tidy),
            ("wheel", Arguments::Wheel { target: None }),
            ("wheel --target x", Arguments::Wheel { target: Some("x".to_owned()) }),
            ("venv", Arguments::Venv),
            (
                "bench oneway --quick",
                Arguments::Bench(["oneway", "--quick"].map(str::to_owned).into()),
            ),
            ("--help", Arguments::Help),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let cases = [
            ("", "a command is missing"),
            ("tset", "`tset`"),
            ("test --fast", "`--fast`"),
            ("test -k", "-k needs"),
            ("test --quick --rust", "no other option"),
            ("lint now", "`now`"),
            ("wheel --target", "needs a triple"),
        ];
        for (line, named) in cases {
            assert!(parse(line).is_err_and(|problem| problem.contains(named)), "{line}");
        }
    }
}
