//! The client against a scripted server on real sockets; what depends on time is tested in the crate.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]

mod exchange;
mod feed;
mod script;
mod server;
