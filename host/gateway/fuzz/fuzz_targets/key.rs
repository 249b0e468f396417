//! API keys as text: see `fuzzing` of the gateway.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| blitz_gateway::fuzzing::key(data));
