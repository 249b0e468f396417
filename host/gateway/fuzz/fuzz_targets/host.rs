//! Hosts in commands, and patterns of hosts: see `fuzzing` of the gateway.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| blitz_gateway::fuzzing::host(data));
