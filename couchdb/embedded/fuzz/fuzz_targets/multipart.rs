//! Bodies of multipart/related: any bytes are a document with attachments or an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| blitz_embedded::fuzzing::multipart(data));
