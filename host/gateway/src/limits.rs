//! How much of a gateway one who asks may hold: connections, and the time that their bytes take.
//!
//! What a request says is limited where it is read; this is for those who say it slowly, or not at all, and for what all of them
//! hold together. At the most that is
//!
//! - half a GiB of connections: 8,192 with 20 to 60 KiB each, beside the bodies of their requests,
//! - a quarter of small bodies: of members' requests 4,096 are under way at once that have one (`audit`), with 64 KiB each,
//! - half of large ones: 256 MiB, and as much again while they are read (`strict::large`),
//! - a quarter of files of plugins: two at once, each of up to 66 MiB as it came and as it is sent to the store (`plugins`).

use std::time::Duration;

/// What every connection of a gateway is held to. Those of [`Default`] are for the world; tests shorten them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once. One more takes the place of the one that has been without a request for the longest time.
    pub connections: usize,
    /// Those of one address, of IPv6 of one network of 64 bits. Loopback has no such limit: a proxy there carries everybody's.
    pub connections_per_address: usize,
    /// From the first byte of a request's head to its last.
    pub head: Duration,
    /// Without a request.
    pub idle: Duration,
    /// A request's body may take so long, and longer by its length at [`Self::body_bytes_per_s`]; so long it may bring nothing.
    pub body: Duration,
    /// How fast bodies come at least, in bytes a second.
    pub body_bytes_per_s: u32,
    /// How long the other end may take nothing of what waits for it.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Each holds 20 to 60 KiB without the body of a request: half a GiB at most. Every follower of a job is one.
            connections: 8192,
            // The followers of an office behind one address; thirty addresses are needed to fill a gateway.
            connections_per_address: 256,
            // A head is one packet or two, of a phone on a bad line too.
            head: Duration::from_secs(10),
            // Longer than the pools of clients keep connections (90 s for most), so that they close first.
            idle: Duration::from_secs(120),
            // A small body comes with its head; 20 s are some tries of TCP to send a lost packet again.
            body: Duration::from_secs(20),
            // 128 kbit/s: slower than that a file of some MiB is not sent by anybody who means it.
            body_bytes_per_s: 16 << 10,
            // The events of a job say something each 10 s, and a laptop wakes up from less than this.
            stall: Duration::from_secs(30),
        }
    }
}

/// The lines of a request's head: browsers and proxies send some dozens, and hyper has room for 100 without asking for more.
pub(crate) const HEADERS_MAX: usize = 100;

/// The bytes of a request's head: a path with an id, a token, and what proxies add.
pub(crate) const HEAD_BYTES_MAX: usize = 16 << 10;

/// What is read of a connection before somebody takes it; more than a head, and small enough for thousands.
pub(crate) const BUFFER_BYTES: usize = 32 << 10;

/// The body of a request, unless a route says otherwise: the longest of them (a key with all its scopes) has 20 KiB.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 10;

/// Bytes of larger bodies at once, of all requests: five of the longest. Each is in memory twice while it is read.
pub(crate) const LARGE_BODIES_BYTES: usize = 256 << 20;

/// Those of one tenant: two of the longest, so that it takes three tenants to leave no room for others.
pub(crate) const LARGE_BODIES_BYTES_PER_TENANT: usize = 96 << 20;

/// Room for a large body is waited for this long: a body of some MiB has come and gone by then, and who waits holds a connection.
pub(crate) const LARGE_BODY_WAIT: Duration = Duration::from_secs(2);
