//! Serializer `json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_harness::check_serializer(
    fuzz_harness::Serializer::Json,
    data
));
