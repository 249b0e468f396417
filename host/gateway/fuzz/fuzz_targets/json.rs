//! JSON that is read in one way only: see `fuzzing` of the gateway.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| blitz_gateway::fuzzing::json(data));
