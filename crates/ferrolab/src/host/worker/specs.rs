//! From the configuration to workers.

use std::path::PathBuf;

use super::frames::LONGEST;
use super::spec::{Expose, InstanceMode, Placement, PythonEnv, ServiceSpec, WorkerSpec, group};
use crate::config::{self, Target};
use crate::host::parameters;
use wire::value::Value;

/// Workers for the Python services of a daemon.
pub(crate) fn specs(daemon: &config::Daemon, services: &[config::Service]) -> Vec<WorkerSpec> {
    let placements = services.iter().filter_map(placement).collect();
    let is_multiplex = daemon.servertype == config::ServerType::Multiplex;
    let mut workers = group(&daemon.name, placements, is_multiplex);
    for worker in &mut workers {
        // What a driver's answer takes in marshal is up to some times what it takes on the wire.
        worker.longest_answer = daemon.max_message_size.saturating_mul(4).min(LONGEST);
        worker.standby = daemon.threadpool_size_min as usize;
    }
    workers
}

fn placement(service: &config::Service) -> Option<Placement> {
    let Target::Python { module, classname } = &service.target else { return None };
    let python = PythonEnv {
        executable: service.python.executable.clone().unwrap_or_else(|| PathBuf::from("python3")),
        path: service.python.path.clone(),
        env: service.python.env.clone().into_iter().collect(),
    };
    let spec = ServiceSpec {
        parameters: parameters::dict(&service.parameters),
        arguments: match &service.arguments {
            config::Arguments::Positional(items) if items.is_empty() => Value::None,
            config::Arguments::Positional(items) => {
                Value::List(items.iter().map(parameters::value).collect())
            }
            config::Arguments::Keyword(map) => parameters::value(map),
        },
        instance_mode: match service.instancemode {
            config::InstanceMode::Single => Some(InstanceMode::Single),
            config::InstanceMode::Session => Some(InstanceMode::Session),
            config::InstanceMode::Percall => Some(InstanceMode::PerCall),
            config::InstanceMode::Class => None,
        },
        expose: match &service.expose {
            config::Expose::Decorated => Expose::Marked,
            config::Expose::All => Expose::All,
            config::Expose::Names(names) => Expose::Names(names.clone()),
        },
        on_disconnect: service.on_disconnect.clone(),
        read_while_locked: service.read_while_locked.clone(),
        ..ServiceSpec::new(&service.name, module, classname)
    };
    Some(Placement { service: spec, python, isolate: service.isolate, watchdog: service.watchdog })
}
