//! Python packages that drivers need, asked of the interpreters of their services.
//!
//! No driver is imported: a script (`ask.py`) reads the sources of drivers and the metadata of
//! installed packages. Services with one interpreter, path and environment are one question.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use lab_config::{Configuration, Python, Target};
use py_worker::default_interpreter;
use serde::{Deserialize, Serialize};
use supervisor::{CommandSpec, Exit, Lines, Output, Spawner, Stdin};
use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio::time::timeout;

const SCRIPT: &str = include_str!("ask.py");
/// Time for one interpreter. Its packages may be on a slow network disk.
const PACKAGES_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest answer, in bytes.
const LONGEST_ANSWER: usize = 4 << 20;

/// The packages of the drivers of some services.
#[derive(Debug)]
pub(crate) struct DriverPackages {
    pub(crate) services: Vec<String>,
    /// The interpreter.
    pub(crate) python: PathBuf,
    pub(crate) answer: Result<PackageAnswer, String>,
}

/// The answer of an interpreter.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct PackageAnswer {
    /// Its version.
    pub(crate) version: String,
    /// Packages that the drivers need, as `NAME==VERSION`.
    pub(crate) needs: Vec<String>,
    /// Modules that the drivers import and that are nowhere.
    pub(crate) unknown: Vec<String>,
    /// Services whose own module is nowhere, with its name.
    pub(crate) absent: Vec<(String, String)>,
    /// The versions of the packages that were asked for; `None` for those that are not installed.
    pub(crate) installed: BTreeMap<String, Option<String>>,
}

#[derive(Debug, Serialize)]
struct Question<'a> {
    path: &'a [PathBuf],
    /// Modules by services.
    services: &'a BTreeMap<String, String>,
    /// Names of packages.
    wanted: &'a [String],
}

/// The needs of the drivers of a configuration; `wanted` names the packages of a service that are
/// looked for besides.
pub(crate) async fn driver_packages(
    configuration: &Configuration,
    wanted: impl Fn(&str) -> Vec<String>,
) -> Vec<DriverPackages> {
    let mut groups: Vec<(Python, BTreeMap<String, String>)> = Vec::new();
    for service in &configuration.services {
        let Target::Python { module, .. } = &service.target else { continue };
        let python = configuration.python_for(service);
        let row = (service.name.clone(), module.clone());
        match groups.iter_mut().find(|(known, _)| *known == python) {
            Some((_, services)) => drop(services.insert(row.0, row.1)),
            None => groups.push((python, BTreeMap::from([row]))),
        }
    }
    let mut packages = Vec::new();
    for (python, services) in groups {
        let mut wanted: Vec<String> = services.keys().flat_map(|name| wanted(name)).collect();
        wanted.sort();
        wanted.dedup();
        let question = Question { path: &python.path, services: &services, wanted: &wanted };
        let asked =
            timeout(PACKAGES_TIMEOUT, ask(&python, &question, configuration.folder.clone())).await;
        packages.push(DriverPackages {
            answer: asked.unwrap_or_else(|_| Err(format!("no answer within {PACKAGES_TIMEOUT:?}"))),
            python: python.executable.clone().unwrap_or_else(default_interpreter),
            services: services.into_keys().collect(),
        });
    }
    packages
}

async fn ask(
    python: &Python,
    question: &Question<'_>,
    folder: Option<PathBuf>,
) -> Result<PackageAnswer, String> {
    let program = python.executable.clone().unwrap_or_else(default_interpreter);
    let mut command = CommandSpec::new(program).args(["-c", SCRIPT]);
    command.env = python.env.iter().map(|(name, value)| (name.into(), value.into())).collect();
    // Relative entries of variables begin where drivers run.
    command.current_dir = folder.filter(|folder| folder.is_dir());
    (command.stdin, command.stdout, command.stderr) = (Stdin::Pipe, Output::Pipe, Output::Pipe);
    let question = serde_json::to_vec(question).map_err(|error| error.to_string())?;
    let spawner = Spawner::permanent().map_err(|error| error.to_string())?;
    let mut child = spawner.spawn(command).await.map_err(|error| error.to_string())?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // One that does not read it says why on its standard error.
            let _ = stdin.write_all(&question).await;
        }
    };
    let ((), answer, error) = tokio::join!(write, last_line(stdout), last_line(stderr));
    match child.wait().await {
        Exit::Code(0) => serde_json::from_str(&answer)
            .map_err(|error| format!("its answer cannot be read ({error})")),
        exit if error.is_empty() => Err(format!("it {exit}")),
        _ => Err(error),
    }
}

/// The last line of a stream that is not empty.
async fn last_line<R: AsyncRead + Unpin>(lines: Option<Lines<R>>) -> String {
    let mut last = String::new();
    let Some(lines) = lines else { return last };
    let mut lines = lines.limited(LONGEST_ANSWER);
    while let Ok(Some(line)) = lines.next().await {
        if !line.trim().is_empty() {
            last = line;
        }
    }
    last
}
