//! Work that takes long, beside the runtime's own threads.
//!
//! Owns that a request of many megabytes, which takes a second to read, does not hold one of the
//! few threads that all connections share: another thread takes its place meanwhile; and that the
//! memory of such a request is given back.

use std::future::{Future, poll_fn};
use std::pin::Pin;

use tokio::runtime::{Handle, RuntimeFlavor};

/// Does work that may take long.
pub(crate) fn aside<T>(work: impl FnOnce() -> T) -> T {
    let flavor = Handle::try_current().map(|runtime| runtime.runtime_flavor());
    match flavor {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        // A runtime of one thread has no other that could take its place.
        _ => work(),
    }
}

/// Carries a future out, each of its steps aside where they are `long`. It takes a reference, since
/// a future that is moved into another may take its place there twice.
pub(crate) fn in_steps<F: Future>(
    mut work: Pin<&mut F>,
    long: bool,
) -> impl Future<Output = F::Output> {
    poll_fn(
        move |context| {
            if long { aside(|| work.as_mut().poll(context)) } else { work.as_mut().poll(context) }
        },
    )
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
