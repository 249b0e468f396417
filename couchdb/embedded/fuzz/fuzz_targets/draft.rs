//! Documents as JSON: what is accepted is kept whole and can be read again.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| blitz_embedded::fuzzing::draft(data));
