//! Positions in the output of a job: see `fuzzing` of the gateway.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| blitz_gateway::fuzzing::position(data));
