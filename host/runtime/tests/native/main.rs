//! Native plugins through the runtime's own door: a real child process, a real cage, libraries that were compiled
//! for the test. `support` builds and runs them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../../../../tests/src/mmdb.rs"]
#[expect(unreachable_pub, reason = "the stories have it, too")]
mod mmdb;
mod support;
mod fixture;
mod asked;
mod refused;
mod attacks;
mod endings;
mod orphans;
mod sockets;
mod speed;
