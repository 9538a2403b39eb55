//! Long work on the runtime's threads, with another thread taking over their tasks meanwhile.
//!
//! A message of many megabytes takes a second to read or to write, and must not hold one of the few
//! threads that all connections share.

use std::future::{Future, poll_fn};
use std::pin::Pin;

use tokio::runtime::{Handle, RuntimeFlavor};
use wire::value::Value;

/// A value of more parts than this takes milliseconds to write.
const LONG_VALUE_PARTS: usize = 8 * 1024;
/// Bytes of a text that count as one part.
const BYTES_PER_PART: usize = 64;

/// Runs work that may take long, such as decoding some hundred kilobytes or more: another thread
/// carries out the other tasks of this one meanwhile. For short work that is not worth it.
pub fn run_blocking<T>(work: impl FnOnce() -> T) -> T {
    let flavor = Handle::try_current().map(|runtime| runtime.runtime_flavor());
    match flavor {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        // A runtime of one thread has no other that could take its place.
        _ => work(),
    }
}

/// Runs work as [`run_blocking`] does if it is `long`, and else directly.
pub(crate) fn run_blocking_if<T>(long: bool, work: impl FnOnce() -> T) -> T {
    if long { run_blocking(work) } else { work() }
}

/// Whether a value takes long to write. It is looked at no further than that needs.
pub(crate) fn is_long(value: &Value) -> bool {
    !has_few_parts(value, &mut LONG_VALUE_PARTS.clone())
}

/// Takes a value's parts from what is `left`; false if there are more.
fn has_few_parts(value: &Value, left: &mut usize) -> bool {
    let parts = match value {
        Value::Str(text) => text.len() / BYTES_PER_PART,
        Value::Bytes(bytes) => bytes.len() / BYTES_PER_PART,
        Value::Array(array) => array.data().len() / BYTES_PER_PART,
        Value::List(items) | Value::Tuple(items) => items.len(),
        Value::Dict(dict) => dict.len(),
        Value::Set(items) | Value::FrozenSet(items) => items.len(),
        _ => 0,
    };
    let Some(rest) = left.checked_sub(parts) else { return false };
    *left = rest;
    match value {
        Value::List(items) | Value::Tuple(items) => {
            items.iter().all(|item| has_few_parts(item, left))
        }
        Value::Dict(dict) => dict.iter().all(|(_, item)| has_few_parts(item, left)),
        // Members of sets are small.
        _ => true,
    }
}

/// Polls a future, each poll as [`run_blocking`] does if they are `long`. It takes a reference,
/// since a future that is moved into another may take its memory twice.
pub(crate) fn poll_blocking_if<F: Future>(
    mut work: Pin<&mut F>,
    long: bool,
) -> impl Future<Output = F::Output> {
    poll_fn(move |context| run_blocking_if(long, || work.as_mut().poll(context)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_values_are_long() {
        let row = || Value::List(vec![1.5.into(); 100]);
        let cases = [
            (Value::None, false),
            (Value::List(vec![1.5.into(); 1000]), false),
            (Value::List(vec![1.5.into(); 10_000]), true),
            (Value::Tuple(vec![row(); 10]), false),
            (Value::Tuple(vec![row(); 100]), true),
            (Value::Dict((0..100).map(|key| (Value::from(key), row())).collect()), true),
            (Value::from("x".repeat(100_000)), false),
            (Value::from("x".repeat(1_000_000)), true),
            (Value::Bytes(vec![0; 1_000_000]), true),
        ];
        for (value, long) in cases {
            assert_eq!(is_long(&value), long, "{}", value.type_name());
        }
    }
}
