//! From the configuration to workers.

use lab_config::Target;
use py_worker::{
    Expose, InstanceMode, LONGEST, Placement, PythonEnv, ServiceSpec, WorkerSpec,
    default_interpreter, group,
};
use wire::value::Value;

use crate::host::{member_facts, parameters};

/// Workers for the Python services of a daemon.
pub(super) fn specs(
    daemon: &lab_config::Daemon,
    services: &[lab_config::Service],
) -> Vec<WorkerSpec> {
    let placements = services.iter().filter_map(placement).collect();
    let is_multiplex = daemon.servertype == lab_config::ServerType::Multiplex;
    let mut workers = group(&daemon.name, placements, is_multiplex);
    for worker in &mut workers {
        // A driver's answer in marshal may be several times as long as on the wire.
        worker.longest_answer = daemon.max_message_size.saturating_mul(4).min(LONGEST);
        worker.standby = daemon.threadpool_size_min as usize;
    }
    workers
}

fn placement(service: &lab_config::Service) -> Option<Placement> {
    let Target::Python { module, classname } = &service.target else { return None };
    let python = PythonEnv {
        executable: service.python.executable.clone().unwrap_or_else(default_interpreter),
        path: service.python.path.clone(),
        env: service.python.env.clone().into_iter().collect(),
    };
    let spec = ServiceSpec {
        parameters: parameters::dict(&service.parameters),
        arguments: match &service.arguments {
            lab_config::Arguments::Positional(items) if items.is_empty() => Value::None,
            lab_config::Arguments::Positional(items) => {
                Value::List(items.iter().map(parameters::value).collect())
            }
            lab_config::Arguments::Keyword(map) => parameters::value(map),
        },
        instance_mode: match service.instancemode {
            lab_config::InstanceMode::Single => Some(InstanceMode::Single),
            lab_config::InstanceMode::Session => Some(InstanceMode::Session),
            lab_config::InstanceMode::Percall => Some(InstanceMode::PerCall),
            lab_config::InstanceMode::Class => None,
        },
        expose: match &service.expose {
            lab_config::Expose::Decorated => Expose::Marked,
            lab_config::Expose::All => Expose::All,
            lab_config::Expose::Names(names) => Expose::Names(names.clone()),
        },
        except: service.except.clone(),
        parts: service.parts.clone(),
        abort: service.abort.clone(),
        on_disconnect: service.on_disconnect.clone(),
        read_while_locked: service.read_while_locked.clone(),
        members: member_facts::of(service),
        classname: classname.clone(),
        ..ServiceSpec::new(&service.name, module, "")
    };
    Some(Placement { service: spec, python, isolate: service.isolate, watchdog: service.watchdog })
}
