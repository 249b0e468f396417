//! Ids of jobs and of their documents: see `fuzzing` of the gateway.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| blitz_gateway::fuzzing::job(data));
