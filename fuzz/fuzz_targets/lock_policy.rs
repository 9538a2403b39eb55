//! Lock policy under any events in any order, compared with a model of it.
//!
//! The invariants are in `crates/remote/src/lock/check.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_harness::check_lock_policy(data));
