//! A daemon that is sent anything before its handshake is done.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_harness::handshake(data));
