//! Mango selectors: any JSON is a selector or an error, and matching ends.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| blitz_embedded::fuzzing::selector(data));
