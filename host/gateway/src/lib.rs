//! The gateway: the routing layer between users and the store. Tenants never talk to CouchDB.
//!
//! Read along the road: `server` takes requests to the `routes` (`jobs` has those about jobs), from `connections` that have `limits`, where `strict` reads them in the
//! one way that they can be read; `request` gives each its id, `guard` lets them in as a `caller`, whose key is in the book of `accounts`,
//! `audit` writes down what they change, as `errands` that end though nobody waits for them, `submit` turns one into documents, as
//! long as `queue` has room and `quota` allows it, `targets` says where its load may go, `hub` hears what becomes of jobs, `events`
//! tells it to those who follow, `history` reads what was, `view` shows it, and `ending` ends what runs by a right that was taken
//! back. What all have together, of that each has a `share`.
//! `plugins` publishes versions and takes them back. `watch` is its ears; `catalog` knows regions, engines and plugins; `keeper` performs what `blitz_jobs::keeper` decides.
//! `rotation` gives regions new databases and drops old ones, and `mending` starts replications again that were cut: where it may.
//! [`issuer`] gives engines the tokens with which they enter the near cluster.
//!
//! There may be many clusters. `reach` learns which of those that this gateway can enter answer, and where a region is best
//! written and read: at its home, else at a hub; `stores` asks one place after the other. The control database is the near
//! cluster's; the keeper's duty is at each region's home.
//!
//! *Invariants:* a gateway keeps nothing that the stores do not have, so that it can be restarted at any
//! moment and several can serve side by side; what tenants used of late it writes once a second. One feed a database, however many follow. What is written in two clusters is the
//! same in both.

pub mod config;
pub mod limits;
mod server;
mod routes;
mod jobs;
mod connections;
mod strict;
mod guard;
mod request;
mod caller;
mod accounts;
mod failure;
mod share;
mod errands;
mod submit;
mod ending;
mod queue;
mod targets;
mod audit;
mod quota;
mod plugins;
mod hub;
mod events;
mod history;
mod view;
mod catalog;
mod reach;
mod stores;
mod watch;
mod keeper;
mod rotation;
mod mending;
#[cfg(test)]
mod embedded;
pub mod issuer;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;

pub use config::Config;
pub use issuer::Issuer;
pub use limits::Limits;
pub use routes::{Route, Who};
pub use server::{Error, routes, run, run_with};
pub use targets::{Prover, Proves};
