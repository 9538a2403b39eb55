//! Groups of changes that go to the registry as one transaction each.
//!
//! Groups of one stage have no name in common and are written at the same time; a change of a name
//! that is being written waits in the next stage.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use remote::Exception;
use tokio::sync::oneshot;

use super::value::{NAMES, write_name};
use crate::registry::{Commit, MAX_COMMIT_BYTES, MAX_WRITES, Registry, RegistryError, Write};
use crate::store::index::Entry;
use crate::store::transaction::Step;

pub(super) type Reply = oneshot::Sender<Result<usize, Exception>>;

/// Changes of names, with the callers that wait for them.
#[derive(Default)]
pub(super) struct Group {
    pub(super) changes: BTreeMap<Arc<str>, NameChange>,
    bytes: usize,
    pub(super) replies: Vec<(Result<usize, Exception>, Reply)>,
}

/// The change of one name.
pub(super) struct NameChange {
    before: Expected,
    pub(super) after: Option<Arc<Entry>>,
}

/// The state that the name must have when it is written.
enum Expected {
    /// Its revision; 0 for a name that does not exist.
    Revision(i64),
    /// The entry that an earlier stage gives it.
    Entry(Option<Arc<Entry>>),
}

/// The stages of a batch of changes.
#[derive(Default)]
pub(super) struct Stages {
    pub(super) done: Vec<Vec<Group>>,
    stage: Vec<Group>,
    group: Group,
    /// Names of the stage's closed groups.
    in_stage: HashSet<Arc<str>>,
    /// Names of earlier stages.
    earlier: HashSet<Arc<str>>,
}

/// The parts of a group that were kept, with their revisions, and what ended it.
pub(super) struct WrittenGroup {
    pub(super) group: Group,
    pub(super) kept: Vec<(Vec<Arc<str>>, i64)>,
    pub(super) outcome: Result<(), Exception>,
}

impl Stages {
    /// Adds a change; `revision_of` knows the revision of a name that no earlier change has.
    pub(super) fn add(
        &mut self,
        steps: &[Step],
        (outcome, reply): (Result<usize, Exception>, Reply),
        revision_of: impl Fn(&str) -> i64,
    ) {
        let bytes: usize = steps.iter().map(size_of_step).sum();
        if let Some(step) = steps.iter().find(|step| size_of_step(step) > MAX_COMMIT_BYTES) {
            let text = format!(
                "the registration of {} is too large: with etcd, names with their tags have at \
                 most {MAX_COMMIT_BYTES} bytes",
                step.name
            );
            // The caller may be gone.
            let _ = reply.send(Err(Exception::naming_error(text)));
            return;
        }
        let is_full = self.group.changes.len() + steps.len() > MAX_WRITES
            || self.group.bytes + bytes > MAX_COMMIT_BYTES;
        if is_full {
            self.close_group();
        }
        if steps.iter().any(|step| self.in_stage.contains(&step.name)) {
            self.close_stage();
        }
        for Step { name, before, after } in steps {
            let is_earlier = self.earlier.contains(name);
            let first = || match is_earlier {
                true => Expected::Entry(before.clone()),
                false => Expected::Revision(revision_of(name)),
            };
            let change = self.group.changes.entry(Arc::clone(name));
            change.or_insert_with(|| NameChange { before: first(), after: None }).after =
                after.clone();
        }
        self.group.bytes += bytes;
        self.group.replies.push((outcome, reply));
    }

    /// The stages in order.
    pub(super) fn finish(mut self) -> Vec<Vec<Group>> {
        self.close_stage();
        self.done
    }

    fn close_group(&mut self) {
        let group = std::mem::take(&mut self.group);
        self.in_stage.extend(group.changes.keys().cloned());
        if !group.replies.is_empty() {
            self.stage.push(group);
        }
    }

    fn close_stage(&mut self) {
        self.close_group();
        self.earlier.extend(self.in_stage.drain());
        if !self.stage.is_empty() {
            self.done.push(std::mem::take(&mut self.stage));
        }
    }
}

fn size_of_step(Step { name, after, .. }: &Step) -> usize {
    let value = after.as_ref().map_or(0, |entry| {
        entry.uri.len() + entry.tags.iter().map(|tag| tag.len() + 3).sum::<usize>()
    });
    name.len() + value + 200
}

impl Group {
    /// Settles what the names must be like, of those that wait for an earlier stage.
    ///
    /// # Errors
    /// The earlier stage has not made of them what this group rests on.
    pub(super) fn settle(
        &mut self,
        revision_of: impl Fn(&str, Option<&Arc<Entry>>) -> Option<i64>,
    ) -> Result<(), Exception> {
        for (name, change) in &mut self.changes {
            if let Expected::Entry(entry) = &change.before {
                let revision = revision_of(name, entry.as_ref()).ok_or_else(conflict)?;
                change.before = Expected::Revision(revision);
            }
        }
        Ok(())
    }

    /// Writes the group; one that is larger than a transaction in parts, up to the first that
    /// fails.
    pub(super) async fn write(self, registry: Arc<dyn Registry>) -> WrittenGroup {
        let (mut kept, mut part, mut bytes) = (Vec::new(), Vec::new(), 0);
        let mut names = self.changes.iter().peekable();
        let mut outcome = Ok(());
        while let Some((name, change)) = names.next() {
            let expected = match change.before {
                Expected::Revision(revision) => Some(revision),
                Expected::Entry(_) => None,
            };
            let value = change.after.as_deref().map(write_name);
            bytes += name.len() + value.as_ref().map_or(0, Vec::len);
            part.push((Arc::clone(name), Write { key: format!("{NAMES}{name}"), value, expected }));
            let is_full = part.len() >= MAX_WRITES || bytes >= MAX_COMMIT_BYTES / 2;
            if !is_full && names.peek().is_some() {
                continue;
            }
            bytes = 0;
            let (names, writes): (Vec<_>, Vec<_>) = part.drain(..).unzip();
            match registry.commit(writes, None).await {
                Ok(Commit::Kept(revision)) => kept.push((names, revision)),
                Ok(Commit::Conflict) => outcome = Err(conflict()),
                Err(error) => outcome = Err(refusal(&error)),
            }
            if outcome.is_err() {
                break;
            }
        }
        WrittenGroup { group: self, kept, outcome }
    }

    /// Answers the callers.
    pub(super) fn answer(self, written: Result<(), Exception>) {
        for (outcome, reply) in self.replies {
            // The caller may be gone. An outcome may rest on changes before it in the group.
            let _ = reply.send(match &written {
                Ok(()) => outcome,
                Err(error) => outcome.and(Err(error.clone())),
            });
        }
    }
}

fn conflict() -> Exception {
    Exception::naming_error(
        "the name was changed through another nameserver at the same moment; try again",
    )
}

pub(super) fn refusal(error: &RegistryError) -> Exception {
    Exception::naming_error(format!("the nameserver cannot keep this: {error}"))
}
