//! Handshake of a daemon with any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_harness::check_handshake(data));
