//! Questions of a worker, and the objects that the drivers of one run have registered, as
//! `self._pyroDaemon.register(...)` does.
//!
//! Owns what a worker may ask of its daemon. Knows nothing of sockets.

use std::collections::HashMap;
use std::sync::Arc;

use wire::value::Value;

use crate::control;
use crate::part_set::PartSet;
use crate::registry::{DaemonLocation, Registry, added};
use crate::run::Run;
use crate::service::{Service, ServicePhase};
use crate::worker_handle::WorkerHandle;

/// The objects that the drivers of one run have registered; they go with it.
pub(crate) struct Registered {
    registry: Arc<dyn Registry>,
    objects: HashMap<String, Service>,
}

impl Registered {
    pub(crate) fn new(registry: Arc<dyn Registry>) -> Self {
        Registered { registry, objects: HashMap::new() }
    }

    /// Does what a worker asks for.
    ///
    /// # Errors
    /// Why that is not possible, for the driver.
    pub(crate) fn answer(
        &mut self,
        worker: &Arc<WorkerHandle>,
        run: &Arc<Run>,
        what: &str,
        arguments: &[Value],
        parts: &mut PartSet,
    ) -> Result<Value, String> {
        match (what, arguments) {
            ("location", []) => {
                let DaemonLocation { location, nat_location, port_everywhere } =
                    self.registry.location();
                Ok(Value::List(vec![location.into(), nat_location.into(), port_everywhere.into()]))
            }
            ("register", [Value::Str(id), members, with]) => {
                let members = control::members(members).ok_or("no list of members")?;
                if let Some(known) = self.objects.get(id) {
                    known.loaded(Arc::clone(run), members, Vec::new(), None);
                    return Ok(added(self.registry.added(id)));
                }
                let service = Service::new(id, Arc::clone(worker));
                service.loaded(Arc::clone(run), members, Vec::new(), None);
                let with = with.as_str();
                self.registry.register(id, Arc::new(service.clone()), with)?;
                self.objects.insert(id.clone(), service);
                Ok(added(self.registry.added(id)))
            }
            ("unregister", [Value::Str(id)]) => {
                if self.objects.remove(id).is_some() {
                    self.registry.unregister(id);
                }
                Ok(Value::None)
            }
            ("parts", [Value::Str(service), Value::Dict(listed)]) => {
                parts.serve(worker, run, service, listed)
            }
            _ => Err(format!("this daemon does not know how to '{what}'")),
        }
    }

    /// The run has ended.
    pub(crate) fn clear(&mut self) {
        for (id, service) in self.objects.drain() {
            self.registry.unregister(&id);
            service.set_phase(ServicePhase::Down("it has gone with its Python worker".to_owned()));
        }
    }
}
