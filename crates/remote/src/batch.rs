//! Batches: several calls in one request, and their results in one answer.
//!
//! A batch ends after the first call that raises, or when its results take too much memory. Knows
//! neither locks nor sessions.

use std::sync::atomic::{AtomicUsize, Ordering};
use wire::DecodeError;

use wire::exception::{Exception, unwrap_from_batch, wrap_in_batch};
use wire::value::Value;

use crate::object::{Answer, CallResult, MethodCall, Reply, ReplyBody};

/// Bytes of memory for the results of a batch: a short call, made a million times in one small
/// request, may return much each time.
pub(crate) const MAX_BYTES: usize = 256 << 20;
/// The same for all unfinished batches of the process together.
pub(crate) const MAX_BYTES_IN_ALL: usize = 512 << 20;
static BYTES_IN_ALL: AtomicUsize = AtomicUsize::new(0);

/// The results of a batch so far.
#[derive(Debug, Default)]
pub(crate) struct Results {
    values: Vec<Value>,
    memory: usize,
}

impl Results {
    /// Adds a result; false where the batch ends. An exception stands in the place of its call.
    pub(crate) fn push(&mut self, result: Result<Value, Exception>) -> bool {
        let result = result.and_then(|value| {
            let memory = value.memory();
            let others = BYTES_IN_ALL.load(Ordering::Relaxed).saturating_sub(self.memory);
            let wanted = self.memory.saturating_add(memory);
            // One that is alone may have what one may.
            if wanted > MAX_BYTES
                || (others > 0 && others.saturating_add(wanted) > MAX_BYTES_IN_ALL)
            {
                return Err(too_much());
            }
            self.memory = wanted;
            BYTES_IN_ALL.fetch_add(memory, Ordering::Relaxed);
            Ok(value)
        });
        match result {
            Ok(value) => {
                self.values.push(value);
                true
            }
            Err(exception) => {
                self.values.push(wrap_in_batch(&exception));
                false
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The list that a client is sent.
    pub(crate) fn into_list(mut self) -> Value {
        Value::List(std::mem::take(&mut self.values))
    }
}

impl Drop for Results {
    fn drop(&mut self) {
        BYTES_IN_ALL.fetch_sub(self.memory, Ordering::Relaxed);
    }
}

/// The bytes of a result are not a value, though its object said so.
pub(crate) fn unreadable(error: &DecodeError) -> Exception {
    Exception::daemon_error(format!("a result cannot be read: {error}"))
}

fn too_much() -> Exception {
    Exception::value_error(format!(
        "the results of this batch take more than {} MiB of memory, or those of all batches \
         together more than {} MiB; its further calls were not made: make them in a batch of their \
         own",
        MAX_BYTES >> 20,
        MAX_BYTES_IN_ALL >> 20
    ))
}

/// The result of one call of a batch.
pub(crate) fn entry(method: &str, result: CallResult) -> Result<Value, Exception> {
    match result?.body {
        ReplyBody::Value(value) => Ok(value),
        ReplyBody::Serialized(value) => value.read().map_err(|error| unreadable(&error)),
        ReplyBody::Stream(_) => Err(Exception::type_error(format!(
            "'{method}' returns an iterator, which cannot travel in a batch"
        ))),
    }
}

/// The result of a batch of which only the calls before a refused one were made. A batch that has
/// ended with an earlier exception stays as it is.
///
/// # Errors
/// Those of the batch.
pub fn refuse_rest(made: usize, result: CallResult, refused: &Exception) -> CallResult {
    let mut reply = result?;
    if let ReplyBody::Value(Value::List(values)) = &mut reply.body
        && values.len() == made
        && values.last().is_none_or(|last| unwrap_from_batch(last).is_none())
    {
        values.push(wrap_in_batch(refused));
    }
    Ok(reply)
}

/// Carries out a batch by calling `one` for each entry, stopping after the first that raises:
/// its exception stands in its place in the list.
pub async fn batch(
    calls: Vec<MethodCall>,
    mut one: impl FnMut(MethodCall) -> Answer,
) -> CallResult {
    let mut results = Results::default();
    for call in calls {
        let method = call.method.clone();
        if !results.push(entry(&method, one(call).wait().await)) {
            break;
        }
    }
    Ok(Reply::from(results.into_list()))
}

/// [`batch`] for methods that are done when they return.
pub fn batch_now(
    calls: Vec<MethodCall>,
    mut one: impl FnMut(MethodCall) -> Result<Value, Exception>,
) -> Answer {
    let mut results = Results::default();
    for call in calls {
        if !results.push(one(call)) {
            break;
        }
    }
    Answer::value(results.into_list())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_ends_where_its_results_take_too_much() {
        let calls =
            vec![
                MethodCall { method: "large".to_owned(), args: Vec::new(), kwargs: Vec::new() };
                1000
            ];
        let mut made = 0;
        let answer = batch_now(calls, |_| {
            made += 1;
            Ok(Value::bytes(vec![0; MAX_BYTES / 10]))
        });
        assert_eq!(made, 10);
        let Answer::Ready(Ok(Reply { body: ReplyBody::Value(Value::List(results)), .. })) = answer
        else {
            panic!("no list");
        };
        assert_eq!(results.len(), 10);
        let last = results.last().map(ToString::to_string).unwrap_or_default();
        assert!(last.contains("take more than 256 MiB"), "{last}");
    }
}
