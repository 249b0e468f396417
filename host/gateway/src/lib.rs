//! The gateway: the routing layer between users and the store. Tenants never talk to CouchDB.
//!
//! Read along the road: `server` takes requests, `guard` lets them in, `submit` turns one into documents, as long as `queue` has room,
//! `hub` hears what becomes of jobs, `events` tells it to those who follow, `history` reads what was.
//! `plugins` publishes versions and takes them back. `watch` is its ears; `catalog` knows regions, engines and plugins; `keeper` performs what `blitz_jobs::keeper` decides.
//!
//! *Invariants:* a gateway keeps nothing that the store does not have, so that it can be restarted at any
//! moment and several can serve side by side. One feed a database, however many follow.

pub mod config;
mod server;
mod guard;
mod failure;
mod submit;
mod queue;
mod plugins;
mod hub;
mod events;
mod history;
mod catalog;
mod watch;
mod keeper;

pub use config::Config;
pub use server::{Error, run};
