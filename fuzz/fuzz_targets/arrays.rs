//! Messages with arrays as packed bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_harness::check_arrays(data));
