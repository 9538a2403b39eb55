//! The rights of one connection on the object that it used last.

use std::sync::{Arc, Mutex, PoisonError};

use super::Rights;

/// The rights of a connection on the object that it used last: most connections use one.
#[derive(Debug, Default)]
pub(crate) struct AccessCache {
    last: Mutex<Option<Cached>>,
}

#[derive(Debug)]
struct Cached {
    /// The number of the rules that they are by.
    generation: u64,
    object: Box<str>,
    rights: Arc<Rights>,
}

impl AccessCache {
    /// The rights by the rules of this number, computed by `compute` where they are not known.
    pub(crate) fn get(
        &self,
        generation: u64,
        object: &str,
        compute: impl FnOnce() -> Rights,
    ) -> Arc<Rights> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = &*last
            && cached.generation == generation
            && *cached.object == *object
        {
            return Arc::clone(&cached.rights);
        }
        let rights = Arc::new(compute());
        *last = Some(Cached { generation, object: object.into(), rights: Arc::clone(&rights) });
        rights
    }
}
