//! Load tests through the runtime's own door: a guest that asks for them, real worker processes in real cages, a server
//! that sees every packet. `worker` is what the processes do, `support` makes the rest.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;
#[expect(dead_code, reason = "the child's program has the rest of it")]
mod worker;
mod whole;
mod refused;
mod proved;
mod caged;
mod ends;
