//! Message framing: header and body.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_harness::check_frame(data));
