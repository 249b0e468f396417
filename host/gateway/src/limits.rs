//! How much of a gateway one who asks may hold: connections, and the time that their bytes take.
//!
//! What a request says is limited where it is read; this is for those who say it slowly, or not at all.

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
    /// A request's body may take so long, and longer by its length at [`Self::body_bytes_per_s`].
    pub body: Duration,
    /// How fast bodies come at least, in bytes a second.
    pub body_bytes_per_s: u32,
    /// How long the other end may take nothing of what waits for it.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Each holds 20 to 60 KiB: half a GiB at most. Every follower of a job is one.
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
