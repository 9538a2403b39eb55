//! Connection of a daemon, from its handshake to its end.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_harness::check_connection(data));
