//! Work that takes long, beside the runtime's own threads.
//!
//! Owns that a message of many megabytes, which takes a second to read or to write, does not hold
//! one of the few threads that all connections share: another thread takes its place meanwhile; and
//! that the memory of such a request is given back.

use std::future::{Future, poll_fn};
use std::pin::Pin;

use tokio::runtime::{Handle, RuntimeFlavor};
use wire::value::Value;

/// A value of more parts than this takes milliseconds to be written.
const MANY_PARTS: usize = 8 * 1024;
/// So many bytes of a text count as one part.
const BYTES: usize = 64;

/// Does work that may take long, such as the decoding of some hundred kilobytes or more: another
/// thread carries out the other tasks of this one meanwhile. For short work that is not worth it.
pub fn aside<T>(work: impl FnOnce() -> T) -> T {
    let flavor = Handle::try_current().map(|runtime| runtime.runtime_flavor());
    match flavor {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        // A runtime of one thread has no other that could take its place.
        _ => work(),
    }
}

/// Does work aside where it is `long`, and else as it is.
pub(crate) fn aside_if<T>(long: bool, work: impl FnOnce() -> T) -> T {
    if long { aside(work) } else { work() }
}

/// Whether a value takes long to be written. It is looked at no further than that needs.
pub(crate) fn is_long(value: &Value) -> bool {
    !counts(value, &mut MANY_PARTS.clone())
}

/// Takes a value's parts from what is `left`; false where there are more.
fn counts(value: &Value, left: &mut usize) -> bool {
    let parts = match value {
        Value::Str(text) => text.len() / BYTES,
        Value::Bytes(bytes) => bytes.len() / BYTES,
        Value::List(items) | Value::Tuple(items) => items.len(),
        Value::Dict(dict) => dict.len(),
        Value::Set(items) | Value::FrozenSet(items) => items.len(),
        _ => 0,
    };
    let Some(rest) = left.checked_sub(parts) else { return false };
    *left = rest;
    match value {
        Value::List(items) | Value::Tuple(items) => items.iter().all(|item| counts(item, left)),
        Value::Dict(dict) => dict.iter().all(|(_, item)| counts(item, left)),
        // the members of sets are small: whole tables are no keys
        _ => true,
    }
}

/// Carries a future out, each of its steps aside where they are `long`. It takes a reference, since
/// a future that is moved into another may take its place there twice.
pub(crate) fn in_steps<F: Future>(
    mut work: Pin<&mut F>,
    long: bool,
) -> impl Future<Output = F::Output> {
    poll_fn(move |context| aside_if(long, || work.as_mut().poll(context)))
}

/// Gives free memory back to the system. The allocator keeps what it may use again, for each thread
/// by itself: after some large requests on some threads that would be gigabytes.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "the C library has no safe way to be asked")]
pub(crate) fn give_memory_back() {
    // SAFETY: it may be called at any time, from any thread, and touches only what is free.
    let _was_some = unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_memory_back() {}

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
