//! Stories over a real socket: what a client of the server sees.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as the tests do")]

mod attachments;
mod client;
mod documents;
mod durability;
mod feeds;
mod limits;
mod listings;
