//! Native plugins through the runtime's own door: a real child process, a real cage, libraries that were compiled
//! for the test. `support` builds and runs them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;
mod fixture;
mod refused;
mod attacks;
mod endings;
mod orphans;
mod sockets;
mod speed;
