//! Services and interpreters, and which services share a worker.
//!
//! Owns the description of services and interpreters, and the rule which services share a worker.
//! Knows nothing of configuration files or processes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use remote::card::MemberFacts;
use wire::value::{Dict, Value};

/// A Python interpreter and what it runs with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PythonEnv {
    /// The interpreter: a path, or a name that is looked up in PATH.
    pub executable: PathBuf,
    /// Directories to import from, before the interpreter's own.
    pub path: Vec<PathBuf>,
    /// Environment variables, on top of the daemon's.
    pub env: Vec<(String, String)>,
}

/// The interpreter where the configuration names none: `python3` in the program's own folder, where
/// `pip install ferrolab` puts both, so that drivers find what the same environment has; else
/// `python3` in PATH.
#[must_use]
pub fn default_interpreter() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let beside = program.with_file_name("python3");
    if beside.is_file() { beside } else { PathBuf::from("python3") }
}

/// The path of a program: where a name alone is found in PATH, or the path that it is.
#[must_use]
pub fn program_path(program: &Path) -> PathBuf {
    let is_name = program.components().count() == 1 && !program.has_root();
    let folders = std::env::var_os("PATH").filter(|_| is_name).unwrap_or_default();
    let found = std::env::split_paths(&folders).map(|folder| folder.join(program));
    found
        .filter(|path| path.is_absolute())
        .find(|path| path.is_file())
        .unwrap_or_else(|| program.to_path_buf())
}

#[cfg(test)]
impl PythonEnv {
    /// An interpreter with nothing special about it.
    pub fn new(executable: impl Into<PathBuf>) -> Self {
        PythonEnv { executable: executable.into(), path: Vec::new(), env: Vec::new() }
    }
}

/// How instances of a service's class are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceMode {
    /// One for all.
    Single,
    /// One per client connection.
    Session,
    /// One per call.
    PerCall,
}

impl InstanceMode {
    fn name(self) -> &'static str {
        match self {
            InstanceMode::Single => "single",
            InstanceMode::Session => "session",
            InstanceMode::PerCall => "percall",
        }
    }
}

/// Which members of a class are remote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Expose {
    /// Those that the class marks itself (`@expose`).
    #[default]
    Marked,
    /// All public ones as well.
    All,
    /// Those named as well; all public ones where `all` is among the names.
    Names(Vec<String>),
}

/// A service: a class of a Python module, served under a name.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceSpec {
    /// Its name, which is its object id too.
    pub name: String,
    /// The module to import.
    pub module: String,
    /// The class in it, an instance or a function that makes one; dots go into nested classes.
    /// Without it the module itself is served.
    pub classname: Option<String>,
    /// Arguments of `connect()` for `autoconnect()`.
    pub parameters: Dict,
    /// Arguments of the constructor: a list, or a dict of keyword arguments, or `None`.
    pub arguments: Value,
    /// How instances are made; the class says it where this does not.
    pub instance_mode: Option<InstanceMode>,
    /// Remote members.
    pub expose: Expose,
    /// Members that are not remote, although they would be.
    pub except: Vec<String>,
    /// Paths of objects that hang on the instrument and are served below it; `all` for each of
    /// them.
    pub parts: Vec<String>,
    /// Methods to call beside running calls that are aborted; the daemon names them.
    pub abort: Vec<String>,
    /// Methods to call when a session with its own instance ends.
    pub on_disconnect: Vec<String>,
    /// Whether its one instance is made before the first call.
    pub is_eager: bool,
    /// Members that others may use while it is locked: whether there are such is looked at.
    pub read_while_locked: Vec<String>,
    /// Facts about single members, for the service card.
    pub members: Vec<MemberFacts>,
}

impl ServiceSpec {
    /// A service as a name, a module and a class, with nothing else said.
    pub fn new(
        name: impl Into<String>,
        module: impl Into<String>,
        classname: impl Into<String>,
    ) -> Self {
        ServiceSpec {
            name: name.into(),
            module: module.into(),
            classname: Some(classname.into()),
            parameters: Dict::new(),
            arguments: Value::None,
            instance_mode: None,
            expose: Expose::Marked,
            except: Vec::new(),
            parts: Vec::new(),
            abort: Vec::new(),
            on_disconnect: Vec::new(),
            is_eager: false,
            read_while_locked: Vec::new(),
            members: Vec::new(),
        }
    }

    /// The dict that the worker reads.
    pub fn to_value(&self) -> Value {
        let names = |names: &[String]| Value::List(names.iter().map(Value::from).collect());
        let mut dict = Dict::with_capacity(12);
        dict.insert("name", &self.name);
        dict.insert("module", &self.module);
        dict.insert("classname", self.classname.clone());
        dict.insert("parameters", self.parameters.clone());
        dict.insert("arguments", self.arguments.clone());
        dict.insert("instancemode", self.instance_mode.map(InstanceMode::name));
        dict.insert(
            "expose",
            match &self.expose {
                Expose::Marked => Value::None,
                Expose::All => Value::from("all"),
                Expose::Names(listed) => names(listed),
            },
        );
        dict.insert("except", names(&self.except));
        dict.insert("parts", names(&self.parts));
        dict.insert("abort", names(&self.abort));
        dict.insert("on_disconnect", names(&self.on_disconnect));
        dict.insert("start", self.is_eager.then_some("eager"));
        dict.insert("read_while_locked", names(&self.read_while_locked));
        // The names only: the worker reports those that do not exist.
        let arguments = |fact: &MemberFacts| -> Value {
            Value::List(fact.arguments.iter().map(|one| Value::from(&one.name)).collect())
        };
        let members = self.members.iter().map(|fact| (fact.name.as_str(), arguments(fact)));
        dict.insert("members", members.collect::<Dict>());
        Value::Dict(dict)
    }
}

