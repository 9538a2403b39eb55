//! From the configuration to workers, and what a change of the configuration means for them.

use std::collections::BTreeSet;

use lab_config::{Daemon, DaemonPart, Member, Python, Service, Target};
use py_worker::{
    Expose, InstanceMode, MAX_FRAME_BYTES, Placement, PythonEnv, ServiceSpec, WorkerSpec,
    default_interpreter, group,
};
use remote::card::MemberFacts;
use wire::value::Value;

use crate::host::{alarms, member_facts, parameters};

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
        worker.max_answer_bytes = daemon.max_message_size.saturating_mul(4).min(MAX_FRAME_BYTES);
        worker.standby = daemon.threadpool_size_min as usize;
    }
    workers
}

/// The services that restart when a running daemon takes up `new` in the place of `old`: all those
/// of each worker that changes. `None` if the daemon itself has to restart: it is changed, names
/// change, a service comes or goes, or moves to another worker.
pub(crate) fn services_to_restart(old: &DaemonPart, new: &DaemonPart) -> Option<BTreeSet<String>> {
    // The Python of each service is complete.
    let apart = |daemon: &Daemon| Daemon { python: Python::default(), ..daemon.clone() };
    if apart(&old.daemon) != apart(&new.daemon)
        || old.nameservers != new.nameservers
        || old.services.len() != new.services.len()
    {
        return None;
    }
    // A daemon that began without alarms has no task that could look at some.
    let has_alarms = alarms::are_in(&old.services);
    let may_stay = |(old, new): (&Service, &Service)| {
        let mut old = old.clone();
        if has_alarms {
            take_alarms(&mut old.members, &new.members);
        }
        with_changes_in_place(&old, new, has_alarms) == *new
    };
    if !old.services.iter().zip(&new.services).all(may_stay) {
        return None;
    }
    let changed = changed_workers(old, new)?;
    let services = changed.into_iter().flat_map(|worker| worker.services);
    Some(services.map(|service| service.name).collect())
}

/// A service with those settings of another one that a running daemon can take up: of its calls,
/// its lock and its worker. A new setting is not among them until the daemon can.
fn with_changes_in_place(old: &Service, new: &Service, has_alarms: bool) -> Service {
    let new = new.clone();
    let is_native = [old, &new].iter().any(|one| matches!(one.target, Target::Native(_)));
    let of_any = Service {
        // Only the supervisor shows them.
        tags: new.tags,
        call_timeout: new.call_timeout,
        on_timeout: new.on_timeout,
        description: new.description,
        health: new.health,
        call_log: new.call_log,
        abort: new.abort,
        read_while_locked: new.read_while_locked,
        on_disconnect: new.on_disconnect,
        lock_max_wait: new.lock_max_wait,
        lock_max_ttl: new.lock_max_ttl,
        lock_idle: new.lock_idle,
        // A built-in service has a Python like all others, and uses none.
        python: new.python,
        ..old.clone()
    };
    if is_native {
        let mut of_any = of_any;
        for member in &mut of_any.members {
            if let Some(new) = new.members.iter().find(|new| new.name == member.name) {
                member.role.clone_from(&new.role);
            }
        }
        return of_any;
    }
    let with_facts = |member| with_facts_in_place(old, member, has_alarms);
    Service {
        target: new.target,
        parameters: new.parameters,
        arguments: new.arguments,
        instancemode: new.instancemode,
        expose: new.expose,
        except: new.except,
        parts: new.parts,
        isolate: new.isolate,
        watchdog: new.watchdog,
        members: new.members.into_iter().map(with_facts).collect(),
        ..of_any
    }
}

/// A member with those facts of another one of its name that a running daemon can take up.
fn with_facts_in_place(old: &Service, new: Member, has_alarms: bool) -> Member {
    let known = old.members.iter().find(|known| known.name == new.name).cloned();
    let known = known.unwrap_or_else(|| Member::named(&new.name));
    Member {
        value: new.value,
        arguments: new.arguments,
        poll: new.poll,
        keep: new.keep,
        deadband: new.deadband,
        call_timeout: new.call_timeout,
        private: new.private,
        // The rules of access take it up.
        role: new.role,
        alarms: if has_alarms { new.alarms } else { known.alarms.clone() },
        ..known
    }
}

/// Gives members the alarms of the same ones in `new`.
fn take_alarms(members: &mut [Member], new: &[Member]) {
    for member in members {
        if let Some(new) = new.iter().find(|new| new.name == member.name) {
            member.alarms.clone_from(&new.alarms);
        }
    }
}

/// The workers that restart when a running daemon takes up `new` in the place of `old`; `None` if
/// there are others then.
pub(super) fn changed_workers(old: &DaemonPart, new: &DaemonPart) -> Option<Vec<WorkerSpec>> {
    let before = specs(&old.daemon, &old.services);
    let after = specs(&new.daemon, &new.services);
    let same = before.len() == after.len()
        && before.iter().zip(&after).all(|(before, after)| before.serves_as(after));
    let changed = before.iter().zip(after);
    let changed = changed.filter(|(before, after)| without_series(before) != without_series(after));
    same.then(|| changed.map(|(_, after)| after).collect())
}

