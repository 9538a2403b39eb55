//! Parts of services: objects that hang on an instrument and are served below its service.
//!
//! Owns the objects that stand for them in the daemon. Unlike objects that a driver registers, they
//! stay over restarts of the worker, so that a call in the meantime hears why it cannot be served.

use std::collections::BTreeMap;
use std::sync::Arc;

use wire::value::{Dict, Value};

use crate::control::{self, Described, Trouble};
use crate::registry::{Registry, added};
use crate::run::Run;
use crate::service::{Service, ServicePhase};
use crate::worker_handle::WorkerHandle;

/// The parts of a worker's services, by id.
pub(crate) struct PartSet {
    registry: Arc<dyn Registry>,
    parts: BTreeMap<String, Service>,
}

impl PartSet {
    pub(crate) fn new(registry: Arc<dyn Registry>) -> Self {
        PartSet { registry, parts: BTreeMap::new() }
    }

    /// Serves the parts that a worker lists for a service, and no others of it. The answer holds
    /// the methods that their lock adds, and why some cannot be served.
    ///
    /// # Errors
    /// The list cannot be read.
    pub(crate) fn serve(
        &mut self,
        worker: &Arc<WorkerHandle>,
        run: &Arc<Run>,
        owner: &str,
        listed: &Dict,
    ) -> Result<Value, String> {
        let mut wanted: BTreeMap<&str, Described> = BTreeMap::new();
        for (id, members) in listed.iter() {
            let members = control::members(members).ok_or("no list of members")?;
            wanted.insert(id.as_str().ok_or("an id that is no text")?, members);
        }
        self.retain(owner, |id| wanted.contains_key(id));
        let mut refused = Dict::new();
        let mut ids = Vec::new();
        for (id, members) in wanted {
            let is_new = !self.parts.contains_key(id);
            let new = || Service::part_of(owner, id, Arc::clone(worker));
            let part = self.parts.entry(id.to_owned()).or_insert_with(new);
            part.loaded(Arc::clone(run), members, Vec::new(), None);
            if is_new
                && let Err(reason) = self.registry.register(id, Arc::new(part.clone()), Some(owner))
            {
                self.parts.remove(id);
                refused.insert(id, reason);
                continue;
            }
            ids.push(id.to_owned());
        }
        self.registry.set_parts(owner, ids);
        Ok(Value::List(vec![added(self.registry.added(owner)), refused.into()]))
    }

    /// Ends the parts of a service.
    pub(crate) fn remove_all_of(&mut self, owner: &str) {
        self.retain(owner, |_| false);
        self.registry.set_parts(owner, Vec::new());
    }

    /// Ends the parts of a service with other ids.
    fn retain(&mut self, owner: &str, stays: impl Fn(&str) -> bool) {
        self.parts.retain(|id, part| {
            let stays = part.owner() != owner || stays(id);
            if !stays {
                self.registry.unregister(id);
                let text = format!("service '{owner}' has no such part any more");
                part.set_phase(ServicePhase::Down(text));
            }
            stays
        });
    }

    /// A service is loaded. Calls of its parts reach the worker, also where that has made no
    /// instance yet.
    pub(crate) fn owner_loaded(&self, owner: &str, run: &Arc<Run>) {
        for part in self.of(owner) {
            if !matches!(part.phase(), ServicePhase::Serving { run: known, .. } if Arc::ptr_eq(&known, run))
            {
                part.set_phase(ServicePhase::Serving { run: Arc::clone(run), broken: None });
            }
        }
    }

    /// A service cannot be loaded.
    pub(crate) fn owner_failed(&self, owner: &str, trouble: &Trouble) {
        for part in self.of(owner) {
            part.set_phase(ServicePhase::Failed(trouble.clone()));
        }
    }

    /// Takes up what the worker's new specification says of the parts' services.
    pub(crate) fn follow_spec(&self) {
        for part in self.parts.values() {
            part.follow_spec();
        }
    }

    /// Lays the facts of the worker's specification over the cards of the parts.
    pub(crate) fn lay_facts(&self) {
        for part in self.parts.values() {
            part.lay_facts();
        }
    }

    /// Sets the phase that all services of the worker have.
    pub(crate) fn set_all(&self, phase: &ServicePhase) {
        for part in self.parts.values() {
            part.set_phase(phase.clone());
        }
    }

    fn of<'a>(&'a self, owner: &'a str) -> impl Iterator<Item = &'a Service> {
        self.parts.values().filter(move |part| part.owner() == owner)
    }
}
