//! Revision trees: stored bytes of any kind, and any order of merges.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| blitz_embedded::fuzzing::tree(data));
