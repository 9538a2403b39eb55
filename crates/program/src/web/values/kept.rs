//! Large results, kept for a while under random names.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use remote::{Dict, Value};
use tokio::time::Instant;
use uuid::Uuid;

use super::array::NumberArray;
use super::png;

/// Bytes of all kept results: the oldest go first.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// The time after which a result is gone.
pub(in crate::web) const KEPT_FOR: Duration = Duration::from_secs(15 * 60);

/// The results that are kept.
#[derive(Default)]
pub(in crate::web) struct KeptResults(Mutex<VecDeque<Kept>>);

struct Kept {
    id: String,
    since: Instant,
    content: Arc<Content>,
}

enum Content {
    Array(NumberArray),
    Bytes(Vec<u8>),
}

impl Content {
    fn len(&self) -> usize {
        match self {
            Content::Array(array) => array.bytes.len(),
            Content::Bytes(bytes) => bytes.len(),
        }
    }
}

impl KeptResults {
    /// Keeps an array, and returns what stands for it in the answer.
    pub(super) fn keep_array(&self, array: NumberArray) -> Value {
        let shape = array.shape.iter().map(|axis| Value::from(*axis)).collect();
        let mut dict = Dict::new();
        dict.insert("@type", "array");
        dict.insert("dtype", array.kind.name());
        dict.insert("shape", Value::List(shape));
        let is_picture = matches!(*array.shape.as_slice(), [_, _] | [_, _, 3 | 4]);
        let id = self.keep(Content::Array(array));
        dict.insert("url", format!("/api/results/{id}.npy"));
        if is_picture {
            dict.insert("png", format!("/api/results/{id}.png"));
        }
        Value::Dict(dict)
    }

    /// Keeps bytes, and returns what stands for them in the answer.
    pub(super) fn keep_bytes(&self, bytes: Vec<u8>) -> Value {
        let mut dict = Dict::new();
        dict.insert("@type", "bytes");
        dict.insert("length", bytes.len());
        let id = self.keep(Content::Bytes(bytes));
        dict.insert("url", format!("/api/results/{id}.bin"));
        Value::Dict(dict)
    }

    fn keep(&self, content: Content) -> String {
        let id = Uuid::new_v4().simple().to_string();
        let mut results = self.lock();
        let kept = Kept { id: id.clone(), since: Instant::now(), content: Arc::new(content) };
        results.push_back(kept);
        let mut bytes: usize = results.iter().map(|kept| kept.content.len()).sum();
        // The newest is kept however large it is: a message has a limit.
        while bytes > MAX_BYTES && results.len() > 1 {
            let Some(oldest) = results.pop_front() else { break };
            bytes -= oldest.content.len();
        }
        id
    }

    /// The content of the file of that name: `ID.npy`, `ID.png` or `ID.bin`.
    pub(in crate::web) fn file(&self, name: &str) -> Option<Vec<u8>> {
        let (id, ending) = name.rsplit_once('.')?;
        match (&*self.find(id)?, ending) {
            (Content::Array(array), "npy") => Some(array.to_npy()),
            (Content::Array(array), "png") => png::to_png(array),
            (Content::Bytes(bytes), "bin") => Some(bytes.clone()),
            _ => None,
        }
    }

    fn find(&self, id: &str) -> Option<Arc<Content>> {
        let results = self.lock();
        results.iter().find(|kept| kept.id == id).map(|kept| Arc::clone(&kept.content))
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        let mut results = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while results.front().is_some_and(|kept| kept.since.elapsed() > KEPT_FOR) {
            results.pop_front();
        }
        results
    }
}
