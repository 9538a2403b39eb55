//! Any events in any order against one lock, with its books kept a second time.
//!
//! The invariants are in `crates/remote/src/lock/check.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_harness::lock_policy(data));