/// A worker: services that share a process.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerSpec {
    /// Its name in logs.
    pub name: String,
    /// The interpreter.
    pub python: PythonEnv,
    /// Its services.
    pub services: Vec<ServiceSpec>,
    /// Whether the main thread carries out all calls, as in a multiplex daemon.
    pub multiplex: bool,
    /// After how long without a sign of life it is killed.
    pub watchdog: Option<Duration>,
    /// Whether it only imports and describes the services' classes, and makes no instance.
    pub imports_only: bool,
    /// The longest answer that it may send, in bytes.
    pub max_answer_bytes: usize,
    /// Channels whose threads are up before anyone needs them (Pyro5's `THREADPOOL_SIZE_MIN`).
    pub standby: usize,
}

impl WorkerSpec {
    /// Whether a service has methods that bring its instrument to a safe state.
    pub(crate) fn has_safe_state(&self, service: &str) -> bool {
        let mut services = self.services.iter();
        services.any(|known| known.name == service && !known.on_disconnect.is_empty())
    }

    /// Whether it has the services of another one, in the same order.
    #[must_use]
    pub fn serves_as(&self, other: &WorkerSpec) -> bool {
        let names = |spec: &WorkerSpec| {
            spec.services.iter().map(|service| service.name.clone()).collect::<Vec<_>>()
        };
        self.name == other.name && names(self) == names(other)
    }
}

/// Pyro5's `THREADPOOL_SIZE_MIN` where nothing else is set.
pub(crate) const STANDBY: usize = 4;

/// A service and what decides about its worker.
#[derive(Clone, Debug, PartialEq)]
pub struct Placement {
    /// The service.
    pub service: ServiceSpec,
    /// The interpreter it needs.
    pub python: PythonEnv,
    /// Whether it wants a worker to itself.
    pub isolate: bool,
    /// After how long without a sign of life its worker is killed.
    pub watchdog: Option<Duration>,
}

/// Puts services into workers: those with the same interpreter, path and environment share one, so
/// that they can share a controller's handle, unless they are to be isolated.
///
/// `name` is that of the daemon. The order of the services decides the order of the workers.
pub fn group(name: &str, services: Vec<Placement>, multiplex: bool) -> Vec<WorkerSpec> {
    let mut workers: Vec<(bool, WorkerSpec)> = Vec::new();
    for placement in services {
        let shared = workers
            .iter_mut()
            .find(|(isolated, worker)| {
                !*isolated && !placement.isolate && worker.python == placement.python
            })
            .map(|(_, worker)| worker);
        if let Some(worker) = shared {
            worker.watchdog = [worker.watchdog, placement.watchdog].into_iter().flatten().min();
            worker.services.push(placement.service);
            continue;
        }
        let worker_name = if placement.isolate {
            placement.service.name.clone()
        } else {
            match workers.iter().filter(|(isolated, _)| !isolated).count() {
                0 => name.to_owned(),
                others => format!("{name}/{}", others + 1),
            }
        };
        workers.push((
            placement.isolate,
            WorkerSpec {
                name: worker_name,
                python: placement.python,
                services: vec![placement.service],
                multiplex,
                imports_only: false,
                max_answer_bytes: crate::frames::MAX_FRAME_BYTES,
                watchdog: placement.watchdog,
                standby: STANDBY,
            },
        ));
    }
    workers.into_iter().map(|(_, worker)| worker).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_share_workers() {
        let place = |name: &str, python: &str, isolate, watchdog: Option<u64>| Placement {
            service: ServiceSpec::new(name, "m", "C"),
            python: PythonEnv::new(python),
            isolate,
            watchdog: watchdog.map(Duration::from_secs),
        };
        let workers = group(
            "bench",
            vec![
                place("a", "p1", false, None),
                place("b", "p2", false, None),
                place("c", "p1", true, None),
                place("d", "p1", false, Some(9)),
                place("e", "p1", false, Some(5)),
            ],
            false,
        );
        let got: Vec<(&str, Vec<&str>, Option<u64>)> = workers
            .iter()
            .map(|worker| {
                let services = worker.services.iter().map(|service| service.name.as_str());
                let watchdog = worker.watchdog.map(|duration| duration.as_secs());
                (worker.name.as_str(), services.collect(), watchdog)
            })
            .collect();
        assert_eq!(
            got,
            [
                ("bench", vec!["a", "d", "e"], Some(5)),
                ("bench/2", vec!["b"], None),
                ("c", vec!["c"], None)
            ]
        );
    }
}