/// The specifications of workers that go on, where their services have other facts about series.
pub(super) fn workers_with_other_series(old: &DaemonPart, new: &DaemonPart) -> Vec<WorkerSpec> {
    let before = specs(&old.daemon, &old.services);
    let after = specs(&new.daemon, &new.services);
    let changed = before.iter().zip(after).filter(|(before, after)| {
        *before != after && without_series(before) == without_series(after)
    });
    changed.map(|(_, after)| after).collect()
}

/// A worker without the facts about series, which its process does not need.
fn without_series(spec: &WorkerSpec) -> WorkerSpec {
    let mut spec = spec.clone();
    for service in &mut spec.services {
        service.members.iter_mut().for_each(|fact| fact.series = None);
        service.members.retain(|fact| {
            *fact != MemberFacts { name: fact.name.clone(), ..MemberFacts::default() }
        });
    }
    spec
}

/// The services that share a service's worker, and itself; none if it has no worker.
pub(crate) fn services_beside(part: &DaemonPart, service: &str) -> BTreeSet<String> {
    let workers = specs(&part.daemon, &part.services);
    let names = |worker: WorkerSpec| -> BTreeSet<String> {
        worker.services.into_iter().map(|service| service.name).collect()
    };
    workers.into_iter().map(names).find(|names| names.contains(service)).unwrap_or_default()
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
        is_eager: service.start == lab_config::Start::Eager,
        read_while_locked: service.read_while_locked.clone(),
        members: member_facts::of(service),
        classname: classname.clone(),
        ..ServiceSpec::new(&service.name, module, "")
    };
    Some(Placement { service: spec, python, isolate: service.isolate, watchdog: service.watchdog })
}

#[cfg(test)]
mod tests {
    use lab_config::{Configuration, Surroundings};

    use super::*;

    const LAB: &str = "\
python: {path: [/drivers]}
daemons: {bench: {classname: LockableDaemon, port: 1}}
services:
  stage: {module: m, classname: C, daemon: bench, instancemode: single}
  cam: {module: m, classname: C, daemon: bench, instancemode: single}
  shutter: {module: m, classname: C, daemon: bench, instancemode: single, isolate: true}
  supply: {native: simulated.power_supply, daemon: bench, members: {voltage: {alarm: {above: 9}}}}
";

    fn part(text: &str) -> DaemonPart {
        let parsed = Configuration::parse("lab.yaml", text.as_bytes(), &Surroundings::default());
        parsed.unwrap().0.part_of("bench").unwrap()
    }

    #[test]
    fn a_change_restarts_the_workers_that_it_concerns() {
        let together: &[&str] = &["cam", "stage"];
        let cases: [(&str, &str, Option<&[&str]>); 24] = [
            ("stage: {", "stage: {arguments: [1], ", Some(together)),
            ("stage: {", "stage: {on_disconnect: [stop], ", Some(together)),
            ("shutter: {", "shutter: {python: {path: [/other]}, ", Some(&["shutter"])),
            ("[/drivers]", "[/other]", Some(&["cam", "shutter", "stage"])),
            ("shutter: {", "shutter: {lock_max_wait: 5, ", Some(&[])),
            ("stage: {", "stage: {description: Stage, ", Some(&[])),
            ("stage: {", "stage: {members: {x: {poll: 1s, keep: 1d, deadband: 1%}}, ", Some(&[])),
            ("stage: {", "stage: {members: {x: {poll: 1s, unit: V}}, ", Some(together)),
            ("stage: {", "stage: {call_timeout: 5, on_timeout: restart, ", Some(&[])),
            ("stage: {", "stage: {call_log: all, ", Some(&[])),
            ("stage: {", "stage: {members: {x: {call_timeout: 5, private: true}}, ", Some(&[])),
            ("stage: {", "stage: {members: {x: {maximum: 3}}, ", Some(together)),
            ("shutter: {", "shutter: {abort: [stop], ", Some(&["shutter"])),
            ("shutter: {", "shutter: {health: read, ", Some(&[])),
            ("shutter: {", "shutter: {start: eager, ", None),
            ("stage: {", "stage: {isolate: true, ", None),
            ("stage: {", "stage: {python: {path: [/other]}, ", None),
            ("stage: {", "table: {", None),
            ("  cam: {module: m, classname: C, daemon: bench, instancemode: single}\n", "", None),
            ("supply: {", "supply: {read_while_locked: [measure], call_timeout: 5, ", Some(&[])),
            ("port: 1", "port: 2", None),
            ("{above: 9}", "{above: 5}", Some(&[])),
            ("alarm: {above: 9}", "unit: V", None),
            ("cam: {", "cam: {members: {x: {poll: 1s, alarm: {above: 5}}}, ", Some(&[])),
        ];
        for (from, to, expected) in cases {
            let changed = LAB.replace(from, to);
            assert_ne!(changed, LAB, "{from}");
            let restarts = services_to_restart(&part(LAB), &part(&changed));
            let expected = expected.map(|names| names.iter().map(|name| (*name).into()).collect());
            assert_eq!(restarts, expected, "{to}");
        }
        let beside = |service: &str| Vec::from_iter(services_beside(&part(LAB), service));
        assert_eq!(beside("stage"), together);
        assert_eq!(beside("supply"), [""; 0]);
    }
}
