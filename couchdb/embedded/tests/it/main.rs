//! Stories over a real socket: what a client of the server sees.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as the tests do")]

mod attachments;
mod auth;
mod child;
mod bad_input;
mod client;
mod crash;
mod documents;
mod durability;
mod feed_filters;
mod feeds;
mod housekeeping;
mod find;
mod golden;
mod limits;
mod purge;
mod listings;
mod test_modes;
mod views;
mod security;
mod users;
mod opening;
mod trace;
mod replication;
mod model;
mod scripts;
mod validation;
